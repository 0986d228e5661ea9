// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/serve/service.h"

#include <algorithm>
#include <utility>

#include "engine/model/adapter_loading.h"
#include "engine/model/new_head.h"
#include "kernels/ops/backend.h"

namespace qe {

namespace {

// Calls f, whose Errors become Refused with this reason (but for those that are already).
template <class F>
auto refusing(Refusal why, const F& f) {
  try {
    return f();
  } catch (const Refused&) {
    throw;
  } catch (const OutOfMemory& error) {
    throw Refused(Refusal::kMemory, error.what());
  } catch (const Error& error) {
    throw Refused(why, error.what());
  }
}

QueueLimits limits_of(const ServiceOptions& options) {
  return {.waiting_tokens = options.queue_tokens,
          .batch_tokens = std::max<int64_t>(options.infer.batch_tokens, 1),
          .batch_pieces = options.infer.batch_tokens > 0 ? 64u : 1u,
          .delay = options.batch_delay};
}

const LoraAdapter* lora_of(const Request& request) {
  return request.adapter ? request.adapter->adapter.get() : nullptr;
}

int64_t largest_rank(const AdapterConfig& config) {
  int64_t largest = config.r;
  for (const auto& [pattern, r] : config.rank_pattern) largest = std::max(largest, r);
  return largest;
}

}  // namespace

Service::Service(const ServiceOptions& options, const Log& log)
    : log_([this, log](LogLevel level, const std::string& line) {
        const std::lock_guard lock(log_mutex_);
        level == LogLevel::kWarning ? log.warn(line) : log.info(line);
      }),
      adapter_rank_(options.infer.adapter_rank),
      queue_(limits_of(options)) {
  std::promise<void> ready;
  std::future<void> opened = ready.get_future();
  thread_ = std::thread([&] { serve(options, ready); });
  try {
    opened.get();
  } catch (...) {
    thread_.join();
    throw;
  }
}

Service::~Service() {
  queue_.close();
  thread_.join();
}

// The thread that opens the device is the one that uses it.
void Service::serve(const ServiceOptions& options, std::promise<void>& ready) {
  try {
    open(options);
  } catch (...) {
    session_.reset();
    return ready.set_exception(std::current_exception());
  }
  ready.set_value();  // options and ready end here
  for (;;) {
    std::vector<RequestQueue::Taken> taken = queue_.take();
    if (taken.empty()) break;
    run(std::move(taken));
  }
  const std::lock_guard lock(adapters_mutex_);
  adapters_.clear();
  session_.reset();
}

void Service::open(const ServiceOptions& options) {
  const InferOptions& infer = options.infer;
  refusing(Refusal::kDevice, [&] {
    device_ = find_device(infer.device, false);
    compute_type(infer.compute_dtype, device_, Backend(device_, true).limits());
  });
  refusing(Refusal::kFile, [&] {
    const EncoderConfig config = read_encoder_config(infer.model);
    has_head_ = !lacks_head(FolderTensors(infer.model, family_of(config.model_type)), config);
    InferOptions session_options = infer;
    session_options.base.needs_head = has_head_;
    std::vector<InferSession::Use> uses{mean_.use(), cls_.use()};
    if (has_head_) {
      uses.push_back(fill_.use());
      uses.push_back(score_.use());
    }
    session_ = std::make_unique<InferSession>(session_options,
                                              InferSession::Use::together(std::move(uses)), log_);
  });
  mean_.attach(*session_);
  cls_.attach(*session_);
  has_head_ = has_head_ && tokenizer().mask_id();
  if (!has_head_) return;
  fill_.attach(*session_);
  score_.attach(*session_);
}

int64_t Service::attach(const std::string& folder) {
  return refusing(Refusal::kFile, [&] {
    Adapter stored = read_adapter(folder);
    const int64_t rank = largest_rank(stored.config);
    if (rank > adapter_rank_) {
      throw Refused(Refusal::kArgument,
                    cat(folder, ": the adapter has rank ", rank,
                        ", the model was opened for ranks up to ", adapter_rank_));
    }
    std::shared_ptr<ServedAdapter> served;
    queue_.run_between([&] {
      served = std::make_shared<ServedAdapter>(session_->context());
      served->adapter =
          place_adapter(std::move(stored), folder, session_->model(), session_->name(), false,
                        session_->context(), served->memory, log_);
    });
    const std::lock_guard lock(adapters_mutex_);
    adapters_[++last_adapter_] = std::move(served);
    return last_adapter_;
  });
}

void Service::detach(int64_t adapter) {
  std::shared_ptr<const ServedAdapter> served;  // freed outside the lock
  const std::lock_guard lock(adapters_mutex_);
  served = adapters_.at(checked(adapter));
  adapters_.erase(adapter);
}

// Under the lock.
int64_t Service::checked(int64_t adapter) const {
  if (adapters_.contains(adapter)) return adapter;
  throw Refused(Refusal::kAdapter, cat("adapter ", adapter, " is not attached"));
}

size_t Service::memory_bytes() const {
  size_t n_bytes = device_bytes(session_->memory().rows(), device_);
  const std::lock_guard lock(adapters_mutex_);
  for (const auto& [id, served] : adapters_)
    n_bytes += device_bytes(served->memory.rows(), device_);
  return n_bytes;
}

std::shared_ptr<Request> Service::make_request(RequestKind kind, size_t n_texts,
                                               const RequestOptions& options,
                                               Request::Done done) const {
  if (n_texts == 0) throw Refused(Refusal::kArgument, "expected at least one text");
  auto request = std::make_shared<Request>();
  request->kind = kind;
  request->done = std::move(done);
  if (options.timeout.count() > 0) request->deadline = Request::Clock::now() + options.timeout;
  if (kind != RequestKind::kEmbed && !has_head_) {
    throw Refused(Refusal::kArgument,
                  cat(session_->name(), ": the model has no masked-LM head or no mask token"));
  }
  request->mixes = session_->mixes(nullptr);
  if (options.adapter == 0) return request;
  const std::lock_guard lock(adapters_mutex_);
  request->adapter = adapters_.at(checked(options.adapter));
  request->mixes = session_->mixes(lora_of(*request));
  return request;
}

void Service::encode(std::span<const std::string_view> texts, bool truncate,
                     Request& request) const {
  for (const std::string_view text : texts) {
    request.encoded.push_back(
        refusing(Refusal::kText, [&] { return mean_.prepare(text, truncate); }));
    request.encoded.back().adapter = lora_of(request);
  }
}

uint64_t Service::fill(std::span<const std::string_view> texts, int64_t top_k,
                       const std::vector<int32_t>& targets, const RequestOptions& options,
                       Request::Done done) {
  const std::shared_ptr<Request> request =
      make_request(RequestKind::kFill, texts.size(), options, std::move(done));
  for (const int32_t id : targets) {
    if (id >= 0 && id < config().vocab_size) continue;
    throw Refused(Refusal::kArgument,
                  cat("targets: expected ids below ", config().vocab_size, ", got ", id));
  }
  for (const std::string_view text : texts) {
    request->masked.push_back(refusing(Refusal::kText, [&] {
      return fill_.prepare(std::string(text), top_k, targets, options.truncate);
    }));
    request->masked.back().adapter = lora_of(*request);
    const auto n_tokens = static_cast<int64_t>(request->masked.back().ids.size());
    request->pieces.push_back({.text = request->pieces.size(), .n_tokens = n_tokens});
  }
  request->best.resize(texts.size());
  return queue_.put(request);
}

uint64_t Service::score(std::span<const std::string_view> texts, const RequestOptions& options,
                        Request::Done done) {
  const std::shared_ptr<Request> request =
      make_request(RequestKind::kScore, texts.size(), options, std::move(done));
  encode(texts, options.truncate, *request);
  for (size_t t = 0; t < texts.size(); ++t) {
    const EncodedText& text = request->encoded[t];
    const auto n_tokens = static_cast<int64_t>(text.ids.size());
    const auto n_scored = static_cast<int64_t>(score_.scored_tokens(text).size());
    request->log_probabilities.emplace_back(n_scored);
    const int64_t at_once =
        std::max<int64_t>(queue_.limits().batch_tokens / std::max<int64_t>(n_tokens, 1), 1);
    int64_t begin = 0;
    do {  // one also where there is nothing to score
      const int64_t end = std::min(begin + at_once, n_scored);
      request->pieces.push_back({t, begin, end, (end - begin) * n_tokens});
      begin = end;
    } while (begin < n_scored);
  }
  return queue_.put(request);
}

uint64_t Service::embed(std::span<const std::string_view> texts, Pooling pooling,
                        const RequestOptions& options, std::span<float> out, Request::Done done) {
  const std::shared_ptr<Request> request =
      make_request(RequestKind::kEmbed, texts.size(), options, std::move(done));
  QE_CHECK(out.size() == texts.size() * static_cast<size_t>(config().hidden_size),
           "embed: expected room for ", texts.size(), " x ", config().hidden_size, " numbers");
  request->pooling = pooling;
  request->embeddings = out;
  encode(texts, options.truncate, *request);
  for (size_t t = 0; t < texts.size(); ++t) {
    request->pieces.push_back(
        {.text = t, .n_tokens = static_cast<int64_t>(request->encoded[t].ids.size())});
  }
  return queue_.put(request);
}

// Of one kind.
void Service::run(std::vector<RequestQueue::Taken> taken) {
  const auto adapter_of = [](const RequestQueue::Taken& part) {
    return part.request->adapter.get();
  };
  std::stable_sort(taken.begin(), taken.end(), [&](const auto& a, const auto& b) {
    return std::less<>()(adapter_of(a), adapter_of(b));
  });
  try {
    switch (taken.front().request->kind) {
      case RequestKind::kFill:
        run_fill(taken);
        break;
      case RequestKind::kScore:
        run_score(taken);
        break;
      case RequestKind::kEmbed:
        run_embed(taken);
        break;
    }
    finish(taken, Refusal::kNone, "");
  } catch (const std::exception& error) {
    session_->discard();
    finish(taken, Refusal::kInternal, error.what());
  }
}

void Service::run_fill(const std::vector<RequestQueue::Taken>& taken) {
  std::vector<MaskedText> texts;
  for (const RequestQueue::Taken& part : taken) {
    texts.push_back(std::move(part.request->masked[part.request->pieces[part.piece].text]));
  }
  auto best = fill_.best_tokens(texts);
  for (size_t i = 0; i < taken.size(); ++i) {
    Request& request = *taken[i].request;
    const size_t text = request.pieces[taken[i].piece].text;
    request.masked[text] = std::move(texts[i]);
    request.best[text] = std::move(best[i]);
  }
}

void Service::run_score(const std::vector<RequestQueue::Taken>& taken) {
  for (const RequestQueue::Taken& part : taken) {
    Request& request = *part.request;
    const Request::Piece& piece = request.pieces[part.piece];
    score_.ask(request.encoded[piece.text], piece.begin, piece.end,
               request.log_probabilities[piece.text].data() + piece.begin);
  }
  score_.finish();
}

void Service::run_embed(const std::vector<RequestQueue::Taken>& taken) {
  const auto columns = static_cast<size_t>(config().hidden_size);
  std::vector<EncodedText> texts;
  for (const RequestQueue::Taken& part : taken) {
    texts.push_back(std::move(part.request->encoded[part.request->pieces[part.piece].text]));
  }
  std::vector<float> rows(texts.size() * columns);
  (taken.front().request->pooling == Pooling::kMean ? mean_ : cls_).embed(texts, rows);
  for (size_t i = 0; i < taken.size(); ++i) {
    const Request& request = *taken[i].request;
    std::copy_n(rows.begin() + static_cast<ptrdiff_t>(i * columns), columns,
                request.embeddings.begin() +
                    static_cast<ptrdiff_t>(request.pieces[taken[i].piece].text * columns));
  }
}

// Ends the requests whose last pieces these are, or all of them.
void Service::finish(const std::vector<RequestQueue::Taken>& taken, Refusal why,
                     const std::string& message) {
  for (const RequestQueue::Taken& part : taken) {
    Request& request = *part.request;
    ++request.n_answered;
    if (request.failed) continue;
    request.failed = why != Refusal::kNone;
    if (request.failed) queue_.drop(request);
    if (request.failed || request.n_answered == request.pieces.size()) {
      request.done(request, why, message);
    }
  }
}

}  // namespace qe
