// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "tools/fill_mask_file.h"

#include <cmath>
#include <map>
#include <utility>

#include "formats/atomic_write.h"
#include "formats/dataset/registry.h"
#include "kernels/core/error.h"
#include "tools/answer_texts.h"
#include "tools/table.h"

namespace qe::tools {
namespace {

// Lists of targets whose ids are remembered: most files repeat a few.
constexpr size_t kRememberedTargets = 1000;

class FileFiller {
 public:
  FileFiller(FillMask& model, const FileRequest& request, StopToken stop,
             const std::function<void(int64_t)>& progress)
      : model_(model), request_(request), stop_(stop), progress_(progress) {}

  FileResult run() {
    const std::string extension = dataset_file_type(request_.input).format->extension;
    const bool json = extension == ".jsonl" || extension == ".json";
    QE_CHECK(json || extension == ".txt", request_.input, ": expected .jsonl or .txt");
    TextStream text(request_.input);
    write_file_atomically(request_.output, [&](const Append& append) {
      LineReader lines(text, kMaxLine);
      for (std::string_view line; lines.next(line);) {
        if (json && line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
        add(line, json, cat(request_.input, ":", lines.number()));
        if (n_tokens_ >= kBatchesAtOnce * model_.batch_tokens()) flush(append);
      }
      flush(append);
    });
    return result_;
  }

 private:
  static constexpr size_t kMaxLine = size_t{1} << 26;  // of a text that a model can take, or not

  void add(std::string_view line, bool json, const std::string& place) {
    n_tokens_ += 1;  // lines without an answer are flushed as well
    try {
      prepared_.push_back(json ? parse(Json::parse(line, place))
                               : fill_task(model_, request_.mode, std::string(line), request_.top_k,
                                           request_.targets));
      n_tokens_ += static_cast<int64_t>(prepared_.back().text.ids.size());
      order_.push_back(true);
    } catch (const Error& error) {
      const std::string what = error.what();
      const std::string message = what.starts_with(place) ? what : cat(place, ": ", what);
      QE_CHECK(request_.on_error != OnError::kFail, message);
      if (++result_.n_errors == 1) result_.first_error = message;
      order_.push_back(false);
    }
  }

  FillTask parse(const Json& request) {
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
    return fill_task(model_, request_.mode, text,
                     top_k && !top_k->is_null() ? top_k->as_int() : request_.top_k,
                     targets && !targets->is_null() ? parse_targets(*targets) : request_.targets);
  }

  /// Of a list of words, or one word.
  Targets parse_targets(const Json& targets) {
    std::vector<std::string> words;
    if (targets.is_string()) {
      words = {targets.as_string()};
    } else {
      for (const Json& word : targets.items()) words.push_back(word.as_string());
    }
    const auto known = targets_.find(words);
    if (known != targets_.end()) return known->second;
    Targets resolved = targets_of(model_, request_.mode, words);
    if (targets_.size() >= kRememberedTargets) targets_.clear();
    targets_.emplace(std::move(words), resolved);
    return resolved;
  }

  void flush(const Append& append) {
    throw_if_stopped(stop_);
    const std::vector<FillAnswers> answers = fill_tasks(model_, prepared_, request_.mode);
    std::string text;
    size_t next = 0;
    for (const bool answered : order_) {
      if (answered) {
        text += answers_json(answers[next++]).dump() + "\n";
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
  StopToken stop_;
  const std::function<void(int64_t)>& progress_;
  FileResult result_;
  std::vector<FillTask> prepared_;
  std::vector<bool> order_;  // of the lines since the last flush: true has an answer
  int64_t n_tokens_ = 0;     // in prepared_
  int64_t n_lines_ = 0;
  std::map<std::vector<std::string>, Targets> targets_;
};

}  // namespace

Targets targets_of(const FillMask& model, const FillMode& mode,
                   const std::vector<std::string>& words) {
  if (mode.whole_targets) return {.words = model.target_tokens(words)};
  return {.candidates = model.target_ids(words)};
}

FillTask fill_task(const FillMask& model, const FillMode& mode, const std::string& text,
                   int64_t top_k, const Targets& targets) {
  FillTask task{model.prepare(text, top_k, targets.candidates), targets.words};
  QE_CHECK(!mode.whole_targets || !targets.words.empty(), "the request has no targets");
  model.check_words(task.text, targets.words);
  return task;
}

std::vector<FillAnswers> fill_tasks(FillMask& model, std::span<const FillTask> tasks,
                                    const FillMode& mode) {
  std::vector<FillAnswers> answers(tasks.size());
  if (mode.whole_targets) {
    for (size_t i = 0; i < tasks.size(); ++i) {
      answers[i].tokens = model.fill_with(tasks[i].text, tasks[i].words);
    }
    return answers;
  }
  std::vector<MaskedText> texts;
  for (const FillTask& task : tasks) texts.push_back(task.text);
  if (mode.joint) {
    auto filled = fill_jointly(model, texts, *mode.joint);
    for (size_t i = 0; i < tasks.size(); ++i) answers[i].tokens.push_back(std::move(filled[i]));
  } else {
    std::vector<MaskAnswers> filled = model.fill(texts);
    for (size_t i = 0; i < tasks.size(); ++i) answers[i].masks = std::move(filled[i]);
  }
  return answers;
}

Json answers_json(const FillAnswers& answers) {
  std::vector<Json> lists;
  for (const auto& of_mask : answers.masks) {
    Json& list = lists.emplace_back(Json::array());
    for (const MaskAnswer& answer : of_mask) {
      list.push_back(Json::object({{"score", nine_digits(answer.score)},
                                   {"token", int64_t{answer.token}},
                                   {"token_str", answer.token_str},
                                   {"sequence", answer.sequence}}));
    }
  }
  for (const auto& of_mask : answers.tokens) {
    Json& list = lists.emplace_back(Json::array());
    for (const TokensAnswer& answer : of_mask) {
      Json tokens = Json::array(), texts = Json::array();
      for (const int32_t id : answer.tokens) tokens.push_back(int64_t{id});
      for (const std::string& text : answer.token_strs) texts.push_back(text);
      list.push_back(Json::object({{"score", nine_digits(std::exp(answer.log_probability))},
                                   {"log_probability", nine_digits(answer.log_probability)},
                                   {"tokens", std::move(tokens)},
                                   {"token_strs", std::move(texts)},
                                   {"sequence", answer.sequence}}));
    }
  }
  return lists.size() == 1 ? std::move(lists[0]) : Json::array(std::move(lists));
}

FileResult fill_mask_file(FillMask& model, const FileRequest& request, StopToken stop,
                          const std::function<void(int64_t)>& progress) {
  return FileFiller(model, request, stop, progress).run();
}

}  // namespace qe::tools
