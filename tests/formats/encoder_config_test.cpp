// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/encoder_config.h"

#include <doctest/doctest.h>

#include "tests/support/temporary_folder.h"

namespace qe {
namespace {

TEST_CASE("the example model's config.json") {
  const EncoderConfig config = read_encoder_config(QE_SOURCE_DIR "/examples/tiny-mlm");
  CHECK(config.model_type == "bert");
  CHECK(config.vocab_size == 8192);
  CHECK(config.hidden_size == 256);
  CHECK(config.n_layers == 4);
  CHECK(config.n_heads == 4);
  CHECK(config.head_dim == 64);
  CHECK(config.ffn_size == 1024);
  CHECK(config.embedding_dropout == 0.0f);
  CHECK(config.max_length() == 512);
}

TEST_CASE("read_encoder_config names what is wrong with the file or its model_type") {
  const TemporaryFolder folder;
  const std::string path = folder.path() + "/config.json";
  const auto error = [&](const std::string& content) {
    folder.write("config.json", content);
    return error_of([&] { read_encoder_config(folder.path()); });
  };
  CHECK(error_of([&] { read_encoder_config(folder.path()); }) ==
        path + ": cannot open: No such file or directory");
  CHECK(error("{").starts_with(path + ": column 2: "));
  CHECK(error("{}") == path + ": missing key \"model_type\", the family's name, as \"bert\"");
  CHECK(error("[]") == path + ": expected an object, got []");
  CHECK(error(R"({"model_type": 5})") == path + ": /model_type: expected a string, got 5");
  const std::string unknown = error(R"({"model_type": "gpt2"})");
  CHECK(unknown.starts_with(path + ": /model_type: model_type \"gpt2\" is not supported; "
                                   "supported: "));
  for (const Family& family : families()) {
    CHECK(unknown.find(family.model_type) != std::string::npos);
  }
}

TEST_CASE("every family reads its own defaults and names modules that exist per layer") {
  for (const Family& family : families()) {
    CAPTURE(family.model_type);
    CHECK(&family_of(family.model_type) == &family);
    const EncoderConfig config = family.read(
        Json::parse(R"({"model_type": ")" + std::string(family.model_type) + "\"}", "config.json"));
    CHECK(config.model_type == family.model_type);
    CHECK(config.hidden_size % config.n_heads == 0);
    CHECK(config.max_length() > 0);
    CHECK_FALSE(config.masked_lm_class.empty());
    CHECK_FALSE(config.parent_library.empty());
    const EncoderNames& names = config.names;
    std::vector<std::string> patterns = names.linears();
    patterns.push_back(names.attention_norm);
    patterns.push_back(names.ffn_norm);
    for (const std::string& pattern : patterns) {
      if (pattern.find("{i}") == std::string::npos) continue;
      // Names that are already canonical stay as they are.
      const std::string name = layer_name(pattern, 7) + ".weight";
      CHECK(name.find(".7.") != std::string::npos);
      CHECK(family.canonical_name(name) == name);
      CHECK(name.starts_with(names.base_prefix));
    }
  }
}

TEST_CASE("layer_name fills the index in") {
  CHECK(layer_name("a.{i}.b", 12) == "a.12.b");
  CHECK(error_of([] { layer_name("a.b", 0); }) == "layer pattern \"a.b\" has no {i}");
}

}  // namespace
}  // namespace qe
