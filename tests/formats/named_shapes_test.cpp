// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/named_shapes.h"

#include <doctest/doctest.h>

#include "kernels/core/error.h"

namespace qe {
namespace {

// Weights of the encoder's Linears.
int64_t linear_weights(const EncoderConfig& c) {
  return c.n_layers * (4 * c.hidden_size * c.hidden_size + 2 * c.hidden_size * c.ffn_size);
}

TEST_CASE("named shapes: every one is a config that loads") {
  for (const std::string& name : named_shapes()) {
    CAPTURE(name);
    const EncoderConfig config = named_encoder_config(name);
    CHECK(config.hidden_size % config.n_heads == 0);
    CHECK(config.max_length() >= 512);
  }
}

TEST_CASE("named shapes: sizes of the published models") {
  CHECK(linear_weights(named_encoder_config("bert-base")) == 84934656);
  CHECK(linear_weights(named_encoder_config("bert-large")) == 301989888);
  CHECK(linear_weights(named_encoder_config("xlm-roberta-xl")) == 2831155200);
  CHECK(linear_weights(named_encoder_config("xlm-roberta-xxl")) == 9663676416);
  CHECK(linear_weights(named_encoder_config("esm2-15b")) == 15099494400);
  // 28 layers of 4 h^2 + 3 h f, f = 2624.
  CHECK(linear_weights(named_encoder_config("modernbert-large")) ==
        28 * (4 * 1024 * 1024 + 3 * 1024 * 2624));
  CHECK(named_encoder_config("esm2-650m").embedding_dropout == 0.0f);
  CHECK(named_encoder_config("bert-base").attention_dropout == 0.1f);
}

TEST_CASE("named shapes: an unknown name lists the known ones") {
  CHECK_THROWS_WITH_AS(named_encoder_config("gpt-2"),
                       doctest::Contains("unknown shape \"gpt-2\"; known: bert-base, bert-large"),
                       Error);
}

}  // namespace
}  // namespace qe
