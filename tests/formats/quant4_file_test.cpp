// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// 4-bit weights in files, against what bitsandbytes saves (tests/golden/quant4.safetensors, made by
// scripts/make_quant4_goldens.py), and what is refused.
#include "formats/quant4_file.h"

#include <doctest/doctest.h>

#include <cstring>

#include "kernels/core/error.h"
#include "tests/support/golden.h"

namespace qe {
namespace {

constexpr std::string_view kState = ".quant_state.bitsandbytes__";

// Tensors that can be changed: a copy of some of a file's.
class Tensors {
 public:
  explicit Tensors(const SafetensorsFile& file) {
    for (const auto& [name, tensor] : file.tensors()) {
      data_[name].assign(tensor.bytes.begin(), tensor.bytes.end());
      tensors_[name] = tensor;
    }
  }
  StoredTensor& at(const std::string& name) { return tensors_.at(name); }
  std::vector<std::byte>& bytes(const std::string& name) { return data_.at(name); }
  void erase(const std::string& name) { tensors_.erase(name); }
  void copy(const std::string& from, const std::string& to) {
    data_[to] = data_.at(from);
    tensors_[to] = tensors_.at(from);
  }
  void set_state(const std::string& name, std::string_view json) {
    const auto* begin = reinterpret_cast<const std::byte*>(json.data());
    data_[name].assign(begin, begin + json.size());
    tensors_[name].shape = {static_cast<int64_t>(json.size())};
  }
  TensorLookup lookup() {
    return [this](const std::string& name) -> const StoredTensor* {
      const auto found = tensors_.find(name);
      if (found == tensors_.end()) return nullptr;
      found->second.bytes = data_.at(name);
      found->second.name = name;
      return &found->second;
    };
  }

 private:
  std::map<std::string, std::vector<std::byte>> data_;
  std::map<std::string, StoredTensor> tensors_;
};

std::string error_of(Tensors& tensors, const std::string& weight) {
  try {
    find_quant4(tensors.lookup(), weight);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE(
    "4-bit weights: every variant that bitsandbytes saves is read, and written byte for byte") {
  const SafetensorsFile file(test::golden_path("quant4.safetensors"));
  Tensors tensors(file);
  int n_variants = 0;
  for (const auto& [name, stored] : file.tensors()) {
    if (!name.ends_with(".weight")) continue;
    CAPTURE(name);
    ++n_variants;
    const std::optional<StoredQuant4> q = find_quant4(tensors.lookup(), name);
    REQUIRE(q);
    CHECK(q->n == 16);
    CHECK(q->k == 52);
    CHECK((q->type == Quant4Type::kFp4) == name.starts_with("fp4"));
    CHECK(q->nested() == contains(name, "nested"));
    CHECK(contains(name, cat(".b", q->block_size, ".")));

    const Quant4Tensors written(name, *q, stored.dtype);
    CHECK(written.tensors().size() == (q->nested() ? 6 : 4));
    for (const TensorToWrite& tensor : written.tensors()) {
      CAPTURE(tensor.name);
      const StoredTensor& expected = file.tensors().at(tensor.name);
      CHECK(tensor.dtype == expected.dtype);
      CHECK(tensor.shape == expected.shape);
      CHECK(std::memcmp(tensor.data, expected.bytes.data(), expected.bytes.size()) == 0);
      if (tensor.name != name) CHECK(quant4_weight_of(tensor.name) == name);
    }
  }
  CHECK(n_variants == 68);
  CHECK(!find_quant4(tensors.lookup(), "source.float32"));
  CHECK(!quant4_weight_of("bert.pooler.weight"));
}

TEST_CASE("4-bit weights: what cannot be written") {
  const std::vector<uint8_t> codes(5);
  const std::vector<float> absmax(1);
  const StoredQuant4 q{.n = 3,
                       .k = 3,
                       .codes = std::as_bytes(std::span(codes)),
                       .absmax = std::as_bytes(std::span(absmax))};
  CHECK_THROWS_WITH_AS(Quant4Tensors("w", q, DType::kF16),
                       "tensor \"w\": its 5 bytes of codes do not fill whole elements of F16",
                       Error);
  CHECK_THROWS_AS(Quant4Tensors("w", q, DType::kI32), Error);
}

TEST_CASE("4-bit weights: hostile and broken files are refused, naming the tensor") {
  const SafetensorsFile file(test::golden_path("quant4.safetensors"));
  const std::string nested = "nf4.nested.uint8.b64.float16.weight";
  const std::string plain = "nf4.plain.uint8.b64.float16.weight";
  const std::string state = nested + std::string(kState) + "nf4";
  const auto with = [&](const auto& change, const std::string& weight) {
    Tensors tensors(file);
    change(tensors);
    const std::string error = error_of(tensors, weight);
    CHECK(contains(error, "quant4.safetensors"));
    CHECK(!contains(error, "\n"));
    return error;
  };
  const auto state_error = [&](const std::string& json) {
    return with([&](Tensors& t) { t.set_state(state, json); }, nested);
  };
  const std::string good = R"("quant_type": "nf4", "dtype": "float16", "nested_blocksize": 256, )"
                           R"("nested_dtype": "float32", "nested_offset": 0.5, )";

  CHECK(contains(
      with([&](Tensors& t) { t.copy(state, nested + std::string(kState) + "fp4"); }, nested),
      "has two quant_states"));
  CHECK(contains(with([&](Tensors& t) { t.erase(state); }, nested), "there is no quant_state of"));
  CHECK(contains(with([&](Tensors& t) { t.erase(nested); }, nested), "missing tensor"));
  CHECK(contains(with([&](Tensors& t) { t.erase(nested + ".nested_absmax"); }, nested),
                 "missing tensor"));
  CHECK(contains(with([&](Tensors& t) { t.erase(nested + ".quant_map"); }, nested),
                 "missing tensor"));
  CHECK(contains(
      with([&](Tensors& t) { t.copy(nested + ".nested_absmax", plain + ".nested_absmax"); }, plain),
      "has no nested_offset"));
  CHECK(contains(with([&](Tensors& t) { t.at(nested).dtype = DType::kI64; }, nested),
                 "no storage type"));
  CHECK(contains(with([&](Tensors& t) { t.bytes(nested).pop_back(); }, nested),
                 "expected 416 bytes for 16 x 52 weights of 4 bits, got 415"));
  CHECK(contains(with([&](Tensors& t) { t.bytes(nested + ".absmax").pop_back(); }, nested),
                 "expected 13 elements of U8, got 12"));
  CHECK(contains(with([&](Tensors& t) { t.at(nested + ".absmax").dtype = DType::kF32; }, nested),
                 "of U8"));
  CHECK(contains(with(
                     [&](Tensors& t) {
                       const float nan = std::nanf("");
                       std::memcpy(t.bytes(plain + ".absmax").data(), &nan, sizeof nan);
                     },
                     plain),
                 "value 0 is nan"));
  CHECK(contains(
      with([&](Tensors& t) { t.bytes(nested + ".quant_map")[3] = std::byte{0x42}; }, nested),
      "value 0 of the code is"));

  CHECK(state_error("") != "");
  CHECK(state_error("[]") != "");
  CHECK(state_error("{\"quant_type\": ") != "");
  CHECK(contains(state_error("{" + good + R"("blocksize": 64, "shape": [16, 52], "x": 1})"),
                 "/x: unknown key"));
  CHECK(contains(state_error("{" + good + R"("blocksize": 48, "shape": [16, 52]})"),
                 "expected a power of two from 32 to 4096, got 48"));
  CHECK(
      contains(state_error("{" + good + R"("blocksize": 64, "shape": [16]})"), "expected [N, K]"));
  CHECK(contains(state_error("{" + good + R"("blocksize": 64, "shape": [4294967296, 4294967296]})"),
                 "impossible shape"));
  CHECK(contains(state_error("{" + good + R"("blocksize": 64, "shape": [-16, -52]})"),
                 "impossible shape"));
  CHECK(contains(state_error("{" + good + R"("blocksize": 64, "shape": [16, 53]})"),
                 "expected 424 bytes"));
  std::string other = good;
  other.replace(other.find("256"), 3, "128");
  CHECK(contains(state_error("{" + other + R"("blocksize": 64, "shape": [16, 52]})"),
                 "expected 256, got 128"));
  other = good;
  other.replace(other.find("nf4"), 3, "fp4");
  CHECK(contains(state_error("{" + other + R"("blocksize": 64, "shape": [16, 52]})"),
                 "expected \"nf4\", got \"fp4\""));
  other = good;
  other.replace(other.find("float16"), 7, "float64");
  CHECK(contains(state_error("{" + other + R"("blocksize": 64, "shape": [16, 52]})"),
                 "expected float32, float16 or bfloat16"));
  CHECK(contains(state_error(std::string(70000, ' ')), "at most 65536 bytes"));
}

}  // namespace qe
