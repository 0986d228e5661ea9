// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "tools/fill_mask_file.h"

#include <cstdio>
#include <cstdlib>
#include <map>
#include <optional>
#include <span>
#include <utility>

#include "formats/atomic_write.h"
#include "formats/dataset/registry.h"
#include "kernels/core/error.h"

namespace qe::tools {
namespace {

// Lists of targets whose ids are remembered: most files repeat a few.
constexpr size_t kRememberedTargets = 1000;
// Some batches are collected before they run, so that few run half full.
constexpr int64_t kBatchesAtOnce = 4;

/// Nine significant digits tell any two fp32 numbers apart.
double nine_digits(double value) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%.9g", value);
  return std::strtod(buffer, nullptr);
}

struct Stopped {};

class FileFiller {
 public:
  FileFiller(FillMask& model, const FileRequest& request, const std::atomic<bool>& stop,
             const std::function<void(int64_t)>& progress)
      : model_(model), request_(request), stop_(stop), progress_(progress) {}

  FileResult run() {
    const std::string extension = dataset_file_type(request_.input).format->extension;
    const bool json = extension == ".jsonl" || extension == ".json";
    QE_CHECK(json || extension == ".txt", request_.input, ": expected .jsonl or .txt");
    TextStream text(request_.input);
    try {
      write_file_atomically(request_.output, [&](const Append& append) {
        LineReader lines(text, kMaxLine);
        for (std::string_view line; lines.next(line);) {
          if (json && line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
          add(line, json, cat(request_.input, ":", lines.number()));
          if (n_tokens_ >= kBatchesAtOnce * model_.batch_tokens()) flush(append);
        }
        flush(append);
      });
    } catch (const Stopped&) {
      result_.stopped = true;
    }
    return result_;
  }

 private:
  static constexpr size_t kMaxLine = size_t{1} << 26;  // of a text that a model can take, or not

  void add(std::string_view line, bool json, const std::string& place) {
    n_tokens_ += 1;  // lines without an answer are flushed as well
    try {
      prepared_.push_back(
          json ? parse(Json::parse(line, place))
               : model_.prepare(std::string(line), request_.top_k, request_.candidates));
      n_tokens_ += static_cast<int64_t>(prepared_.back().ids.size());
      order_.push_back(true);
    } catch (const Error& error) {
      const std::string what = error.what();
      const std::string message = what.starts_with(place) ? what : cat(place, ": ", what);
      QE_CHECK(request_.on_error != OnError::kFail, message);
      if (++result_.n_errors == 1) result_.first_error = message;
      order_.push_back(false);
    }
  }

  MaskedText parse(const Json& request) {
    const Json* top_k = nullptr;
    const Json* targets = nullptr;
    for (const auto& [key, value] : request.members()) {
      if (key == "top_k") {
        top_k = &value;
      } else if (key == "targets") {
        targets = &value;
      } else {
        QE_CHECK(key == "text", value.where(), ": unknown member");
      }
    }
    const std::string& text = request.at("text").as_string();
    return model_.prepare(
        text, top_k && !top_k->is_null() ? top_k->as_int() : request_.top_k,
        targets && !targets->is_null() ? target_ids(*targets) : request_.candidates);
  }

  /// Of a list of words, or one word.
  std::vector<int32_t> target_ids(const Json& targets) {
    std::vector<std::string> words;
    if (targets.is_string()) {
      words = {targets.as_string()};
    } else {
      for (const Json& word : targets.items()) words.push_back(word.as_string());
    }
    const auto known = target_ids_.find(words);
    if (known != target_ids_.end()) return known->second;
    std::vector<int32_t> ids = model_.target_ids(words);
    if (target_ids_.size() >= kRememberedTargets) target_ids_.clear();
    target_ids_.emplace(std::move(words), ids);
    return ids;
  }

  void flush(const Append& append) {
    if (stop_) throw Stopped{};
    const std::vector<MaskAnswers> answers = model_.fill(prepared_);
    std::string text;
    size_t next = 0;
    for (const bool answered : order_) {
      if (answered) {
        text += pipeline_json(answers[next++]).dump() + "\n";
      } else if (request_.on_error == OnError::kNull) {
        text += "null\n";
      }
    }
    append(std::as_bytes(std::span(text)));
    result_.n_answers += static_cast<int64_t>(answers.size());
    n_lines_ += static_cast<int64_t>(order_.size());
    prepared_.clear();
    order_.clear();
    n_tokens_ = 0;
    progress_(n_lines_);
  }

  FillMask& model_;
  const FileRequest& request_;
  const std::atomic<bool>& stop_;
  const std::function<void(int64_t)>& progress_;
  FileResult result_;
  std::vector<MaskedText> prepared_;
  std::vector<bool> order_;  // of the lines since the last flush: true has an answer
  int64_t n_tokens_ = 0;     // in prepared_
  int64_t n_lines_ = 0;
  std::map<std::vector<std::string>, std::vector<int32_t>> target_ids_;
};

}  // namespace

Json pipeline_json(const MaskAnswers& masks) {
  Json all = Json::array();
  for (const auto& answers : masks) {
    Json list = Json::array();
    for (const MaskAnswer& answer : answers) {
      list.push_back(Json::object({{"score", nine_digits(answer.score)},
                                   {"token", int64_t{answer.token}},
                                   {"token_str", answer.token_str},
                                   {"sequence", answer.sequence}}));
    }
    if (masks.size() == 1) return list;
    all.push_back(std::move(list));
  }
  return all;
}

FileResult fill_mask_file(FillMask& model, const FileRequest& request,
                          const std::atomic<bool>& stop,
                          const std::function<void(int64_t)>& progress) {
  return FileFiller(model, request, stop, progress).run();
}

}  // namespace qe::tools
