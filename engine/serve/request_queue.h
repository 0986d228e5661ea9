// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Requests of many threads on their way to the one that serves: a bounded queue that gives out
// pieces which can share a forward pass. First come, first served, a batch's worth at a time: what
// a long request leaves goes behind the others.

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "engine/serve/request.h"

namespace qe {

struct QueueLimits {
  int64_t waiting_tokens = 65536;      ///< of requests that wait; beyond them: kOverloaded
  int64_t batch_tokens = 1024;         ///< a batch has no more, or one piece
  size_t batch_pieces = 64;            ///< likewise
  std::chrono::microseconds delay{0};  ///< for which a batch that is not full waits for company
};

class RequestQueue {
 public:
  explicit RequestQueue(const QueueLimits& limits) : limits_(limits) {}

  /// From any thread. Returns the request's number. Throws Refused when the queue is full or
  /// closed. A request larger than the queue is taken when nothing else waits.
  uint64_t put(std::shared_ptr<Request> request);
  /// From any thread: ends a request none of whose pieces was taken, with kCancelled.
  bool cancel(uint64_t id);

  struct Taken {
    std::shared_ptr<Request> request;
    size_t piece = 0;
  };
  /// From the thread that serves: waits for requests, ends those that are past their deadline, and
  /// takes pieces for one forward pass. Empty: the queue is closed.
  std::vector<Taken> take();
  /// Runs `task` on the thread that serves, between two batches, and waits for it; what it throws
  /// is rethrown here. Throws Refused when the queue is closed.
  void run_between(const std::function<void()>& task);
  /// From the thread that serves: what is left of a request that failed is not given out any more.
  void drop(const Request& request);
  /// Refuses new requests; the next take() ends those that wait, with kCancelled.
  void close();

  const QueueLimits& limits() const { return limits_; }

 private:
  struct Task {
    const std::function<void()>* run;
    std::exception_ptr thrown;
    bool done = false;
  };
  bool batch_is_full() const;
  std::vector<Taken> take_pieces();
  void run_tasks(std::unique_lock<std::mutex>& lock);
  void end_late(std::unique_lock<std::mutex>& lock);

  QueueLimits limits_;
  std::mutex mutex_;
  std::condition_variable changed_;    // the serving thread waits
  std::condition_variable task_done_;  // run_between waits
  std::deque<std::shared_ptr<Request>> waiting_;
  std::deque<Task*> tasks_;
  int64_t waiting_tokens_ = 0;
  uint64_t last_id_ = 0;
  bool closed_ = false;
};

}  // namespace qe
