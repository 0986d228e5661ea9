// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// The files beside a vocabulary: tokenizer_config.json, special_tokens_map.json, added_tokens.json
// and config.json, in this order.

#include <array>
#include <filesystem>

#include "tests/fuzz/tokenizer_checks.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace qe;
  static const bool ready = [] {
    fuzz::folder().write("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n<s>\n</s>\na\nb\n##b\n");
    return true;
  }();
  fuzz::require(ready, "no vocabulary");
  fuzz::Input input(data, size);
  for (const char* name :
       {"tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "config.json"}) {
    const std::string_view content = input.part();
    if (!content.empty()) {
      fuzz::folder().write(name, content);
    } else {
      std::filesystem::remove(fuzz::folder().path() + "/" + name);
    }
  }
  fuzz::succeeds([&] { fuzz::check_tokenizer(Tokenizer::load(fuzz::folder().path()), "ab b"); });
  return 0;
}
