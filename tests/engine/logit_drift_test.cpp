// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// Converted models as they are loaded again, and how far their answers are from the original's.
#include "engine/convert/logit_drift.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "engine/infer/fill_mask.h"
#include "tests/support/device.h"
#include "tests/support/golden.h"
#include "tests/support/temporary_folder.h"

namespace qe {
namespace {

using Base = ConvertOptions::Base;

const std::string kModel = test::golden_path("bert/model");
const std::string kStored4 = test::golden_path("bert/model-nf4");
const std::string kAdapter = test::golden_path("trained-adapter");
const std::vector<std::vector<int32_t>> kTexts = {{2, 52, 67, 53, 4, 75, 58, 3}, {2, 9, 120, 3}};

// The device under test, in fp32.
Context device() {
  static ThreadPool pool(2);
  Context ctx{.threads = &pool};
  test::attach_device(ctx);
  ctx.compute = DType::kF32;
  return ctx;
}

// Writes the converted folder, ready to be loaded with its tokenizer.
std::string written(const TemporaryFolder& scratch, const char* name, const std::string& model,
                    const ConvertOptions& options) {
  const std::string folder = scratch.path() + "/" + name;
  std::filesystem::create_directory(folder);
  ConvertedTensors(model, options, device()).write(folder);
  for (const char* file : {"tokenizer.json", "tokenizer_config.json", "vocab.txt"}) {
    const std::string from = kModel + "/" + file;
    if (std::filesystem::exists(from)) std::filesystem::copy(from, folder + "/" + file);
  }
  return folder;
}

std::vector<float> logits_of(const std::string& model, const ConvertOptions& options) {
  ConvertedTensors tensors(model, options, device());
  return all_logits(tensors, kTexts, device());
}

}  // namespace

DEVICE_TEST_CASE(
    "a folder in 4 bits answers as the floats that it decodes to, and as the base it is of") {
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

DEVICE_TEST_CASE(
    "merging what was trained decodes it first; quantized again, it drifts and says so") {
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

TEST_CASE("an adapter of another base, and merged weights beyond their type, are refused") {
  const auto error = [](const std::string& model, const ConvertOptions& options) {
    return error_of([&] {
      ConvertedTensors tensors(model, options, device());
      const TemporaryFolder scratch;
      tensors.write(scratch.path());
    });
  };
  CHECK(error(test::example_path("tiny-mlm"), {.adapters = {{kAdapter, 1.0}}})
            .find("the adapter is for another base") != std::string::npos);
  const std::string overflow = error(kModel, {.dtype = DType::kF16, .adapters = {{kAdapter, 1e6}}});
  CHECK(overflow.find("which is no finite value in F16") != std::string::npos);
  CHECK(overflow.find("weight\"") != std::string::npos);
}

}  // namespace qe
