// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// A dataset file of every format, compressed or not.

#include "formats/dataset/text_reader.h"
#include "tests/fuzz/support.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace qe;
  constexpr const char* kNames[] = {"a.txt",     "a.csv",     "a.tsv",    "a.json",
                                    "a.jsonl",   "a.txt.gz",  "a.csv.gz", "a.jsonl.gz",
                                    "a.txt.zst", "a.json.zst"};
  fuzz::Input input(data, size);
  const std::string name = kNames[input.byte() % std::size(kNames)];
  const unsigned columns = input.byte();
  const std::string path = fuzz::folder().write(name, input.rest());
  fuzz::succeeds([&] {
    int64_t line = 0;
    read_records(path, {.text = columns & 1 ? "text" : "", .pair = columns & 2 ? "text_pair" : ""},
                 [&](Record&& record) {
                   fuzz::require(record.line >= line, "lines in disorder");
                   line = record.line;
                 });
  });
  return 0;
}
