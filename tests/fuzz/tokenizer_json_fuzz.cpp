// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// tokenizer.json, then text through what it describes.

#include "tests/fuzz/tokenizer_checks.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace qe;
  fuzz::Input input(data, size);
  fuzz::folder().write("tokenizer.json", input.part());
  fuzz::succeeds([&] {
    fuzz::check_tokenizer(Tokenizer::load(fuzz::folder().path()), input.rest().substr(0, 200));
  });
  return 0;
}
