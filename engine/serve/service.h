// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// A model that serves many threads: one thread of its own runs the forward passes, over what a
// queue packs together. Adapters come and go while it runs. What engine/api gives to other
// programs.

#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "engine/serve/request_queue.h"

namespace qe {

struct ServiceOptions {
  InferOptions infer;  ///< without an adapter
  std::chrono::microseconds batch_delay{0};
  int64_t queue_tokens = 65536;  ///< QueueLimits::waiting_tokens
};

/// What a request runs with beside its texts.
struct RequestOptions {
  int64_t adapter = 0;                   ///< from attach; 0: the base
  std::chrono::microseconds timeout{0};  ///< after which it need not begin any more; 0: none
  bool truncate = false;                 ///< texts that are too long are cut
};

class Service {
 public:
  /// Throws Refused: kDevice, kFile, kMemory. log: lines come from any thread, one at a time.
  Service(const ServiceOptions& options, const Log& log);
  /// Finishes the pass that runs; requests that are not answered end with kCancelled.
  ~Service();
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  // From any thread.

  /// Reads a PEFT folder. Numbers begin with 1 and are not given twice. Throws Refused: kFile,
  /// kArgument (its rank is larger than was planned for), kMemory.
  int64_t attach(const std::string& folder);
  /// Requests that were submitted before keep it. Throws Refused: kAdapter.
  void detach(int64_t adapter);

  /// Prepares the texts and puts them into the queue; returns the request's number. `done` is
  /// called once, unless this throws Refused: kText, kAdapter, kOverloaded, kArgument. targets:
  /// ids, empty: all.
  uint64_t fill(std::span<const std::string_view> texts, int64_t top_k,
                const std::vector<int32_t>& targets, const RequestOptions& options,
                Request::Done done);
  uint64_t score(std::span<const std::string_view> texts, const RequestOptions& options,
                 Request::Done done);
  /// out: (texts, hidden_size), the caller's.
  uint64_t embed(std::span<const std::string_view> texts, Pooling pooling,
                 const RequestOptions& options, std::span<float> out, Request::Done done);
  /// Ends a request that has not begun with kCancelled: `done` has run when this returns true.
  bool cancel(uint64_t request) { return queue_.cancel(request); }

  const EncoderConfig& config() const { return session_->config(); }
  const Tokenizer& tokenizer() const { return session_->tokenizer(); }
  bool has_head() const { return has_head_; }
  Device device() const { return device_; }
  /// Of the device's, adapters included.
  size_t memory_bytes() const;

 private:
  void serve(const ServiceOptions& options, std::promise<void>& ready);
  void open(const ServiceOptions& options);
  int64_t checked(int64_t adapter) const;
  std::shared_ptr<Request> make_request(RequestKind kind, size_t n_texts,
                                        const RequestOptions& options, Request::Done done) const;
  void encode(std::span<const std::string_view> texts, bool truncate, Request& request) const;
  void run(std::vector<RequestQueue::Taken> taken);
  void run_fill(const std::vector<RequestQueue::Taken>& taken);
  void run_score(const std::vector<RequestQueue::Taken>& taken);
  void run_embed(const std::vector<RequestQueue::Taken>& taken);
  void finish(const std::vector<RequestQueue::Taken>& taken, Refusal why,
              const std::string& message);

  mutable std::mutex log_mutex_;
  Log log_;
  Device device_;
  bool has_head_ = false;
  int64_t adapter_rank_;
  FillMask fill_{true};
  Scorer score_{ScoreMasking::kToken};
  Embedder mean_{EmbedOptions{.pooling = Pooling::kMean}};
  Embedder cls_{EmbedOptions{.pooling = Pooling::kCls}};
  std::unique_ptr<InferSession> session_;
  RequestQueue queue_;

  mutable std::mutex adapters_mutex_;
  std::map<int64_t, std::shared_ptr<const ServedAdapter>> adapters_;
  int64_t last_adapter_ = 0;

  std::thread thread_;
};

}  // namespace qe
