// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// The C ABI over engine/serve: arguments are checked and exceptions become statuses here.
#include "engine/api/qlora_engine.h"

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <new>

#include "engine/serve/service.h"
#include "kernels/ops/backend.h"

struct qe_model {
  std::string mask_token, device_name;
  qe::Service service;
  qe_model(const qe::ServiceOptions& options, const qe::Log& log) : service(options, log) {
    mask_token = service.tokenizer().mask_token();
    device_name = qe::backend_name(service.device());
  }
};

namespace {

using qe::cat;
using qe::Refusal;
using qe::Refused;
using qe::Service;

qe_status status_of(Refusal why) {
  switch (why) {
    case Refusal::kNone:
      return QE_OK;
    case Refusal::kArgument:
      return QE_INVALID_ARGUMENT;
    case Refusal::kText:
      return QE_INVALID_TEXT;
    case Refusal::kFile:
      return QE_BAD_FILE;
    case Refusal::kAdapter:
      return QE_UNKNOWN_ADAPTER;
    case Refusal::kOverloaded:
      return QE_OVERLOADED;
    case Refusal::kDeadline:
      return QE_DEADLINE_EXCEEDED;
    case Refusal::kCancelled:
      return QE_CANCELLED;
    case Refusal::kMemory:
      return QE_OUT_OF_MEMORY;
    case Refusal::kDevice:
      return QE_NO_DEVICE;
    case Refusal::kInternal:
      break;
  }
  return QE_INTERNAL;
}

void write_message(qe_error* error, const char* message) {
  if (!error) return;
  const size_t n = std::min(std::strlen(message), sizeof(error->message) - 1);
  std::memcpy(error->message, message, n);
  error->message[n] = '\0';
}

// An argument of the caller's that cannot be.
[[noreturn]] void refuse(const std::string& what) { throw Refused(Refusal::kArgument, what); }
void require(bool holds, const char* what) {
  if (!holds) refuse(what);
}

// Runs f, which returns a status.
template <class F>
qe_status guarded(qe_error* error, const F& f) noexcept {
  try {
    write_message(error, "");
    return f();
  } catch (const Refused& refused) {
    write_message(error, refused.what());
    return status_of(refused.why);
  } catch (const std::bad_alloc&) {
    write_message(error, "the system has no memory left");
    return QE_OUT_OF_MEMORY;
  } catch (const std::exception& other) {
    write_message(error, other.what());
    return QE_INTERNAL;
  } catch (...) {
    write_message(error, "unknown exception");
    return QE_INTERNAL;
  }
}

// The caller's structure in our size: what an older caller does not know has its default.
template <class Options>
Options known(const Options* given, void (*init)(Options*), const char* name) {
  Options options;
  init(&options);
  if (!given) return options;
  if (given->struct_size < sizeof(size_t) || given->struct_size > sizeof(Options)) {
    refuse(cat(name, ": struct_size is ", given->struct_size, ", this library knows ",
               sizeof(Options), " bytes: call ", name, "_init"));
  }
  std::memcpy(&options, given, given->struct_size);
  options.struct_size = sizeof(Options);
  return options;
}

void require_range(const char* name, double value, double least, double most) {
  if (value >= least && value <= most) return;
  refuse(cat(name, ": expected ", least, " .. ", most, ", got ", value));
}

qe::ServiceOptions service_options(const char* folder, const qe_open_options& given) {
  require_range("threads", given.threads, 0, 4096);
  require_range("max_memory_MB", given.max_memory_MB, 0, 1e12);
  require_range("batch_tokens", static_cast<double>(given.batch_tokens), 0, 1 << 24);
  require_range("batch_delay_us", static_cast<double>(given.batch_delay_us), 0, 60e6);
  require_range("queue_tokens", static_cast<double>(given.queue_tokens), 1, 1e15);
  require_range("max_adapter_rank", static_cast<double>(given.max_adapter_rank), 0, 65536);
  if (given.bits != 4 && given.bits != 16 && given.bits != 32) {
    refuse(cat("bits: expected 4, 16 or 32, got ", given.bits));
  }
  const std::string quant_type = given.quant_type ? given.quant_type : "nf4";
  if (quant_type != "nf4" && quant_type != "fp4") {
    refuse(cat("quant_type: expected nf4 or fp4, got \"", quant_type, "\""));
  }
  qe::ServiceOptions options{.batch_delay = std::chrono::microseconds(given.batch_delay_us),
                             .queue_tokens = given.queue_tokens};
  qe::InferOptions& infer = options.infer;
  infer.model = folder;
  infer.base.bits = given.bits;
  infer.base.quant.type = quant_type == "nf4" ? qe::Quant4Type::kNf4 : qe::Quant4Type::kFp4;
  infer.base.quant.double_quant = given.double_quant != 0;
  if (given.device) infer.device = given.device;
  if (given.compute_dtype) infer.compute_dtype = given.compute_dtype;
  infer.threads = given.threads;
  infer.max_memory_MB = given.max_memory_MB;
  infer.batch_tokens = given.batch_tokens;
  infer.adapter_rank = given.max_adapter_rank;
  infer.stream = given.cuda_stream;
  return options;
}

qe::RequestOptions request_options(const qe_request_options* given) {
  const qe_request_options options = known(given, qe_request_options_init, "qe_request_options");
  require(options.timeout_us >= 0, "timeout_us: expected at least 0");
  return {.adapter = options.adapter,
          .timeout = std::chrono::microseconds(options.timeout_us),
          .truncate = options.truncate != 0};
}

std::string_view view_of(const qe_text& text) {
  require(text.bytes != nullptr || text.n_bytes == 0, "a text is null");
  if (text.n_bytes == SIZE_MAX) return text.bytes;
  return {text.bytes, text.n_bytes};
}

std::vector<std::string_view> views_of(const qe_text* texts, size_t n_texts) {
  require(texts != nullptr || n_texts == 0, "texts is null");
  require(n_texts <= INT32_MAX, "n_texts: too many");
  std::vector<std::string_view> views(n_texts);
  std::transform(texts, texts + n_texts, views.begin(), view_of);
  return views;
}

size_t write_answers(const qe::Request& request, std::span<qe_answer> to) {
  size_t n = 0;
  for (size_t t = 0; t < request.best.size(); ++t) {
    for (size_t m = 0; m < request.best[t].size(); ++m) {
      for (const qe::BestToken& token : request.best[t][m]) {
        if (n < to.size()) {
          to[n] = {static_cast<int32_t>(t), static_cast<int32_t>(request.masked[t].positions[m]),
                   token.id, token.probability};
        }
        ++n;
      }
    }
  }
  return n;
}

// The end of a request that somebody waits for.
struct Ending {
  std::mutex mutex;
  std::condition_variable came;
  bool ended = false;
  qe_status status = QE_OK;
  qe_error* error;

  static void callback(void* user, qe_status status, const char* message) {
    auto* self = static_cast<Ending*>(user);
    const std::lock_guard lock(self->mutex);  // to the end: the waiter takes everything away
    self->status = status;
    write_message(self->error, message);
    self->ended = true;
    self->came.notify_one();
  }
};

// Calls submit with a callback that wakes this thread, and waits.
template <class Submit>
qe_status wait_for(const Submit& submit, qe_error* error) {
  Ending ending{.error = error};
  const qe_status status = submit(Ending::callback, &ending);
  if (status != QE_OK) return status;
  std::unique_lock lock(ending.mutex);
  ending.came.wait(lock, [&] { return ending.ended; });
  return ending.status;
}

}  // namespace

const char* qe_status_name(qe_status status) {
  switch (status) {
    case QE_OK:
      return "QE_OK";
    case QE_INVALID_ARGUMENT:
      return "QE_INVALID_ARGUMENT";
    case QE_INVALID_TEXT:
      return "QE_INVALID_TEXT";
    case QE_BAD_FILE:
      return "QE_BAD_FILE";
    case QE_UNKNOWN_ADAPTER:
      return "QE_UNKNOWN_ADAPTER";
    case QE_BUFFER_TOO_SMALL:
      return "QE_BUFFER_TOO_SMALL";
    case QE_OVERLOADED:
      return "QE_OVERLOADED";
    case QE_DEADLINE_EXCEEDED:
      return "QE_DEADLINE_EXCEEDED";
    case QE_CANCELLED:
      return "QE_CANCELLED";
    case QE_OUT_OF_MEMORY:
      return "QE_OUT_OF_MEMORY";
    case QE_NO_DEVICE:
      return "QE_NO_DEVICE";
    case QE_INTERNAL:
      return "QE_INTERNAL";
  }
  return "unknown qe_status";
}

const char* qe_version(void) { return QE_VERSION; }
int qe_abi_version(void) { return QE_ABI_VERSION; }

void qe_open_options_init(qe_open_options* options) {
  if (!options) return;
  *options = {};
  options->struct_size = sizeof(*options);
  options->bits = 4;
  options->double_quant = 1;
  options->batch_tokens = qe::kUsualBatchTokens;
  options->queue_tokens = qe::ServiceOptions{}.queue_tokens;
  options->max_adapter_rank = 64;
}

void qe_request_options_init(qe_request_options* options) {
  if (!options) return;
  *options = {};
  options->struct_size = sizeof(*options);
}

qe_status qe_open(const char* folder, const qe_open_options* options, qe_model** model,
                  qe_error* error) {
  return guarded(error, [&] {
    require(model != nullptr, "model is null");
    *model = nullptr;
    require(folder != nullptr, "folder is null");
    const qe_open_options given = known(options, qe_open_options_init, "qe_open_options");
    qe::Log log;
    if (given.log) {
      log = qe::Log(
          [sink = given.log, user = given.log_user](qe::LogLevel level, const std::string& line) {
            sink(user, level == qe::LogLevel::kWarning ? 1 : 0, line.c_str());
          });
    }
    *model = new qe_model(service_options(folder, given), log);
    return QE_OK;
  });
}

void qe_close(qe_model** model) {
  if (!model) return;
  delete *model;
  *model = nullptr;
}

qe_status qe_get_info(qe_model* model, qe_info* info, qe_error* error) {
  return guarded(error, [&] {
    require(model != nullptr, "model is null");
    require(info != nullptr, "info is null");
    const Service& service = model->service;
    const qe_info all{.struct_size = sizeof(qe_info),
                      .vocab_size = service.config().vocab_size,
                      .hidden_size = service.config().hidden_size,
                      .max_tokens = service.config().max_length(),
                      .mask_id = service.tokenizer().mask_id().value_or(-1),
                      .has_head = service.has_head() ? 1 : 0,
                      .mask_token = model->mask_token.c_str(),
                      .device_name = model->device_name.c_str(),
                      .device_bytes = static_cast<int64_t>(service.memory_bytes())};
    const size_t size = info->struct_size;
    if (size < sizeof(size_t) || size > sizeof(all)) {
      refuse(cat("info->struct_size is ", size, ", expected ", sizeof(all)));
    }
    std::memcpy(info, &all, size);
    info->struct_size = size;
    return QE_OK;
  });
}

qe_status qe_attach(qe_model* model, const char* folder, int64_t* adapter, qe_error* error) {
  return guarded(error, [&] {
    require(model != nullptr, "model is null");
    require(folder != nullptr, "folder is null");
    require(adapter != nullptr, "adapter is null");
    *adapter = model->service.attach(folder);
    return QE_OK;
  });
}

qe_status qe_detach(qe_model* model, int64_t adapter, qe_error* error) {
  return guarded(error, [&] {
    require(model != nullptr, "model is null");
    model->service.detach(adapter);
    return QE_OK;
  });
}

qe_status qe_tokenize(qe_model* model, qe_text text, int32_t* ids, size_t capacity, size_t* n_ids,
                      qe_error* error) {
  return guarded(error, [&] {
    require(model != nullptr, "model is null");
    require(n_ids != nullptr, "n_ids is null");
    require(ids != nullptr || capacity == 0, "ids is null");
    const std::vector<int32_t> all = model->service.tokenizer().encode(view_of(text)).ids;
    *n_ids = all.size();
    if (all.size() > capacity) {
      write_message(error, cat("ids: room for ", capacity, ", the text has ", all.size()).c_str());
      return QE_BUFFER_TOO_SMALL;
    }
    std::copy(all.begin(), all.end(), ids);
    return QE_OK;
  });
}

qe_status qe_detokenize(qe_model* model, const int32_t* ids, size_t n_ids,
                        int32_t skip_special_tokens, char* text, size_t capacity, size_t* n_bytes,
                        qe_error* error) {
  return guarded(error, [&] {
    require(model != nullptr, "model is null");
    require(n_bytes != nullptr, "n_bytes is null");
    require(ids != nullptr || n_ids == 0, "ids is null");
    require(text != nullptr || capacity == 0, "text is null");
    const qe::Tokenizer& tokenizer = model->service.tokenizer();
    try {
      for (const int32_t id : std::span(ids, n_ids)) tokenizer.token(id);
    } catch (const qe::Error& unknown) {
      refuse(unknown.what());
    }
    const std::string all = tokenizer.decode({ids, ids + n_ids}, skip_special_tokens != 0);
    *n_bytes = all.size();
    if (all.size() >= capacity) {
      write_message(error,
                    cat("text: room for ", capacity, " bytes, expected ", all.size() + 1).c_str());
      return QE_BUFFER_TOO_SMALL;
    }
    std::memcpy(text, all.c_str(), all.size() + 1);
    return QE_OK;
  });
}

qe_status qe_submit_fill_mask(qe_model* model, const qe_text* texts, size_t n_texts, int32_t top_k,
                              const int32_t* targets, size_t n_targets,
                              const qe_request_options* options, qe_answer* answers,
                              size_t capacity, size_t* n_answers, qe_callback callback, void* user,
                              uint64_t* request, qe_error* error) {
  return guarded(error, [&] {
    require(model != nullptr, "model is null");
    require(callback != nullptr, "callback is null");
    require(n_answers != nullptr, "n_answers is null");
    require(answers != nullptr || capacity == 0, "answers is null");
    require(targets != nullptr || n_targets == 0, "targets is null");
    require(top_k > 0, "top_k: expected a positive number");
    const auto done = [=](qe::Request& ended, Refusal why, const std::string& message) {
      if (why != Refusal::kNone) return callback(user, status_of(why), message.c_str());
      const size_t n = write_answers(ended, {answers, capacity});
      *n_answers = n;
      if (n <= capacity) return callback(user, QE_OK, "");
      callback(user, QE_BUFFER_TOO_SMALL,
               cat("answers: room for ", capacity, ", there are ", n).c_str());
    };
    const uint64_t id =
        model->service.fill(views_of(texts, n_texts), top_k, {targets, targets + n_targets},
                            request_options(options), done);
    if (request) *request = id;
    return QE_OK;
  });
}

qe_status qe_fill_mask(qe_model* model, const qe_text* texts, size_t n_texts, int32_t top_k,
                       const int32_t* targets, size_t n_targets, const qe_request_options* options,
                       qe_answer* answers, size_t capacity, size_t* n_answers, qe_error* error) {
  return guarded(error, [&] {
    return wait_for(
        [&](qe_callback callback, void* user) {
          return qe_submit_fill_mask(model, texts, n_texts, top_k, targets, n_targets, options,
                                     answers, capacity, n_answers, callback, user, nullptr, error);
        },
        error);
  });
}

qe_status qe_submit_score(qe_model* model, const qe_text* texts, size_t n_texts,
                          const qe_request_options* options, qe_text_score* scores,
                          qe_callback callback, void* user, uint64_t* request, qe_error* error) {
  return guarded(error, [&] {
    require(model != nullptr, "model is null");
    require(callback != nullptr, "callback is null");
    require(scores != nullptr, "scores is null");
    const auto done = [=](qe::Request& ended, Refusal why, const std::string& message) {
      for (size_t t = 0; why == Refusal::kNone && t < ended.log_probabilities.size(); ++t) {
        qe_text_score score{.log_probability = 0.0,
                            .n_tokens = static_cast<int64_t>(ended.log_probabilities[t].size())};
        for (const double value : ended.log_probabilities[t]) score.log_probability += value;
        scores[t] = score;
      }
      callback(user, status_of(why), message.c_str());
    };
    const uint64_t id =
        model->service.score(views_of(texts, n_texts), request_options(options), done);
    if (request) *request = id;
    return QE_OK;
  });
}

qe_status qe_score(qe_model* model, const qe_text* texts, size_t n_texts,
                   const qe_request_options* options, qe_text_score* scores, qe_error* error) {
  return guarded(error, [&] {
    return wait_for(
        [&](qe_callback callback, void* user) {
          return qe_submit_score(model, texts, n_texts, options, scores, callback, user, nullptr,
                                 error);
        },
        error);
  });
}

qe_status qe_submit_embed(qe_model* model, const qe_text* texts, size_t n_texts, qe_pooling pooling,
                          int32_t normalize, const qe_request_options* options, float* embeddings,
                          qe_callback callback, void* user, uint64_t* request, qe_error* error) {
  return guarded(error, [&] {
    require(model != nullptr, "model is null");
    require(callback != nullptr, "callback is null");
    require(embeddings != nullptr, "embeddings is null");
    require(pooling == QE_POOL_MEAN || pooling == QE_POOL_CLS, "pooling: no such kind");
    const std::vector<std::string_view> views = views_of(texts, n_texts);
    const int64_t columns = model->service.config().hidden_size;
    const std::span<float> out(embeddings, n_texts * static_cast<size_t>(columns));
    const auto done = [=](qe::Request&, Refusal why, const std::string& message) {
      if (why == Refusal::kNone && normalize != 0) qe::normalize_rows(out, columns);
      callback(user, status_of(why), message.c_str());
    };
    const uint64_t id = model->service.embed(
        views, pooling == QE_POOL_MEAN ? qe::Pooling::kMean : qe::Pooling::kCls,
        request_options(options), out, done);
    if (request) *request = id;
    return QE_OK;
  });
}

qe_status qe_embed(qe_model* model, const qe_text* texts, size_t n_texts, qe_pooling pooling,
                   int32_t normalize, const qe_request_options* options, float* embeddings,
                   qe_error* error) {
  return guarded(error, [&] {
    return wait_for(
        [&](qe_callback callback, void* user) {
          return qe_submit_embed(model, texts, n_texts, pooling, normalize, options, embeddings,
                                 callback, user, nullptr, error);
        },
        error);
  });
}

int qe_cancel(qe_model* model, uint64_t request) {
  if (!model) return 0;
  try {
    return model->service.cancel(request) ? 1 : 0;
  } catch (...) {  // no memory for the message
    return 0;
  }
}
