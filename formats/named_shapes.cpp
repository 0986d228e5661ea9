// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/named_shapes.h"

#include "kernels/core/error.h"

namespace qe {
namespace {

struct Shape {
  const char* name;
  int64_t n_layers;
  int64_t hidden_size;
  int64_t n_heads;
  int64_t ffn_size;
  int64_t vocab_size;
  int64_t n_positions;
  double dropout;
};

// clang-format off
constexpr Shape kShapes[] = {
    // name                layers  hidden  heads    ffn   vocab  positions  dropout
    {"bert-base",              12,    768,    12,  3072,   30522,      512,  0.1},
    {"bert-large",             24,   1024,    16,  4096,   30522,      512,  0.1},
    {"xlm-roberta-base",       12,    768,    12,  3072,  250002,      512,  0.1},
    {"xlm-roberta-large",      24,   1024,    16,  4096,  250002,      512,  0.1},
    {"xlm-roberta-xl",         36,   2560,    32, 10240,  250880,      512,  0.1},
    {"xlm-roberta-xxl",        48,   4096,    32, 16384,  250880,      512,  0.1},
    {"modernbert-base",        22,    768,    12,  1728,   50368,     8192,  0.0},  // 1152, gated
    {"modernbert-large",       28,   1024,    16,  3936,   50368,     8192,  0.0},  // 2624, gated
    {"esm2-650m",              33,   1280,    20,  5120,      33,     1024,  0.0},
    {"esm2-3b",                36,   2560,    40, 10240,      33,     1024,  0.0},
    {"esm2-15b",               48,   5120,    40, 20480,      33,     1024,  0.0},
};
// clang-format on

}  // namespace

std::vector<std::string> named_shapes() {
  std::vector<std::string> names;
  for (const Shape& shape : kShapes) names.emplace_back(shape.name);
  return names;
}

EncoderConfig named_encoder_config(const std::string& name) {
  std::string known;
  for (const Shape& shape : kShapes) {
    known += cat(known.empty() ? "" : ", ", shape.name);
    if (name != shape.name) continue;
    return family_of("bert").read(Json::object({{"hidden_size", shape.hidden_size},
                                                {"num_hidden_layers", shape.n_layers},
                                                {"num_attention_heads", shape.n_heads},
                                                {"intermediate_size", shape.ffn_size},
                                                {"vocab_size", shape.vocab_size},
                                                {"max_position_embeddings", shape.n_positions},
                                                {"hidden_dropout_prob", shape.dropout},
                                                {"attention_probs_dropout_prob", shape.dropout}}));
  }
  fail("unknown shape \"", name, "\"; known: ", known);
}

}  // namespace qe
