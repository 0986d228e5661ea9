// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// vocab.json, merges.txt and tokenizer_config.json, in this order, then text through them.

#include "tests/fuzz/tokenizer_checks.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace qe;
  fuzz::Input input(data, size);
  for (const char* name : {"vocab.json", "merges.txt", "tokenizer_config.json"}) {
    fuzz::folder().write(name, input.part());
  }
  fuzz::succeeds([&] {
    fuzz::check_tokenizer(Tokenizer::load(fuzz::folder().path()), input.rest().substr(0, 200));
  });
  return 0;
}
