// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// C++17 over qlora_engine.h: handles that close themselves, errors as exceptions, results as
// vectors. Threads and lifetimes are as there.

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "qlora_engine.h"

namespace qlora_engine {

class Error : public std::runtime_error {
 public:
  Error(qe_status status, const char* message) : std::runtime_error(message), status_(status) {}
  qe_status status() const noexcept { return status_; }

 private:
  qe_status status_;
};

inline qe_open_options open_options() {
  qe_open_options options;
  qe_open_options_init(&options);
  return options;
}

inline qe_request_options request_options(int64_t adapter = QE_BASE) {
  qe_request_options options;
  qe_request_options_init(&options);
  options.adapter = adapter;
  return options;
}

class Model {
 public:
  explicit Model(const std::string& folder, const qe_open_options& options = open_options()) {
    check([&](qe_error* error) { return qe_open(folder.c_str(), &options, &model_, error); });
  }
  ~Model() { qe_close(&model_); }
  Model(Model&& other) noexcept : model_(std::exchange(other.model_, nullptr)) {}
  Model& operator=(Model&& other) noexcept {
    std::swap(model_, other.model_);
    return *this;
  }

  /// For the functions of the C interface that have no method here.
  qe_model* handle() const noexcept { return model_; }

  qe_info info() const {
    qe_info info{};
    info.struct_size = sizeof(info);
    check([&](qe_error* error) { return qe_get_info(model_, &info, error); });
    return info;
  }

  int64_t attach(const std::string& folder) {
    int64_t adapter = 0;
    check([&](qe_error* error) { return qe_attach(model_, folder.c_str(), &adapter, error); });
    return adapter;
  }
  void detach(int64_t adapter) {
    check([&](qe_error* error) { return qe_detach(model_, adapter, error); });
  }

  std::vector<int32_t> tokenize(std::string_view text) const {
    std::vector<int32_t> ids(text.size() + 16);
    size_t n = 0;
    qe_error error;
    qe_status status =
        qe_tokenize(model_, {text.data(), text.size()}, ids.data(), ids.size(), &n, &error);
    if (status == QE_BUFFER_TOO_SMALL) {
      ids.resize(n);
      status = qe_tokenize(model_, {text.data(), text.size()}, ids.data(), ids.size(), &n, &error);
    }
    if (status != QE_OK) throw Error(status, error.message);
    ids.resize(n);
    return ids;
  }
  std::string token_text(int32_t id) const { return detokenize({id}); }
  std::string detokenize(const std::vector<int32_t>& ids, bool skip_special_tokens = false) const {
    std::string text(16 * ids.size() + 64, '\0');
    size_t n = 0;
    qe_error error;
    const auto call = [&] {
      return qe_detokenize(model_, ids.data(), ids.size(), skip_special_tokens ? 1 : 0, text.data(),
                           text.size(), &n, &error);
    };
    qe_status status = call();
    if (status == QE_BUFFER_TOO_SMALL) {
      text.resize(n + 1);
      status = call();
    }
    if (status != QE_OK) throw Error(status, error.message);
    text.resize(n);
    return text;
  }

  std::vector<qe_answer> fill_mask(const std::vector<std::string>& texts, int32_t top_k = 5,
                                   const qe_request_options& options = request_options(),
                                   const std::vector<int32_t>& targets = {}) {
    const std::vector<qe_text> views = views_of(texts);
    std::vector<qe_answer> answers(texts.size() * static_cast<size_t>(top_k > 0 ? top_k : 0));
    size_t n = 0;
    qe_error error;
    const auto call = [&] {
      return qe_fill_mask(model_, views.data(), views.size(), top_k, targets.data(), targets.size(),
                          &options, answers.data(), answers.size(), &n, &error);
    };
    qe_status status = call();
    if (status == QE_BUFFER_TOO_SMALL) {  // texts with several masks
      answers.resize(n);
      status = call();
    }
    if (status != QE_OK) throw Error(status, error.message);
    answers.resize(n);
    return answers;
  }

  std::vector<qe_text_score> score(const std::vector<std::string>& texts,
                                   const qe_request_options& options = request_options()) {
    const std::vector<qe_text> views = views_of(texts);
    std::vector<qe_text_score> scores(texts.size());
    check([&](qe_error* error) {
      return qe_score(model_, views.data(), views.size(), &options, scores.data(), error);
    });
    return scores;
  }

  /// Row-major, (texts, hidden_size).
  std::vector<float> embed(const std::vector<std::string>& texts, qe_pooling pooling = QE_POOL_MEAN,
                           bool normalize = false,
                           const qe_request_options& options = request_options()) {
    const std::vector<qe_text> views = views_of(texts);
    std::vector<float> rows(texts.size() * static_cast<size_t>(info().hidden_size));
    check([&](qe_error* error) {
      return qe_embed(model_, views.data(), views.size(), pooling, normalize ? 1 : 0, &options,
                      rows.data(), error);
    });
    return rows;
  }

 private:
  template <class Call>
  static void check(const Call& call) {
    qe_error error;
    const qe_status status = call(&error);
    if (status != QE_OK) throw Error(status, error.message);
  }
  static std::vector<qe_text> views_of(const std::vector<std::string>& texts) {
    std::vector<qe_text> views;
    views.reserve(texts.size());
    for (const std::string& text : texts) views.push_back({text.data(), text.size()});
    return views;
  }

  qe_model* model_ = nullptr;
};

}  // namespace qlora_engine
