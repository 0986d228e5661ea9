// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/model/weight_loader.h"

#include <algorithm>
#include <cstring>

#include "engine/model/new_head.h"
#include "engine/model/position_tables.h"
#include "kernels/ops/transfer.h"

namespace qe {
namespace {

constexpr int64_t kDecoderRows = kMlmDecoderRowMultiple;
constexpr const char* kScalesRow = "base: block scales";
constexpr const char* kDenseRow = "dense weights";

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "(";
  for (size_t i = 0; i < shape.size(); ++i) text += cat(i ? ", " : "", shape[i]);
  return text + ")";
}

class Loader {
 public:
  Loader(TensorSource& source, const EncoderConfig& config, const BaseOptions& options,
         const Context& ctx, Memory& memory)
      : source_(source), config_(config), options_(options), ctx_(ctx), memory_(memory) {
    // As in transformers 5: a file that holds two different tables has not tied them.
    if (source_.holds_different(config_.names.word_embeddings + ".weight",
                                config_.names.decoder + ".weight")) {
      config_.tied_decoder = false;
    }
  }

  MaskedLm load() {
    MaskedLm model;
    model.config = config_;
    load_embeddings(model);
    for (int64_t i = 0; i < config_.n_distinct_layers; ++i) model.layers.push_back(load_layer(i));
    model.final_norm = norm(config_.names.final_norm);
    if (config_.convolution_width > 0) load_convolution(model);
    load_positions(model);
    load_head(model);
    model.n_linears = next_id_;
    model.parameters = std::move(parameters_);
    model.n_parameters = n_parameters_;
    model.stored_quantization = stored_quantization_;
    return model;
  }

 private:
  void load_embeddings(MaskedLm& model) {
    const EncoderNames& names = config_.names;
    const int64_t e = config_.embedding_size;
    std::string word = names.word_embeddings + ".weight";
    // A tied decoder may be the side that the file holds.
    const std::string decoder = names.decoder + ".weight";
    if (config_.tied_decoder && !source_.has(word) && source_.has(decoder)) word = decoder;
    model.word_table = matrix("embeddings", word, config_.vocab_size, e, kDecoderRows);
    const auto add_table = [&](const std::string& module, const Tensor& table) {
      return add_parameter(module + ".weight", ParameterKind::kTable, table);
    };
    model.word_id = add_table(names.word_embeddings, model.word_table);
    if (!names.position_embeddings.empty()) {
      model.position_table =
          matrix("embeddings", names.position_embeddings + ".weight", config_.max_positions, e);
      model.position_id = add_table(names.position_embeddings, model.position_table);
    }
    if (!names.token_type_embeddings.empty()) {
      model.type_table =
          matrix("embeddings", names.token_type_embeddings + ".weight", config_.n_token_types, e);
      model.type_id = add_table(names.token_type_embeddings, model.type_table);
    }
    model.embedding_norm =
        norm(names.embedding_norm, config_.norm_after_projection ? config_.hidden_size : e);
    if (!names.embedding_projection.empty()) {
      model.embedding_projection = linear(names.embedding_projection, config_.hidden_size, e,
                                          config_.biases.embedding_projection);
    }
  }

  EncoderLayer load_layer(int64_t i) {
    const EncoderNames& names = config_.names;
    const EncoderBiases& biases = config_.biases;
    const int64_t c = config_.hidden_size;
    const int64_t f = config_.ffn_size;
    const int64_t queries = config_.n_heads * config_.head_dim;
    const int64_t keys = config_.n_kv_heads * config_.head_dim;
    const auto named = [&](const std::string& pattern) {
      return layer_name(pattern, i, config_.n_inner_layers);
    };
    const auto attention = [&](const std::string& pattern, int64_t out, int64_t in) {
      return linear(named(pattern), out, in, biases.attention);
    };
    const auto ffn = [&](const std::string& pattern, int64_t out, int64_t in) {
      return linear(named(pattern), out, in, biases.ffn);
    };
    EncoderLayer layer;
    if (names.key.empty()) {
      layer.qkv = {attention(names.query, config_.qkv_size(), c)};
    } else {
      layer.qkv.push_back(attention(names.query, queries, c));
      layer.qkv.push_back(attention(names.key, keys, c));
      layer.qkv.push_back(attention(names.value, keys, c));
    }
    if (!names.distance_query.empty()) {
      layer.distances.push_back(attention(names.distance_query, queries, c));
      layer.distances.push_back(attention(names.distance_key, keys, c));
    }
    layer.attention_output = attention(names.attention_output, c, queries);
    if (i > 0 || config_.first_attention_norm) {
      layer.attention_norm = norm(named(names.attention_norm));
    }
    if (!names.ffn_gate.empty()) layer.ffn_up.push_back(ffn(names.ffn_gate, f, c));
    const bool one_of_both = config_.gated_ffn && names.ffn_gate.empty();
    layer.ffn_up.push_back(ffn(names.ffn_up, one_of_both ? 2 * f : f, c));
    layer.ffn_down = ffn(names.ffn_down, c, f);
    layer.ffn_norm = norm(named(names.ffn_norm));
    return layer;
  }

  // Stored by output column, input column and place; held by output column, place, input column.
  void load_convolution(MaskedLm& model) {
    const int64_t c = config_.hidden_size;
    const int64_t width = config_.convolution_width;
    const int64_t inputs = c / config_.convolution_groups;
    const std::string& name = config_.names.convolution;
    const StoredTensor& stored = require(name + ".weight", {c, inputs, width});
    n_parameters_ += c * inputs * width;
    std::vector<float> values;
    if (!memory_.planning()) {
      const std::vector<float> by_place = source_.read(stored).to_f32();
      for (int64_t o = 0; o < c; ++o) {
        for (int64_t place = 0; place < width; ++place) {
          for (int64_t i = 0; i < inputs; ++i) {
            values.push_back(by_place[static_cast<size_t>((o * inputs + i) * width + place)]);
          }
        }
      }
    }
    const DType dtype = ctx_.compute;
    void* data = memory_.allocate(cat("base: ", kDenseRow, " (", dtype_name(dtype), ")"),
                                  static_cast<size_t>(c * inputs * width) * dtype_size(dtype));
    if (!memory_.planning()) put(values, dtype, data);
    model.convolution = {.weight = make_tensor(data, c, width * inputs, dtype, ctx_.device),
                         .bias = vector(name + ".bias", c, dtype),
                         .groups = config_.convolution_groups};
    model.convolution_norm = norm(config_.names.convolution_norm);
    for (const char* part : {".weight", ".bias"}) add_untrained(name + part);
  }

  void load_positions(MaskedLm& model) {
    if (config_.n_distance_rows > 0) load_distances(model);
    const auto table_of = [&](const Rotary& rotary) {
      std::vector<float> table;
      if (!memory_.planning()) {
        table = rotary_table(config_.max_positions, config_.head_dim, rotary);
      }
      return computed_table(table, config_.max_positions, config_.head_dim);
    };
    if (config_.rotary) {
      model.rotary_table = table_of(config_.rotary);
      const bool differs = config_.local_rotary && config_.local_rotary != config_.rotary;
      if (!config_.local_layers.empty() && differs) {
        model.local_rotary_table = table_of(config_.local_rotary);
      }
    }
    if (config_.n_relative_buckets > 0) {
      const std::string name = config_.names.relative_bias + ".weight";
      add_untrained(name);
      const StoredTensor& stored = require(name, {config_.n_relative_buckets, config_.n_heads});
      n_parameters_ += config_.n_relative_buckets * config_.n_heads;
      std::vector<float> table;
      if (!memory_.planning()) {
        table = relative_bias_table(source_.read(stored).to_f32(), config_.n_relative_buckets,
                                    config_.n_heads, config_.max_length());
      }
      model.relative_bias = computed_table(table, config_.n_heads, 2 * config_.max_length() - 1);
    }
  }

  void load_distances(MaskedLm& model) {
    const int64_t rows = config_.n_distance_rows;
    const int64_t c = config_.hidden_size;
    const EncoderNames& names = config_.names;
    const StoredTensor& stored = require(names.distances + ".weight", {rows, c});
    n_parameters_ += rows * c;
    add_untrained(names.distances + ".weight");
    std::vector<float> values;
    if (!memory_.planning()) values = source_.read(stored).to_f32();
    if (!names.distance_norm.empty()) {
      std::vector<float> norm[2];
      for (int i = 0; i < 2; ++i) {
        const std::string name = names.distance_norm + (i ? ".bias" : ".weight");
        add_untrained(name);
        const StoredTensor& part = require(name, {c});
        n_parameters_ += c;
        if (!memory_.planning()) norm[i] = source_.read(part).to_f32();
      }
      if (!memory_.planning()) normalize_rows(values, norm[0], norm[1], config_.norm_epsilon);
    }
    constexpr const char* kRow = "base: positions";
    const DType dtype = ctx_.compute;
    void* data = memory_.allocate(cat(kRow, " (", dtype_name(dtype), ")"),
                                  static_cast<size_t>(rows * c) * dtype_size(dtype));
    if (!memory_.planning()) put(values, dtype, data);
    model.distance_rows = make_tensor(data, rows, c, dtype, ctx_.device);

    const int64_t n_columns = 2 * config_.max_length() - 1;
    int32_t* columns = memory_.allocate_array<int32_t>(kRow, n_columns);
    uint32_t* samples = memory_.allocate_array<uint32_t>(kRow, rows);
    uint32_t* indices = memory_.allocate_array<uint32_t>(kRow, rows);
    if (!memory_.planning()) {
      const std::vector<int32_t> of_distances = distance_columns(
          config_.max_length(), rows, config_.distance_buckets, config_.max_distance);
      copy_bytes(ctx_, columns, of_distances.data(), of_distances.size() * sizeof(int32_t));
      const std::vector<uint32_t> no_sample(static_cast<size_t>(rows), 0xffffffffu);
      copy_bytes(ctx_, samples, no_sample.data(), no_sample.size() * sizeof(uint32_t));
      std::vector<uint32_t> counted(static_cast<size_t>(rows));
      for (size_t i = 0; i < counted.size(); ++i) counted[i] = static_cast<uint32_t>(i);
      copy_bytes(ctx_, indices, counted.data(), counted.size() * sizeof(uint32_t));
    }
    model.distance_columns = {columns, static_cast<size_t>(n_columns)};
    model.distance_subset = {{samples, static_cast<size_t>(rows)},
                             {indices, static_cast<size_t>(rows)}};
  }

  // fp32 values that no file holds; empty while planning.
  Tensor computed_table(const std::vector<float>& values, int64_t rows, int64_t cols) {
    float* data = memory_.allocate_array<float>("base: positions (F32)", rows * cols);
    if (!memory_.planning()) put(values, DType::kF32, data);
    return make_tensor(data, rows, cols, DType::kF32, ctx_.device);
  }

  void load_head(MaskedLm& model) {
    const EncoderNames& names = config_.names;
    const int64_t width = config_.head_size;
    const bool is_missing = lacks_head(source_, config_);
    if (is_missing && !options_.needs_head) return;
    QE_CHECK(!is_missing, source_.name(), ": the model has no masked-LM head (no tensor \"",
             config_.head_tensor(), "\"); it was saved from another class than ",
             config_.masked_lm_class);
    if (!names.head_dense.empty()) {
      model.head_dense =
          linear(names.head_dense, width, config_.hidden_size, config_.biases.head_dense);
      model.head_norm = norm(names.head_norm, width);
    }
    model.decoder = config_.tied_decoder ? model.word_table
                                         : matrix("decoder", names.decoder + ".weight",
                                                  config_.vocab_size, width, kDecoderRows);
    model.decoder_id =
        add_parameter(names.decoder + ".weight", ParameterKind::kWeight, model.decoder);
    parameters_.back().decoder = true;
    if (!config_.biases.decoder) return;
    // transformers computes with the decoder's own, which may stand under another name.
    const std::string own = names.decoder + ".bias";
    model.decoder_bias = vector(source_.has(own) ? own : names.decoder_bias, config_.vocab_size,
                                DType::kF32, kDecoderRows);
    const std::string& shared = names.decoder_bias.empty() ? own : names.decoder_bias;
    model.decoder_bias_id = add_parameter(shared, ParameterKind::kBias, model.decoder_bias);
    parameters_.back().decoder = true;
    if (shared != own && !names.decoder_lacks_bias) parameters_.back().alias = own;
  }

  // What adapters may have instead; vectors have one row.
  int add_parameter(const std::string& name, ParameterKind kind, const Tensor& value) {
    return add_parameter(name, kind, FrozenWeight(value));
  }
  int add_parameter(const std::string& name, ParameterKind kind, const FrozenWeight& value) {
    const bool is_matrix = kind == ParameterKind::kWeight || kind == ParameterKind::kTable;
    std::vector<int64_t> shape = {value.n(), value.k()};
    if (!is_matrix) shape.erase(shape.begin());
    parameters_.push_back({.name = name, .kind = kind, .shape = shape, .value = value});
    return static_cast<int>(parameters_.size()) - 1;
  }
  void add_untrained(const std::string& name) { parameters_.push_back({.name = name}); }

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

  // What a stored type is held as: on the CPU as it is (F64 becomes F32), on a GPU as what products
  // compute in.
  DType held_type(DType stored) const {
    if (ctx_.device.kind == DeviceKind::kCuda) return ctx_.compute;
    return stored == DType::kF64 ? DType::kF32 : stored;
  }

  // Writes `stored`, converted to `dtype`, to the device's memory.
  void put(const StoredTensor& found, DType dtype, void* to) {
    if (memory_.planning()) return;
    const StoredTensor& stored = source_.read(found);
    if (stored.dtype == dtype) {
      return copy_bytes(ctx_, to, stored.bytes.data(), stored.bytes.size());
    }
    put(stored.to_f32(), dtype, to);
  }
  void put(const std::vector<float>& values, DType dtype, void* to) {
    if (dtype == DType::kF32) {
      return copy_bytes(ctx_, to, values.data(), values.size() * sizeof(float));
    }
    std::vector<uint16_t> halves(values.size());
    for (size_t i = 0; i < values.size(); ++i) {
      halves[i] = dtype == DType::kBF16 ? to_bf16(values[i]) : to_f16(values[i]);
    }
    copy_bytes(ctx_, to, halves.data(), halves.size() * sizeof(uint16_t));
  }

  // On a GPU rows of zeros fill up to a multiple of `row_multiple`.
  Tensor matrix(const std::string& row, const std::string& name, int64_t rows, int64_t cols,
                int64_t row_multiple = 1) {
    const StoredTensor& stored = require(name, {rows, cols});
    n_parameters_ += rows * cols;
    const DType dtype = held_type(stored.dtype);
    const bool on_cpu = ctx_.device.kind == DeviceKind::kCpu;
    const int64_t held_rows =
        on_cpu ? rows : (rows + row_multiple - 1) / row_multiple * row_multiple;
    void* data = memory_.allocate(cat("base: ", row, " (", dtype_name(dtype), ")"),
                                  static_cast<size_t>(held_rows * cols) * dtype_size(dtype));
    const Tensor out = make_tensor(data, rows, cols, dtype, ctx_.device);
    if (memory_.planning() || !source_.make(stored, ctx_, out)) put(stored, dtype, data);
    return out;
  }

  // On a GPU zeros fill up to a multiple of `multiple`.
  Tensor vector(const std::string& name, int64_t size, DType dtype = DType::kF32,
                int64_t multiple = 1) {
    const StoredTensor& stored = require(name, {size});
    n_parameters_ += size;
    const bool on_cpu = ctx_.device.kind == DeviceKind::kCpu;
    const int64_t held = on_cpu ? size : (size + multiple - 1) / multiple * multiple;
    void* data = memory_.allocate(cat("base: norms and biases (", dtype_name(dtype), ")"),
                                  static_cast<size_t>(held) * dtype_size(dtype));
    put(stored, dtype, data);
    return make_tensor(data, 1, size, dtype, ctx_.device);
  }

  // "" is no norm at all.
  Norm norm(const std::string& module, int64_t size) {
    if (module.empty()) return {};
    Norm norm{.gamma = vector(module + ".weight", size),
              .beta = config_.biases.norms ? vector(module + ".bias", size) : Tensor{},
              .epsilon = config_.norm_epsilon,
              .rms = config_.rms_norm};
    const ParameterKind kind = norm.rms ? ParameterKind::kRmsNorm : ParameterKind::kLayerNorm;
    norm.gamma_id = add_parameter(module + ".weight", kind, norm.gamma);
    if (norm.beta) {
      norm.beta_id = add_parameter(module + ".bias", ParameterKind::kBias, norm.beta);
    }
    return norm;
  }
  Norm norm(const std::string& module) { return norm(module, config_.hidden_size); }

  Linear linear(const std::string& module, int64_t out, int64_t in, bool with_bias) {
    Linear linear;
    linear.module = module;
    linear.id = next_id_++;
    linear.weight = weight(module, out, in);
    linear.weight_id = add_parameter(module + ".weight", ParameterKind::kWeight, linear.weight);
    if (!with_bias) return linear;
    linear.bias = vector(module + ".bias", out, ctx_.compute);
    linear.bias_id = add_parameter(module + ".bias", ParameterKind::kBias, linear.bias);
    return linear;
  }

  FrozenWeight weight(const std::string& module, int64_t n, int64_t k) {
    const std::string name = module + ".weight";
    const bool in_4bit =
        options_.bits == 4 && !is_saved_module(module, options_.unquantized_modules);
    if (const std::optional<StoredQuant4> stored = source_.find_quantized(name)) {
      QE_CHECK(stored->n == n && stored->k == k, source_.name(), ": tensor \"", name,
               "\": expected shape ", shape_text({n, k}), ", got ",
               shape_text({stored->n, stored->k}));
      n_parameters_ += n * k;
      stored_quantization_ = cat(stored->type == Quant4Type::kNf4 ? "nf4" : "fp4",
                                 stored->nested() ? ", double quantization" : "");
      return in_4bit ? FrozenWeight(stored_quantized(*stored)) : FrozenWeight(dequantized(*stored));
    }
    return in_4bit && quantizes(config_, module) ? FrozenWeight(quantized(name, n, k))
                                                 : FrozenWeight(matrix(kDenseRow, name, n, k));
  }

  Quant4Matrix quantized(const std::string& name, int64_t n, int64_t k) {
    const StoredTensor& stored = require(name, {n, k});
    n_parameters_ += n * k;
    Quant4Matrix q{.type = options_.quant.type,
                   .n = n,
                   .k = k,
                   .block_size = options_.quant.block_size,
                   .dtype = ctx_.compute};
    allocate(q, options_.quant.double_quant);
    if (q.nested()) q.nested_map = nested_map(dynamic_map_values());
    if (!memory_.planning() && !source_.make(stored, ctx_, q)) {
      put(quantize_stored(source_.read(stored), {n, k}, options_.quant, q.dtype), q);
    }
    return q;
  }

  // A weight that the file holds in 4 bits: the same bytes.
  Quant4Matrix stored_quantized(const StoredQuant4& stored) {
    Quant4Matrix q{.type = stored.type,
                   .n = stored.n,
                   .k = stored.k,
                   .block_size = stored.block_size,
                   .dtype = stored.dtype};
    allocate(q, stored.nested());
    if (q.nested()) {
      std::vector<float> map(256);
      std::memcpy(map.data(), stored.nested_map.data(), stored.nested_map.size());
      q.nested_map = nested_map(std::move(map));
    }
    if (!memory_.planning()) put(HostQuant4(stored), q);
    return q;
  }

  // A weight that the file holds in 4 bits, decoded.
  Tensor dequantized(const StoredQuant4& stored) {
    const DType dtype = held_type(stored.dtype);
    void* data = memory_.allocate(cat("base: ", kDenseRow, " (", dtype_name(dtype), ")"),
                                  static_cast<size_t>(stored.n * stored.k) * dtype_size(dtype));
    if (!memory_.planning()) put(HostQuant4(stored).dequantized(*ctx_.threads), dtype, data);
    return make_tensor(data, stored.n, stored.k, dtype, ctx_.device);
  }

  void allocate(Quant4Matrix& q, bool nested) {
    q.codes = memory_.allocate_array<uint8_t>("base: 4-bit weights", q.n_code_bytes());
    if (nested) {
      q.absmax_codes = memory_.allocate_array<uint8_t>(kScalesRow, q.n_blocks());
      q.nested_absmax = memory_.allocate_array<float>(kScalesRow, q.n_nested_blocks());
    } else {
      q.absmax = memory_.allocate_array<float>(kScalesRow, q.n_blocks());
    }
  }

  void put(const HostQuant4& host, Quant4Matrix& q) {
    const Quant4Matrix& from = host.matrix();
    copy_bytes(ctx_, q.codes, from.codes, static_cast<size_t>(q.n_code_bytes()));
    if (q.nested()) {
      copy_bytes(ctx_, q.absmax_codes, from.absmax_codes, static_cast<size_t>(q.n_blocks()));
      copy_bytes(ctx_, q.nested_absmax, from.nested_absmax,
                 static_cast<size_t>(q.n_nested_blocks()) * sizeof(float));
    } else {
      copy_bytes(ctx_, q.absmax, from.absmax, static_cast<size_t>(q.n_blocks()) * sizeof(float));
    }
    q.nested_offset = from.nested_offset;
  }

  // What the 8-bit codes of block scales say. Weights that agree on it share it, as those of a
  // model do.
  const float* nested_map(std::vector<float> values) {
    if (nested_map_ && values == nested_map_values_) return nested_map_;
    nested_map_ = memory_.allocate_array<float>(kScalesRow, 256);
    if (!memory_.planning()) {
      copy_bytes(ctx_, nested_map_, values.data(), values.size() * sizeof(float));
    }
    nested_map_values_ = std::move(values);
    return nested_map_;
  }

  static std::vector<float> dynamic_map_values() {
    std::vector<float> values;
    for (int i = 0; i < 256; ++i) values.push_back(dynamic_map_value(i));
    return values;
  }

  HostQuant4 quantize_stored(const StoredTensor& stored, std::pair<int64_t, int64_t> shape,
                             const Quant4Options& quant, DType dtype) {
    // Read from the mapping where its alignment and type allow, else from one converted copy.
    std::vector<float> copy;
    Tensor w = make_tensor(const_cast<std::byte*>(stored.bytes.data()), shape.first, shape.second,
                           stored.dtype);
    const bool aligned =
        reinterpret_cast<uintptr_t>(stored.bytes.data()) % dtype_size(stored.dtype) == 0;
    if (!aligned || stored.dtype == DType::kF64) {
      copy = stored.to_f32();
      w = make_tensor(copy.data(), shape.first, shape.second);
    }
    try {
      return HostQuant4(w, quant, dtype, *ctx_.threads);
    } catch (const Error& error) {
      fail(*stored.file, ": tensor \"", stored.name, "\": ", error.what());
    }
  }

  TensorSource& source_;
  EncoderConfig config_;
  BaseOptions options_;
  Context ctx_;
  Memory& memory_;
  float* nested_map_ = nullptr;
  std::vector<float> nested_map_values_;
  int next_id_ = 0;
  std::vector<BaseParameter> parameters_;
  int64_t n_parameters_ = 0;
  std::string stored_quantization_;
};

}  // namespace

BaseOptions base_options(const RunConfig& config) {
  return BaseOptions{
      .bits = config.bits,
      .quant = {.type = config.quant_type == "fp4" ? Quant4Type::kFp4 : Quant4Type::kNf4,
                .double_quant = config.double_quant,
                .block_size = config.quant_block_size}};
}

bool quantizes(const EncoderConfig& config, const std::string& module) {
  return std::none_of(config.quantize_skip.begin(), config.quantize_skip.end(),
                      [&](const std::string& prefix) { return module.starts_with(prefix); });
}

MaskedLm load_masked_lm(const std::string& folder, const BaseOptions& options, const Context& ctx,
                        Memory& memory) {
  const EncoderConfig config = read_encoder_config(folder);
  FolderTensors tensors(folder, family_of(config.model_type));
  return load_masked_lm(tensors, config, options, ctx, memory);
}

MaskedLm load_masked_lm(TensorSource& source, const EncoderConfig& config,
                        const BaseOptions& options, const Context& ctx, Memory& memory) {
  return Loader(source, config, options, ctx, memory).load();
}

MaskedLm random_masked_lm(const EncoderConfig& config, uint64_t seed, const BaseOptions& options,
                          const Context& ctx, Memory& memory) {
  RandomTensors tensors("random weights", seed, ctx, memory.planning());
  return load_masked_lm(tensors, config, options, ctx, memory);
}

}  // namespace qe
