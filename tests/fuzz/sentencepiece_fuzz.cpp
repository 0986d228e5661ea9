// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// A sentencepiece model as each of the families reads it, then text through it.

#include <filesystem>

#include "tests/fuzz/tokenizer_checks.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace qe;
  struct Kind {
    const char* file;
    const char* tokenizer_class;
  };
  constexpr Kind kKinds[] = {{"tokenizer.model", ""},
                             {"sentencepiece.bpe.model", "XLMRobertaTokenizer"},
                             {"sentencepiece.bpe.model", "CamembertTokenizer"},
                             {"spiece.model", "AlbertTokenizer"},
                             {"spm.model", "DebertaV2Tokenizer"}};
  fuzz::Input input(data, size);
  const Kind& kind = kKinds[input.byte() % std::size(kKinds)];
  const auto n_text = std::min<size_t>(input.byte(), input.rest().size());
  const std::string_view text = input.rest().substr(0, n_text);
  fuzz::folder().write("tokenizer_config.json",
                       std::string(R"({"tokenizer_class":")") + kind.tokenizer_class + "\"}");
  const std::string path = fuzz::folder().write(kind.file, input.rest().substr(n_text));
  fuzz::succeeds([&] { fuzz::check_tokenizer(Tokenizer::load(fuzz::folder().path()), text); });
  std::filesystem::remove(path);
  return 0;
}
