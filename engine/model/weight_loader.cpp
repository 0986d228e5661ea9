// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/model/weight_loader.h"

#include <cstring>

#include "engine/memory/planning.h"
#include "engine/model/tensor_source.h"

namespace qe {
namespace {

constexpr const char* kScalesRow = "base: block scales";

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "(";
  for (size_t i = 0; i < shape.size(); ++i) text += cat(i ? ", " : "", shape[i]);
  return text + ")";
}

class Loader {
 public:
  Loader(TensorSource& source, const EncoderConfig& config, const BaseOptions& options,
         const Context& ctx, Memory& memory)
      : source_(source), config_(config), options_(options), ctx_(ctx), memory_(memory) {}

  MaskedLm load() {
    MaskedLm model;
    model.config = config_;
    load_embeddings(model);
    model.layers.resize(config_.n_layers);
    for (int64_t i = 0; i < config_.n_layers; ++i) model.layers[i] = load_layer(i);
    load_head(model);
    return model;
  }

 private:
  void load_embeddings(MaskedLm& model) {
    const EncoderNames& names = config_.names;
    const int64_t c = config_.hidden_size;
    std::string word = names.word_embeddings + ".weight";
    // A tied decoder may be the side that the file holds.
    if (config_.tied_decoder && !source_.has(word)) word = names.decoder + ".weight";
    model.word_table = matrix("embeddings", word, config_.vocab_size, c);
    if (!names.position_embeddings.empty()) {
      model.position_table =
          matrix("embeddings", names.position_embeddings + ".weight", config_.max_positions, c);
    }
    if (!names.token_type_embeddings.empty()) {
      model.type_table =
          matrix("embeddings", names.token_type_embeddings + ".weight", config_.n_token_types, c);
    }
    model.embedding_norm = norm(names.embedding_norm);
  }

  EncoderLayer load_layer(int64_t i) {
    const EncoderNames& names = config_.names;
    const int64_t c = config_.hidden_size;
    const int64_t f = config_.ffn_size;
    const auto linear = [&](const std::string& pattern, int64_t out, int64_t in) {
      return this->linear(layer_name(pattern, i), out, in);
    };
    EncoderLayer layer;
    layer.qkv[0] = linear(names.query, c, c);
    layer.qkv[1] = linear(names.key, c, c);
    layer.qkv[2] = linear(names.value, c, c);
    layer.attention_output = linear(names.attention_output, c, c);
    layer.attention_norm = norm(layer_name(names.attention_norm, i));
    layer.ffn_up = linear(names.ffn_up, f, c);
    layer.ffn_down = linear(names.ffn_down, c, f);
    layer.ffn_norm = norm(layer_name(names.ffn_norm, i));
    return layer;
  }

  void load_head(MaskedLm& model) {
    const EncoderNames& names = config_.names;
    const int64_t c = config_.hidden_size;
    QE_CHECK(source_.has(names.head_dense + ".weight"), source_.name(),
             ": the model has no masked-LM head (no tensor \"", names.head_dense,
             ".weight\"); it was saved from another class than ", config_.masked_lm_class);
    model.head_dense = linear(names.head_dense, c, c);
    model.head_norm = norm(names.head_norm);
    model.decoder = config_.tied_decoder
                        ? model.word_table
                        : matrix("decoder", names.decoder + ".weight", config_.vocab_size, c);
    const std::string own = names.decoder_bias;
    model.decoder_bias =
        vector(source_.has(own) ? own : names.decoder + ".bias", config_.vocab_size);
  }

  // The tensor, checked; its data is safe to read as an array of its type.
  const StoredTensor& require(const std::string& name, const std::vector<int64_t>& shape) {
    const StoredTensor* tensor = source_.find(name, shape);
    QE_CHECK(tensor, source_.name(), ": missing tensor \"", name, "\" ", shape_text(shape));
    QE_CHECK(tensor->shape == shape, *tensor->file, ": tensor \"", tensor->name,
             "\": expected shape ", shape_text(shape), ", got ", shape_text(tensor->shape));
    QE_CHECK(is_floating(tensor->dtype), *tensor->file, ": tensor \"", tensor->name,
             "\": expected a floating type, got ", dtype_name(tensor->dtype));
    return *tensor;
  }

  // A matrix in its stored type (F64 becomes F32).
  Tensor matrix(const std::string& row, const std::string& name, int64_t rows, int64_t cols) {
    const StoredTensor& stored = require(name, {rows, cols});
    const bool narrow = stored.dtype == DType::kF64;
    const DType dtype = narrow ? DType::kF32 : stored.dtype;
    const size_t n_bytes = static_cast<size_t>(rows * cols) * dtype_size(dtype);
    void* data = memory_.allocate(cat("base: ", row, " (", dtype_name(dtype), ")"), n_bytes);
    if (!memory_.planning()) {
      if (narrow) {
        const std::vector<float> values = stored.to_f32();
        std::memcpy(data, values.data(), n_bytes);
      } else {
        std::memcpy(data, stored.bytes.data(), n_bytes);
      }
    }
    return make_tensor(data, rows, cols, dtype, ctx_.device);
  }

  Tensor vector(const std::string& name, int64_t size) {
    const StoredTensor& stored = require(name, {size});
    float* data = memory_.allocate_array<float>("base: norms and biases (F32)", size);
    if (!memory_.planning()) {
      const std::vector<float> values = stored.to_f32();
      std::memcpy(data, values.data(), values.size() * sizeof(float));
    }
    return make_tensor(data, 1, size, DType::kF32, ctx_.device);
  }

  Norm norm(const std::string& module) {
    return Norm{.gamma = vector(module + ".weight", config_.hidden_size),
                .beta = vector(module + ".bias", config_.hidden_size),
                .epsilon = config_.norm_epsilon};
  }

  bool skips_quantization(const std::string& module) const {
    for (const std::string& prefix : config_.quantize_skip) {
      if (module.starts_with(prefix)) return true;
    }
    return false;
  }

  Linear linear(const std::string& module, int64_t out, int64_t in) {
    Linear linear;
    linear.module = module;
    linear.id = next_id_++;
    linear.weight = options_.bits == 4 && !skips_quantization(module)
                        ? FrozenWeight(quantized(module + ".weight", out, in))
                        : FrozenWeight(matrix("dense weights", module + ".weight", out, in));
    linear.bias = vector(module + ".bias", out);
    return linear;
  }

  Quant4Matrix quantized(const std::string& name, int64_t n, int64_t k) {
    const StoredTensor& stored = require(name, {n, k});
    Quant4Matrix q{.type = options_.quant_type,
                   .n = n,
                   .k = k,
                   .block_size = options_.block_size,
                   .dtype = DType::kF32};
    q.codes = memory_.allocate_array<uint8_t>("base: 4-bit weights", q.n_code_bytes());
    if (options_.double_quant) {
      q.absmax_codes = memory_.allocate_array<uint8_t>(kScalesRow, q.n_blocks());
      q.nested_absmax = memory_.allocate_array<float>(kScalesRow, q.n_nested_blocks());
      q.nested_map = dynamic_map();
    } else {
      q.absmax = memory_.allocate_array<float>(kScalesRow, q.n_blocks());
    }
    if (!memory_.planning()) quantize(stored, q);
    return q;
  }

  // The 8-bit code that all double-quantized weights of this model share.
  const float* dynamic_map() {
    if (dynamic_map_) return dynamic_map_;
    dynamic_map_ = memory_.allocate_array<float>(kScalesRow, 256);
    for (int i = 0; i < 256 && !memory_.planning(); ++i) dynamic_map_[i] = dynamic_map_value(i);
    return dynamic_map_;
  }

  void quantize(const StoredTensor& stored, Quant4Matrix& q) {
    // Read from the mapping where its alignment and type allow, else from one converted copy.
    std::vector<float> copy;
    Tensor w = make_tensor(const_cast<std::byte*>(stored.bytes.data()), q.n, q.k, stored.dtype);
    const bool aligned =
        reinterpret_cast<uintptr_t>(stored.bytes.data()) % dtype_size(stored.dtype) == 0;
    if (!aligned || stored.dtype == DType::kF64) {
      copy = stored.to_f32();
      w = make_tensor(copy.data(), q.n, q.k);
    }
    const size_t n_scratch = planned_arena_bytes(ctx_, [&](Context& ctx) { quantize4(ctx, w, q); });
    Memory scratch(false);
    Arena arena(scratch.allocate("scratch", n_scratch), n_scratch);
    Context ctx = ctx_;
    ctx.arena = &arena;
    try {
      quantize4(ctx, w, q);
    } catch (const Error& error) {
      fail(*stored.file, ": tensor \"", stored.name, "\": ", error.what());
    }
  }

  TensorSource& source_;
  EncoderConfig config_;
  BaseOptions options_;
  Context ctx_;
  Memory& memory_;
  float* dynamic_map_ = nullptr;
  int next_id_ = 0;
};

}  // namespace

BaseOptions base_options(const RunConfig& config) {
  return BaseOptions{.bits = config.bits,
                     .quant_type = config.quant_type == "fp4" ? Quant4Type::kFp4 : Quant4Type::kNf4,
                     .double_quant = config.double_quant,
                     .block_size = config.quant_block_size};
}

MaskedLm load_masked_lm(const std::string& folder, const BaseOptions& options, const Context& ctx,
                        Memory& memory) {
  const EncoderConfig config = read_encoder_config(folder);
  FolderTensors tensors(folder, family_of(config.model_type));
  return Loader(tensors, config, options, ctx, memory).load();
}

MaskedLm random_masked_lm(const EncoderConfig& config, uint64_t seed, const BaseOptions& options,
                          const Context& ctx, Memory& memory) {
  RandomTensors tensors("random weights", seed, ctx, memory.planning());
  return Loader(tensors, config, options, ctx, memory).load();
}

}  // namespace qe
