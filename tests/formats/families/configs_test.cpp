// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// config.json in the forms that published folders have and in transformers 5's
// (tests/golden/configs.json, made by scripts/make_config_goldens.py).
#include <doctest/doctest.h>

#include <set>

#include "formats/encoder_config.h"

namespace qe {
namespace {

EncoderConfig read(const Json& config) {
  return family_of(config.at("model_type").as_string()).read(config);
}

}  // namespace

TEST_CASE("a config.json as published and as transformers 5 saves it are the same encoder") {
  const Json rows = Json::parse_file(QE_SOURCE_DIR "/tests/golden/configs.json");
  std::set<std::string> seen;
  for (const Json& row : rows.items()) {
    const std::string& name = row.at("name").as_string();
    CAPTURE(name);
    const EncoderConfig found = read(row.at("found"));
    const EncoderConfig saved = read(row.at("saved"));
    CHECK(found == saved);
    seen.insert(found.model_type);

    const Json& facts = row.at("facts");
    const auto check = [&](const char* key, int64_t ours) {
      CAPTURE(key);
      if (facts.find(key)) CHECK(facts.at(key).as_int() == ours);
    };
    check("hidden_size", found.hidden_size);
    check("num_hidden_layers", found.n_layers);
    check("num_attention_heads", found.n_heads);
    check("num_key_value_heads", found.n_kv_heads);
    check("intermediate_size", found.ffn_size);
    check("vocab_size", found.vocab_size);
    check("max_position_embeddings", found.max_positions);
    if (const Json* types = facts.find("layer_types"); types && !found.local_layers.empty()) {
      for (size_t i = 0; i < types->items().size(); ++i) {
        CHECK(found.is_local(static_cast<int64_t>(i)) ==
              (types->items()[i].as_string() == "sliding_attention"));
      }
    }
    if (const Json* thetas = facts.find("thetas")) {
      std::set<double> expected;
      for (const Json& theta : thetas->items()) expected.insert(theta.as_double());
      std::set<double> ours = {found.rotary.theta};
      if (!found.local_layers.empty()) ours.insert(found.local_rotary.theta);
      CHECK(ours == expected);
    }
  }
  CHECK(seen.size() >= 15);
}

}  // namespace qe
