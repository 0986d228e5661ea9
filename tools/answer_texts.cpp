// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "tools/answer_texts.h"

#include <iostream>
#include <utility>
#include <vector>

#include "kernels/core/error.h"
#include "tools/model_options.h"
#include "tools/stop_signal.h"
#include "tools/table.h"

namespace qe::tools {
namespace {

class Collected {
 public:
  Collected(const TextJob& job, const Append& write) : job_(job), write_(write) {}

  void add(EncodedText&& text) {
    if (text.n_cut > 0) ++n_cut_;
    cost_ += job_.cost(text);
    texts_.push_back(std::move(text));
    if (cost_ >= kBatchesAtOnce * job_.session.capacity().tokens) flush();
  }

  void flush() {
    const std::string answers = job_.answer(texts_);
    write_(std::as_bytes(std::span(answers)));
    n_done_ += static_cast<int64_t>(texts_.size());
    texts_.clear();
    cost_ = 0;
  }

  int64_t n_done() const { return n_done_; }
  int64_t n_cut() const { return n_cut_; }

 private:
  const TextJob& job_;
  const Append& write_;
  std::vector<EncodedText> texts_;
  int64_t cost_ = 0;  // of texts_
  int64_t n_done_ = 0;
  int64_t n_cut_ = 0;
};

}  // namespace

int64_t answer_texts(const Arguments& arguments, const TextJob& job, StopToken stop,
                     Progress& progress, const Append& write) {
  Collected texts(job, write);
  for_each_input(
      arguments,
      [&](std::string&& text, const std::string&) {
        texts.add(job.prepare(text));
        if (texts.n_done() > 0) progress.bar(job.name, texts.n_done(), 0, "texts");
      },
      stop);
  texts.flush();
  progress.clear();
  if (texts.n_cut() > 0) {
    progress.log().warn(cat(human_count(texts.n_cut()), " texts were cut to ",
                            job.session.config().max_length(), " tokens"));
  }
  return texts.n_done();
}

void write_answers(const std::string& output, const std::function<void(const Append&)>& produce) {
  if (!output.empty()) return write_file_atomically(output, produce);
  produce([](std::span<const std::byte> bytes) {
    std::cout.write(reinterpret_cast<const char*>(bytes.data()),
                    static_cast<std::streamsize>(bytes.size()));
    std::cout.flush();
  });
}

int unless_stopped(const std::string& output, Progress& progress,
                   const std::function<void()>& run) {
  try {
    run();
  } catch (const Stopped&) {
    progress.clear();
    if (!output.empty()) progress.line(cat("stopped: ", output, " is as it was"));
    return stop_status();
  }
  return 0;
}

}  // namespace qe::tools
