// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// A line of `tokenize --jsonl` and `tokenize --decode`: the answer is a line of JSON.

#include "formats/json.h"
#include "formats/tokenizer/tokenize_json.h"
#include "tests/fuzz/tokenizer_checks.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace qe;
  static const Tokenizer tokenizer = [] {
    const std::string path = QE_SOURCE_DIR "/tests/fuzz/tokenizers/wordpiece.json";
    fuzz::folder().write("tokenizer.json", content_of(path));
    return Tokenizer::load(fuzz::folder().path());
  }();
  fuzz::Input input(data, size);
  const auto check = [](const std::string& line) {
    fuzz::require(line.find('\n') == std::string::npos, "an answer of several lines");
    Json::parse(line, "answer");
  };
  fuzz::succeeds([&] { check(tokenize_json_line(tokenizer, input.rest(), "request")); });
  fuzz::succeeds([&] { check(decode_json_line(tokenizer, input.rest(), "request")); });
  return 0;
}
