// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/quant4_file.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "formats/json.h"
#include "formats/quote.h"
#include "kernels/core/error.h"

namespace qe {
namespace {

constexpr std::string_view kStatePart = ".quant_state.bitsandbytes__";
constexpr std::string_view kNf4 = "nf4", kFp4 = "fp4";
constexpr size_t kMaxState = 1 << 16;  // bytes of JSON
constexpr std::array<std::string_view, 4> kParts = {".absmax", ".quant_map", ".nested_absmax",
                                                    ".nested_quant_map"};
// The values of the codes as files have them: FP4's code 8 is a zero without its sign.
constexpr auto kFp4Stored = [] {
  std::array<float, 16> values;
  for (size_t i = 0; i < values.size(); ++i) values[i] = kFp4Values[i] == 0 ? 0.0f : kFp4Values[i];
  return values;
}();
const float* code_values(Quant4Type type) {
  return type == Quant4Type::kNf4 ? kNf4Values : kFp4Stored.data();
}

// What dequantization may yield.
bool is_decoded_type(DType dtype) { return is_floating(dtype) && dtype != DType::kF64; }

float float_at(std::span<const std::byte> bytes, int64_t index) {
  float value;
  std::memcpy(&value, bytes.data() + index * static_cast<int64_t>(sizeof value), sizeof value);
  return value;
}

// One weight's tensors, with what its errors begin with.
class Reader {
 public:
  Reader(const TensorLookup& find, const std::string& weight) : find_(find), weight_(weight) {}

  std::optional<StoredQuant4> read() {
    const StoredTensor* state = nullptr;
    for (const auto& [name, type] :
         {std::pair{kNf4, Quant4Type::kNf4}, std::pair{kFp4, Quant4Type::kFp4}}) {
      const StoredTensor* found = find_(cat(weight_, kStatePart, name));
      if (!found) continue;
      QE_CHECK(!state, *found->file, ": tensor ", Json(weight_).dump(),
               " has two quant_states, nf4 and fp4");
      state = found;
      q_.type = type;
    }
    if (!state) {
      for (const std::string_view part : kParts) {
        const StoredTensor* stray = find_(cat(weight_, part));
        QE_CHECK(!stray, *stray->file, ": tensor ", Json(stray->name).dump(),
                 " belongs to a 4-bit weight, but there is no quant_state of ",
                 Json(weight_).dump());
      }
      return std::nullopt;
    }
    read_state(*state);
    read_codes();
    read_map();
    read_scales();
    return q_;
  }

 private:
  const StoredTensor& part(std::string_view suffix) const {
    const StoredTensor* tensor = find_(cat(weight_, suffix));
    QE_CHECK(tensor, where_, ": missing tensor ", quote(cat(weight_, suffix)));
    return *tensor;
  }

  // A part of `n` elements in one row or column.
  std::span<const std::byte> list(std::string_view suffix, DType dtype, int64_t n) const {
    const StoredTensor& tensor = part(suffix);
    QE_CHECK(tensor.dtype == dtype && tensor.n_elements() == n, *tensor.file, ": tensor ",
             Json(tensor.name).dump(), ": expected ", n, " elements of ", dtype_name(dtype),
             ", got ", tensor.n_elements(), " of ", dtype_name(tensor.dtype));
    return tensor.bytes;
  }

  void read_state(const StoredTensor& state) {
    where_ = cat(*state.file, ": tensor ", Json(state.name).dump());
    QE_CHECK(state.dtype == DType::kU8 && state.bytes.size() <= kMaxState, where_,
             ": expected JSON in at most ", kMaxState, " bytes of U8, got ", state.bytes.size(),
             " of ", dtype_name(state.dtype));
    const Json json = Json::parse(
        {reinterpret_cast<const char*>(state.bytes.data()), state.bytes.size()}, where_);
    for (const auto& [key, value] : json.members()) {
      static constexpr std::string_view kKnown[] = {
          "quant_type",       "blocksize",    "dtype",        "shape",
          "nested_blocksize", "nested_dtype", "nested_offset"};
      QE_CHECK(std::find(std::begin(kKnown), std::end(kKnown), key) != std::end(kKnown),
               value.where(), ": unknown key");
    }
    const std::string_view type = q_.type == Quant4Type::kNf4 ? kNf4 : kFp4;
    expect(json, "quant_type", Json(std::string(type)));
    q_.block_size = json.at("blocksize").as_int();
    QE_CHECK(
        q_.block_size >= 32 && q_.block_size <= 4096 && (q_.block_size & (q_.block_size - 1)) == 0,
        json.at("blocksize").where(), ": expected a power of two from 32 to 4096, got ",
        q_.block_size);
    const std::string& dtype = json.at("dtype").as_string();
    const std::optional<DType> decoded = dtype_from_torch_name(dtype);
    QE_CHECK(decoded && is_decoded_type(*decoded), json.at("dtype").where(),
             ": expected float32, float16 or bfloat16, got ", Json(dtype).dump());
    q_.dtype = *decoded;
    const std::vector<Json>& shape = json.at("shape").items();
    QE_CHECK(shape.size() == 2, json.at("shape").where(), ": expected [N, K], got ",
             json.at("shape").dump());
    q_.n = shape[0].as_int();
    q_.k = shape[1].as_int();
    int64_t n_weights = 0;
    QE_CHECK(q_.n > 0 && q_.k > 0 && !__builtin_mul_overflow(q_.n, q_.k, &n_weights) &&
                 n_weights < (int64_t{1} << 48),
             json.at("shape").where(), ": impossible shape ", json.at("shape").dump());
    nested_ = json.find("nested_offset") != nullptr;
    if (!nested_) return;
    expect(json, "nested_blocksize", Json(kNestedBlock));
    expect(json, "nested_dtype", Json("float32"));
    q_.nested_offset = static_cast<float>(json.at("nested_offset").as_double());
    QE_CHECK(std::isfinite(q_.nested_offset), json.at("nested_offset").where(), ": is not finite");
  }

  static void expect(const Json& json, const char* key, const Json& value) {
    const Json& found = json.at(key);
    QE_CHECK(found.dump() == value.dump(), found.where(), ": expected ", value.dump(), ", got ",
             found.dump());
  }

  void read_codes() {
    const StoredTensor& codes = part("");
    const int64_t n_bytes = (q_.n * q_.k + 1) / 2;
    QE_CHECK(is_quant4_storage(codes.dtype), *codes.file, ": tensor ", Json(codes.name).dump(),
             ": ", dtype_name(codes.dtype), " is no storage type of 4-bit codes");
    QE_CHECK(static_cast<int64_t>(codes.bytes.size()) == n_bytes, *codes.file, ": tensor ",
             Json(codes.name).dump(), ": expected ", n_bytes, " bytes for ", q_.n, " x ", q_.k,
             " weights of 4 bits, got ", codes.bytes.size());
    q_.codes = codes.bytes;
  }

  void read_map() const {
    const std::span<const std::byte> map = list(".quant_map", DType::kF32, 16);
    for (int i = 0; i < 16; ++i) {
      const float expected = code_values(q_.type)[i];
      QE_CHECK(std::fabs(float_at(map, i) - expected) <= 1e-6f, *part(".quant_map").file,
               ": tensor ", quote(weight_ + ".quant_map"), ": value ", i, " of the code is ",
               float_at(map, i), ", expected ", expected);
    }
  }

  void read_scales() {
    if (!nested_) {
      for (const std::string_view suffix : {".nested_absmax", ".nested_quant_map"}) {
        QE_CHECK(!find_(cat(weight_, suffix)), where_, ": has no nested_offset, but there is ",
                 quote(cat(weight_, suffix)));
      }
      q_.absmax = finite(".absmax", q_.n_blocks());
      return;
    }
    q_.absmax_u8 = list(".absmax", DType::kU8, q_.n_blocks());
    q_.nested_absmax = finite(".nested_absmax", q_.n_nested_blocks());
    q_.nested_map = finite(".nested_quant_map", 256);
  }

  std::span<const std::byte> finite(std::string_view suffix, int64_t n) const {
    const std::span<const std::byte> values = list(suffix, DType::kF32, n);
    for (int64_t i = 0; i < n; ++i) {
      QE_CHECK(std::isfinite(float_at(values, i)), *part(suffix).file, ": tensor ",
               quote(cat(weight_, suffix)), ": value ", i, " is ", float_at(values, i));
    }
    return values;
  }

  const TensorLookup& find_;
  const std::string& weight_;
  std::string where_;
  bool nested_ = false;
  StoredQuant4 q_;
};

}  // namespace

std::optional<StoredQuant4> find_quant4(const TensorLookup& find, const std::string& weight) {
  return Reader(find, weight).read();
}

std::optional<std::string_view> quant4_weight_of(std::string_view name) {
  const size_t state = name.rfind(kStatePart);
  if (state != std::string_view::npos) return name.substr(0, state);
  for (const std::string_view part : kParts) {
    if (name.ends_with(part)) return name.substr(0, name.size() - part.size());
  }
  return std::nullopt;
}

bool is_quant4_storage(DType dtype) {
  return dtype == DType::kU8 || dtype == DType::kI8 || is_floating(dtype);
}

Quant4Tensors::Quant4Tensors(const std::string& weight, const StoredQuant4& q, DType storage) {
  const std::string type(q.type == Quant4Type::kNf4 ? kNf4 : kFp4);
  const auto n_bytes = static_cast<int64_t>(q.codes.size());
  const auto size = static_cast<int64_t>(dtype_size(storage));
  QE_CHECK(is_quant4_storage(storage), dtype_name(storage), " is no storage type of 4-bit codes");
  QE_CHECK(n_bytes % size == 0, "tensor ", Json(weight).dump(), ": its ", n_bytes,
           " bytes of codes do not fill whole elements of ", dtype_name(storage));
  QE_CHECK(is_decoded_type(q.dtype), "tensor ", Json(weight).dump(), ": cannot decode to ",
           dtype_name(q.dtype));
  Json state = Json::object({{"quant_type", type},
                             {"blocksize", q.block_size},
                             {"dtype", std::string(dtype_torch_name(q.dtype))},
                             {"shape", Json::array({q.n, q.k})}});
  const auto add = [this](const std::string& name, DType dtype, std::vector<int64_t> shape,
                          const void* data) {
    tensors_.push_back({.name = name, .dtype = dtype, .shape = std::move(shape), .data = data});
  };
  add(weight, storage, {n_bytes / size, 1}, q.codes.data());
  add(weight + ".quant_map", DType::kF32, {16}, code_values(q.type));
  if (q.nested()) {
    state.set("nested_blocksize", kNestedBlock);
    state.set("nested_dtype", "float32");
    state.set("nested_offset", static_cast<double>(q.nested_offset));
    add(weight + ".absmax", DType::kU8, {q.n_blocks()}, q.absmax_u8.data());
    add(weight + ".nested_absmax", DType::kF32, {q.n_nested_blocks()}, q.nested_absmax.data());
    add(weight + ".nested_quant_map", DType::kF32, {256}, q.nested_map.data());
  } else {
    add(weight + ".absmax", DType::kF32, {q.n_blocks()}, q.absmax.data());
  }
  state_ = state.dump();
  add(cat(weight, kStatePart, type), DType::kU8, {static_cast<int64_t>(state_.size())},
      state_.data());
}

}  // namespace qe
