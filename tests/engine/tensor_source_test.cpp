// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/model/tensor_source.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/model/weight_loader.h"
#include "formats/named_shapes.h"

namespace qe {
namespace {

std::vector<float> values_of(int n_threads, uint64_t seed, const std::string& name,
                             const std::vector<int64_t>& shape) {
  ThreadPool threads(n_threads);
  RandomTensors source("random", seed, Context{.threads = &threads}, /*planning=*/false);
  return source.read(*source.find(name, shape)).to_f32();
}

TEST_CASE("random tensors: a function of seed, name and index") {
  const std::vector<float> one = values_of(1, 1, "a.weight", {777, 1001});
  CHECK(one.size() == 777 * 1001);
  CHECK(one == values_of(2, 1, "a.weight", {777, 1001}));
  CHECK(one != values_of(2, 2, "a.weight", {777, 1001}));
  CHECK(one != values_of(2, 1, "b.weight", {777, 1001}));
  double sum = 0.0, squares = 0.0;
  for (const float x : one) {
    sum += static_cast<double>(x);
    squares += static_cast<double>(x) * static_cast<double>(x);
  }
  const double n = static_cast<double>(one.size());
  // Five standard errors of the mean and of the second moment of a uniform distribution.
  CHECK(std::fabs(sum / n) < 5 * 0.02 / std::sqrt(n));
  CHECK(std::fabs(squares / n - 4e-4) < 5 * 4e-4 * std::sqrt(0.8 / n));
}

TEST_CASE("random tensors: LayerNorm weights are 1, its biases are not") {
  CHECK(values_of(1, 1, "x.LayerNorm.weight", {5}) == std::vector<float>(5, 1.0f));
  CHECK(values_of(1, 1, "x.LayerNorm.bias", {5}) != std::vector<float>(5, 0.0f));
}

TEST_CASE("random models: planned sizes are those of the loaded model") {
  ThreadPool threads(2);
  const Context ctx{.threads = &threads};
  EncoderConfig config = named_encoder_config("bert-base");
  config.n_layers = 1;
  config.vocab_size = 100;
  Memory planned(true), owned(false);
  random_masked_lm(config, 1, BaseOptions{}, ctx, planned);
  const MaskedLm model = random_masked_lm(config, 1, BaseOptions{}, ctx, owned);
  CHECK(planned.total() == owned.total());
  CHECK(model.layers[0].ffn_up[0].weight.is_quantized());
  CHECK(model.layers[0].ffn_up[0].weight.n() == 3072);
  CHECK(model.decoder.data == model.word_table.data);
}

}  // namespace
}  // namespace qe
