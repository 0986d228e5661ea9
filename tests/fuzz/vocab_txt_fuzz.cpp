// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// vocab.txt, then text through BERT's rules.

#include "tests/fuzz/tokenizer_checks.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace qe;
  fuzz::Input input(data, size);
  fuzz::folder().write("vocab.txt", input.part());
  fuzz::succeeds([&] {
    fuzz::check_tokenizer(Tokenizer::load(fuzz::folder().path()), input.rest().substr(0, 200));
  });
  return 0;
}
