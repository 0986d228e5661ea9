// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// Folders that are quantized or merged, written, and loaded again. References: what peft computes
// with the adapter before merging, and the bytes that bitsandbytes wrote for the same base.
#include <doctest/doctest.h>

#include <cstring>
#include <filesystem>

#include "engine/convert/logit_drift.h"
#include "engine/infer/fill_mask.h"
#include "formats/json.h"
#include "tests/support/golden.h"
#include "tests/support/temporary_folder.h"

namespace qe {
namespace {

using Base = ConvertOptions::Base;

const std::string kModel = test::golden_path("bert/model");
const std::string kStored4 = test::golden_path("bert/model-nf4");
const std::string kAdapter = test::golden_path("trained-adapter");
const std::vector<std::vector<int32_t>> kTexts = {{2, 52, 67, 53, 4, 75, 58, 3}, {2, 9, 120, 3}};

ThreadPool& threads() {
  static ThreadPool pool(2);
  return pool;
}

// Writes the converted folder, ready to be loaded with its tokenizer.
std::string written(const TemporaryFolder& scratch, const char* name, const std::string& model,
                    const ConvertOptions& options) {
  const std::string folder = scratch.path() + "/" + name;
  std::filesystem::create_directory(folder);
  ConvertedTensors(model, options, threads()).write(folder);
  for (const char* file : {"tokenizer.json", "tokenizer_config.json", "vocab.txt"}) {
    const std::string from = kModel + "/" + file;
    if (std::filesystem::exists(from)) std::filesystem::copy(from, folder + "/" + file);
  }
  return folder;
}

std::vector<float> logits_of(const std::string& model, const ConvertOptions& options) {
  ConvertedTensors tensors(model, options, threads());
  return all_logits(tensors, kTexts, threads());
}

// The largest difference between a folder's logits at the masks and peft's.
double difference_to_peft(const std::string& folder) {
  FillMask model({.model = folder, .base = {.bits = 32}, .device = "cpu", .threads = 2}, Log());
  double worst = 0.0;
  const Json golden = Json::parse_file(kAdapter + "/peft_logits.json");
  for (const Json& example : golden.items()) {
    std::vector<int32_t> ids;
    for (const Json& id : example.at("input_ids").items()) {
      ids.push_back(static_cast<int32_t>(id.as_int()));
    }
    const std::vector<float> logits = model.logits(ids).front();
    const std::vector<Json>& top = example.at("top_ids").items();
    for (size_t i = 0; i < top.size(); ++i) {
      const double expected = example.at("top_logits").items()[i].as_double();
      const double got = logits[static_cast<size_t>(top[i].as_int())];
      worst = std::max(worst, std::abs(got - expected));
    }
  }
  return worst;
}

}  // namespace

TEST_CASE("merged onto the original weights, a folder alone gives the logits of base and adapter") {
  const TemporaryFolder scratch;
  ConvertOptions options{.base = Base::kStored, .adapters = {{kAdapter, 1.0}}};
  CHECK(difference_to_peft(kModel) > 0.1);
  CHECK(difference_to_peft(written(scratch, "one", kModel, options)) < 1e-4);
  options.adapters = {{kAdapter, 0.25}, {kAdapter, 0.75}};
  CHECK(difference_to_peft(written(scratch, "parts", kModel, options)) < 1e-4);
  options.adapters = {{kAdapter, 1.0}, {kAdapter, -1.0}};
  CHECK(test::max_difference(logits_of(kModel, options),
                             logits_of(kModel, {.base = Base::kStored})) < 1e-4);
}

TEST_CASE("quantize writes the codes that bitsandbytes wrote for the same base") {
  const TemporaryFolder scratch;
  const std::string folder =
      written(scratch, "q", kModel, {.base = Base::kStored, .four_bit = true});
  const SafetensorsFile ours(folder + "/model.safetensors");
  const SafetensorsFile theirs(kStored4 + "/model.safetensors");
  REQUIRE(ours.tensors().size() == theirs.tensors().size());
  int n_codes = 0;
  for (const auto& [name, expected] : theirs.tensors()) {
    CAPTURE(name);
    REQUIRE(ours.tensors().count(name) == 1);
    const StoredTensor& got = ours.tensors().at(name);
    CHECK(got.dtype == expected.dtype);
    // The mean of the scales depends on the order of summation; what follows it is in their last
    // bits (tests/golden/README.md).
    if (name.find("quant_state") != std::string::npos) continue;
    CHECK(got.shape == expected.shape);
    if (name.find("nested") != std::string::npos) {
      CHECK(test::max_difference(got.to_f32(), expected.to_f32()) < 1e-6);
    } else {
      CHECK(std::memcmp(got.bytes.data(), expected.bytes.data(), expected.bytes.size()) == 0);
    }
    n_codes += expected.dtype == DType::kU8 ? 1 : 0;
  }
  CHECK(n_codes == 24);  // codes and scales of 12 linears
  const Json config = Json::parse_file(folder + "/config.json");
  CHECK(config.at("quantization_config").dump() ==
        Json::parse_file(kStored4 + "/config.json").at("quantization_config").dump());
}

TEST_CASE("a folder in 4 bits answers as the floats that it decodes to, and as the base it is of") {
  // From the folder's own codes, and from codes made here.
  const std::vector<float> decoded = logits_of(kStored4, {});
  CHECK(test::max_difference(decoded, logits_of(kModel, {})) < 1e-4);
  CHECK(test::max_difference(decoded, logits_of(kModel, {.base = Base::kStored})) > 1e-3);

  const TemporaryFolder scratch;
  const std::string folder =
      written(scratch, "q", kModel, {.base = Base::kStored, .four_bit = true});
  for (const int64_t bits : {4, 32}) {
    FillMask stored({.model = folder, .base = {.bits = bits}, .device = "cpu", .threads = 2},
                    Log());
    FillMask made({.model = kModel, .base = {.bits = 4}, .device = "cpu", .threads = 2}, Log());
    CHECK(test::max_difference(stored.logits(kTexts[0]).front(), made.logits(kTexts[0]).front()) <
          1e-4);
  }
}

TEST_CASE("merging what was trained decodes it first; quantized again, it drifts and says so") {
  const ConvertOptions trained{.dtype = DType::kF32, .adapters = {{kAdapter, 1.0}}};
  ConvertOptions again = trained;
  again.four_bit = true;
  const std::vector<float> reference = logits_of(kModel, trained);

  // Before merging: the 4-bit base with the adapter beside it.
  FillMask before({.model = kModel, .adapter = kAdapter, .device = "cpu", .threads = 2}, Log());
  const int64_t vocab_size = 160;
  const std::vector<float> at_mask(reference.begin() + 4 * vocab_size,
                                   reference.begin() + 5 * vocab_size);
  CHECK(test::max_difference(before.logits(kTexts[0]).front(), at_mask) < 1e-4);

  const LogitDrift none = drift(reference, reference, vocab_size);
  CHECK(none.max == 0.0);
  CHECK(none.same_best == 1.0);
  const LogitDrift d = drift(logits_of(kModel, again), reference, vocab_size);
  CHECK(d.max > 0.01);
  CHECK(d.mean > 0.0);
  CHECK(d.mean < d.max);
}

TEST_CASE("what cannot be converted is refused, naming the place") {
  const auto error = [](const std::string& model, const ConvertOptions& options) {
    return error_of([&] {
      ConvertedTensors tensors(model, options, threads());
      const TemporaryFolder scratch;
      tensors.write(scratch.path());
    });
  };
  CHECK(error(kStored4, {.base = Base::kStored, .four_bit = true})
            .find("is stored in 4 bits: there are no original floats here") != std::string::npos);
  CHECK(error(test::example_path("tiny-mlm"), {.adapters = {{kAdapter, 1.0}}})
            .find("the adapter is for another base") != std::string::npos);
  const std::string overflow = error(kModel, {.dtype = DType::kF16, .adapters = {{kAdapter, 1e6}}});
  CHECK(overflow.find("which is no finite value in F16") != std::string::npos);
  CHECK(overflow.find("weight\"") != std::string::npos);
}

}  // namespace qe
