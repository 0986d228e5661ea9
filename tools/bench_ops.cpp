// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "tools/bench_ops.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "kernels/ops/activation.h"
#include "kernels/ops/adamw8.h"
#include "kernels/ops/attention.h"
#include "kernels/ops/ceilings.h"
#include "kernels/ops/column_sums.h"
#include "kernels/ops/dora.h"
#include "kernels/ops/embedding.h"
#include "kernels/ops/layernorm.h"
#include "kernels/ops/lora.h"
#include "kernels/ops/matmul4.h"
#include "kernels/ops/mlm_loss.h"
#include "kernels/ops/noise.h"
#include "kernels/ops/reduce.h"
#include "kernels/ops/rope.h"
#include "kernels/ops/topk.h"
#include "kernels/ops/transfer.h"
#include "tools/cblas_library.h"

namespace qe::tools {
namespace {

constexpr int64_t kLabelPercent = 15;
constexpr double kQuantizedBytes = 0.516;  // of a weight: codes and scales of blocks of 64

class OpsBench {
 public:
  OpsBench(const EncoderConfig& config, const BenchOpsOptions& options,
           const std::function<void(const OpRate&)>& on_rate)
      : config_(config), options_(options), on_rate_(on_rate), timer_(options.timer) {
    QE_CHECK(options.blas.empty() || !timer_.on_gpu(), "--blas: is for the CPU's products");
    if (!options.blas.empty()) blas_.emplace(options.blas);
    for (int64_t t = 0; t < options.tokens; ++t) {
      samples_.push_back(static_cast<uint32_t>(t / options.length));
      indices_.push_back(static_cast<uint32_t>(t % options.length));
    }
    element_ = static_cast<double>(dtype_size(timer_.context().compute));
    ceilings_ = measure_ceilings(timer_.context());
  }

  const Context& context() { return timer_.context(); }
  const Ceilings& ceilings() const { return ceilings_; }
  std::string blas_name() const { return blas_ ? blas_->name() : ""; }

  void run() {
    const int64_t c = config_.hidden_size;
    const int64_t f = config_.ffn_size;
    const int64_t r = options_.lora_r;
    const int64_t t = options_.tokens;
    for (const auto& [n, k] : {std::pair{c, c}, {f, c}, {c, f}}) {
      quantize(n, k);
      decode(n, k);
      for (const int64_t m : {t, int64_t{64}, int64_t{16}, int64_t{1}}) four_bit(m, n, k);
    }
    for (const int64_t m : {t, int64_t{16}, int64_t{1}}) {
      dense("dense x W^T", m, c, c, false, true);
      dense("dense x W^T", m, f, c, false, true);
      dense("dense x W^T", m, c, f, false, true);
      dense("dense dy W", m, c, f, false, false);
    }
    dense("LoRA x A^T", t, r, c, false, true);
    dense("LoRA t B^T", t, c, r, false, true);
    dense("LoRA dy^T t", c, r, t, true, false);
    dense("LoRA u^T x", r, c, t, true, false);
    for (const auto& [n, k] : {std::pair{c, c}, {f, c}, {c, f}}) weight_gradient(n, k);
    lora(3, c, c);
    lora(1, f, c);
    lora(1, c, f);
    for (const auto& [n, k] : {std::pair{c, c}, {f, c}, {c, f}}) dora(n, k);
    attentions();
    rotary();
    layernorm();
    activation();
    elementwise();
    embeddings();
    head();
    optimizer();
  }

 private:
  bool wanted(const std::string& op) const { return op.find(options_.only) != std::string::npos; }

  // `make(operands)` makes one set and returns what runs the op over it.
  template <class Make>
  void measure(OpRate rate, const Make& make, const std::function<void()>& opponent = nullptr,
               bool waits = false) {
    if (!wanted(rate.op)) return;
    const auto n_sets = timer_.n_sets(std::max(rate.bytes, 1.0));
    Operands operands(timer_.context());
    std::vector<std::function<void(Context&)>> runs;
    for (int64_t i = 0; i < n_sets; ++i) runs.push_back(make(operands));
    rate.time = timer_.time(
        n_sets, [&](Context& ctx, int64_t i) { runs[static_cast<size_t>(i)](ctx); }, opponent,
        waits);
    const double by_flops = rate.flops / (1e9 * ceilings_.gflops);
    const double by_bytes = rate.bytes / (1e9 * ceilings_.copy_gbytes);
    rate.bound_by_flops = by_flops >= by_bytes;
    rate.floor_seconds = std::max(by_flops, by_bytes);
    on_rate_(rate);
  }

  static double real(int64_t n) { return static_cast<double>(n); }

  // Operations of a product; its bytes count on a GPU, where operands come from memory.
  OpRate product(const std::string& op, int64_t m, int64_t n, int64_t k, double bytes) const {
    return {.op = op,
            .shape = cat(m, " x ", n, " x ", k),
            .flops = 2.0 * real(m) * real(n) * real(k),
            .bytes = timer_.on_gpu() ? bytes : 0.0};
  }

  void quantize(int64_t n, int64_t k) {
    measure(
        {.op = "quantize",
         .shape = cat(n, " x ", k),
         .bytes = (element_ + kQuantizedBytes) * real(n * k)},
        [&](Operands& o) {
          return [w = o.random(n, k), q = o.quantized(n, k)](Context& ctx) mutable {
            quantize4(ctx, w, q);
          };
        },
        nullptr, true);
  }

  void decode(int64_t n, int64_t k) {
    measure({.op = "decode",
             .shape = cat(n, " x ", k),
             .bytes = (element_ + kQuantizedBytes) * real(n * k)},
            [&](Operands& o) {
              return [q = o.quantized(n, k), w = o.matrix(n, k)](Context& ctx) {
                dequantize4(ctx, q, w);
              };
            });
  }

  void four_bit(int64_t m, int64_t n, int64_t k) {
    const double bytes = kQuantizedBytes * real(n * k) + element_ * real(m * (n + k));
    measure(product("4-bit forward", m, n, k, bytes), [&](Operands& o) {
      return [q = o.quantized(n, k), x = o.random(m, k), y = o.matrix(m, n)](Context& ctx) {
        matmul4_forward(ctx, x, q, Tensor{}, y);
      };
    });
    measure(product("4-bit backward", m, k, n, bytes), [&](Operands& o) {
      return [q = o.quantized(n, k), dy = o.random(m, n), dx = o.matrix(m, k)](Context& ctx) {
        matmul4_backward(ctx, dy, q, dx, GradientMode::kOverwrite);
      };
    });
  }

  void check_same(const std::string& op, const Tensor& ours, const Tensor& theirs, int64_t k) {
    for (int64_t i = 0; i < ours.size(); ++i) {
      const float difference = std::fabs(ours.f32()[i] - theirs.f32()[i]);
      QE_CHECK(difference <= 1e-6f * static_cast<float>(k), op, ": element ", i, " is ",
               ours.f32()[i], ", the BLAS library's is ", theirs.f32()[i]);
    }
  }

  void dense(const std::string& op, int64_t m, int64_t n, int64_t k, bool a_transposed,
             bool b_transposed) {
    const auto gemm_of = [&](Operands& o) {
      return Gemm{.a = a_transposed ? o.random(k, m) : o.random(m, k),
                  .b = b_transposed ? o.random(n, k) : o.random(k, n),
                  .a_transposed = a_transposed,
                  .b_transposed = b_transposed,
                  .c = o.matrix(m, n)};
    };
    const OpRate rate = product(op, m, n, k, element_ * real(n * k + m * k + m * n));
    const auto run_of = [](const Gemm& g) { return [g](Context& ctx) { gemm(ctx, g); }; };
    if (!blas_ || !wanted(op)) {
      return measure(rate, [&](Operands& o) { return run_of(gemm_of(o)); });
    }
    Operands both(timer_.context());
    const Gemm ours = gemm_of(both);
    Gemm theirs = ours;
    theirs.c = both.matrix(m, n);
    measure(
        rate, [&](Operands&) { return run_of(ours); }, [&] { blas_->sgemm(theirs); });
    check_same(op, ours.c, theirs.c, k);
  }

  Dropout dropout_spec(Operands& o, float p) const {
    return {.p = p, .row_samples = o.list(samples_), .row_indices = o.list(indices_)};
  }

  // `n_parts` 4-bit Linears over one x, with LoRA: forward, and backward with all gradients.
  void lora(int64_t n_parts, int64_t n, int64_t k) {
    const int64_t t = options_.tokens, r = options_.lora_r;
    const int64_t cols = n_parts * n, ranks = n_parts * r;
    struct Operand {
      std::vector<Quant4Matrix> weights;
      std::vector<LoraSegment> segments;
      std::vector<LoraLinear> parts;
      Dropout dropout;
      Tensor x, t, y, u, d_x;
    };
    const auto operand = [&](Operands& o) {
      Operand all;
      for (int64_t i = 0; i < n_parts; ++i) {
        all.weights.push_back(o.quantized(n, k));
        all.segments.push_back({0, t, o.random(r, k), o.random(n, r), 1.0f});
        all.parts.push_back({.bias = o.random(1, n),
                             .d_a = o.matrix(r, k, DType::kF32),
                             .d_b = o.matrix(n, r, DType::kF32)});
      }
      const Tensor x = o.random(t, k + lora_room(timer_.context(), ranks));
      const Tensor y = o.random(t, cols + lora_room(timer_.context(), ranks));
      const bool room = timer_.on_gpu();
      all.dropout = dropout_spec(o, 0.05f);
      all.x = x.col_range(0, k);
      all.t = room ? x.col_range(k, ranks) : o.matrix(t, ranks);
      all.y = y.col_range(0, cols);
      all.u = room ? y.col_range(cols, ranks) : o.matrix(t, ranks);
      all.d_x = o.matrix(t, k);
      return all;
    };
    // The parts point into what a closure owns.
    const auto parts_of = [](Operand& all) {
      for (size_t i = 0; i < all.parts.size(); ++i) {
        all.parts[i].quantized = &all.weights[i];
        all.parts[i].segments = {&all.segments[i], 1};
      }
      return std::span<const LoraLinear>(all.parts);
    };
    const double of_pairs = real(ranks * k + cols * r);
    const double weights = kQuantizedBytes * real(cols * k) + element_ * of_pairs;
    OpRate rate = product("Linear + LoRA forward", t, cols, k,
                          weights + element_ * real(t * (k + cols + 2 * ranks)));
    rate.flops += 2.0 * real(t) * of_pairs;
    measure(rate, [&](Operands& o) {
      return [all = operand(o), parts_of](Context& ctx) mutable {
        lora_forward(
            ctx,
            {.x = all.x, .dropout = all.dropout, .parts = parts_of(all), .t = all.t, .y = all.y});
      };
    });
    rate = product("Linear + LoRA backward", t, cols, k,
                   weights + element_ * real(t * (2 * k + cols + 3 * ranks)) + 8.0 * of_pairs);
    rate.flops += 4.0 * real(t) * of_pairs;
    measure(rate, [&](Operands& o) {
      return [all = operand(o), parts_of](Context& ctx) mutable {
        lora_backward(ctx, {.x = all.x,
                            .dropout = all.dropout,
                            .parts = parts_of(all),
                            .t = all.t,
                            .dy = all.y,
                            .u = all.u,
                            .d_x = all.d_x,
                            .d_x_mode = GradientMode::kOverwrite});
      };
    });
  }

  // A whole Linear's: dW += dy^T x, db += the sum of dy's rows.
  void weight_gradient(int64_t n, int64_t k) {
    const int64_t t = options_.tokens;
    measure(
        product("dense dW += dy^T x", n, k, t, element_ * real(t * (n + k)) + 8.0 * real(n * k)),
        [&](Operands& o) {
          return
              [args = Gemm{.a = o.random(t, n),
                           .b = o.random(t, k),
                           .a_transposed = true,
                           .b_transposed = false,
                           .c = o.matrix(n, k, DType::kF32),
                           .mode = GradientMode::kAccumulate}](Context& ctx) { gemm(ctx, args); };
        });
    measure({.op = "column sums", .shape = cat(t, " x ", n), .bytes = element_ * real(t * n)},
            [&](Operands& o) {
              return [x = o.random(t, n), out = o.matrix(1, n, DType::kF32)](Context& ctx) {
                column_sums(ctx, x, out);
              };
            });
  }

  // A 4-bit Linear with DoRA and dropout: the rows' norms, as after every step, forward, and
  // backward with all gradients. Bytes: of the Linear's operands.
  void dora(int64_t n, int64_t k) {
    const int64_t t = options_.tokens, r = options_.lora_r;
    struct Operand {
      Quant4Matrix weight;
      LoraSegment segment;
      LoraLinear part;
      DoraScale scale;
      Tensor squares;
      Dropout dropout;
      Tensor x, t, z, y, u, d_x;

      std::span<const LoraLinear> parts() {
        part.quantized = &weight;
        part.segments = {&segment, 1};
        return {&part, 1};
      }
      std::span<const DoraScale> scales() const { return {&scale, 1}; }
    };
    const auto operand = [&](Operands& o) {
      const auto vector = [&] {
        return o.list(std::vector<float>(static_cast<size_t>(n), 1.0f)).data();
      };
      const auto row = [&] {
        return make_tensor(vector(), 1, n, DType::kF32, timer_.context().device);
      };
      return Operand{.weight = o.quantized(n, k),
                     .segment = {0, t, o.random(r, k), o.random(n, r), 1.0f},
                     .part = {.bias = o.random(1, n),
                              .d_a = o.matrix(r, k, DType::kF32),
                              .d_b = o.matrix(n, r, DType::kF32)},
                     .scale = {row(), row(), row()},
                     .squares = row(),
                     .dropout = dropout_spec(o, 0.05f),
                     .x = o.random(t, k),
                     .t = o.matrix(t, r),
                     .z = o.random(t, n),
                     .y = o.random(t, n),
                     .u = o.matrix(t, r),
                     .d_x = o.matrix(t, k)};
    };
    const double weights = kQuantizedBytes * real(n * k) + element_ * real(r * (n + k));
    measure(product("DoRA norms", r, n, k, weights), [&](Operands& o) {
      return [all = operand(o)](Context& ctx) mutable {
        dora_norms(ctx, all.parts()[0], all.squares, all.scale.norms);
      };
    });
    OpRate rate = product("Linear + DoRA forward", t, n, k, weights + element_ * real(t * (k + n)));
    rate.flops *= 2.0;  // of x and of dropout(x)
    measure(rate, [&](Operands& o) {
      return [all = operand(o)](Context& ctx) mutable {
        dora_forward(ctx, {.x = all.x,
                           .dropout = all.dropout,
                           .parts = all.parts(),
                           .scales = all.scales(),
                           .t = all.t,
                           .z = all.z,
                           .y = all.y});
      };
    });
    rate.op = "Linear + DoRA backward";
    rate.bytes *= 2.0;
    measure(rate, [&](Operands& o) {
      return [all = operand(o)](Context& ctx) mutable {
        dora_backward(ctx, {.x = all.x,
                            .dropout = all.dropout,
                            .parts = all.parts(),
                            .scales = all.scales(),
                            .t = all.t,
                            .z = all.z,
                            .dy = all.y,
                            .u = all.u,
                            .d_x = all.d_x,
                            .d_x_mode = GradientMode::kOverwrite});
      };
    });
  }

  // What families ask of attention.
  struct AttentionKind {
    const char* name = "";
    int64_t n_kv_heads = 0;
    int64_t window = 0;
    bool relative_bias = false;
    int64_t n_distances = 0;
  };

  void attentions() {
    const int64_t h = config_.n_heads;
    attention({});
    attention({.name = ", window", .window = options_.length / 8});
    attention({.name = ", GQA", .n_kv_heads = h % 4 == 0 ? h / 4 : 1});
    attention({.name = ", bias", .relative_bias = true});
    attention({.name = ", terms", .n_distances = 512});
  }

  // Operations: of the scores that a window leaves.
  void attention(const AttentionKind& kind) {
    const int64_t length = options_.length;
    const int64_t n = options_.tokens / length;
    const int64_t tokens = n * length;
    const int64_t c = config_.n_heads * config_.head_dim;
    const int64_t keys =
        (kind.n_kv_heads > 0 ? kind.n_kv_heads : config_.n_heads) * config_.head_dim;
    const int64_t terms = config_.n_heads * kind.n_distances;
    std::vector<int32_t> starts, columns;
    for (int64_t b = 0; b <= n; ++b) starts.push_back(static_cast<int32_t>(b * length));
    for (int64_t d = 0; d < (terms > 0 ? 2 * length - 1 : 0); ++d) {
      columns.push_back(static_cast<int32_t>(d * kind.n_distances / (2 * length - 1)));
    }
    const auto shape_of = [&](Operands& o) {
      AttentionShape shape{.cu_seqlens = o.list(starts),
                           .sample_ids = o.list(samples_).first(static_cast<size_t>(n)),
                           .max_length = length,
                           .n_heads = config_.n_heads,
                           .n_kv_heads = kind.n_kv_heads,
                           .head_dim = config_.head_dim,
                           .window = kind.window,
                           .scale = 0.125f,
                           .dropout_p = config_.attention_dropout};
      if (kind.relative_bias) {
        shape.relative_bias = o.random(config_.n_heads, 2 * length - 1, DType::kF32);
      }
      if (terms == 0) return shape;
      shape.query_terms = o.random(tokens, terms, DType::kF32);
      shape.key_terms = o.random(tokens, terms, DType::kF32);
      shape.distance_columns = o.list(columns);
      shape.n_distance_columns = kind.n_distances;
      return shape;
    };
    const auto lse_of = [&](Operands& o) { return o.matrix(tokens, config_.n_heads, DType::kF32); };
    double scores = real(length * length);
    if (kind.window > 0) {
      scores = 0;
      for (int64_t q = 0; q < length; ++q) {
        scores +=
            real(std::min(q + kind.window, length - 1) - std::max(q - kind.window, int64_t{0}) + 1);
      }
    }
    const double of_terms = 8.0 * real(tokens * terms);
    const double rows = element_ * real(tokens * (2 * c + 2 * keys));
    OpRate rate{.op = cat("attention forward", kind.name),
                .shape = cat(n, " x ", length, " x ", c),
                .flops = 4.0 * real(n) * scores * real(c),
                .bytes = timer_.on_gpu() ? rows + of_terms : 0.0};
    measure(rate, [&](Operands& o) {
      return [shape = shape_of(o), qkv = o.random(tokens, c + 2 * keys), out = o.matrix(tokens, c),
              lse = lse_of(o)](Context& ctx) { attention_forward(ctx, shape, qkv, out, lse); };
    });
    rate.op = cat("attention backward", kind.name);
    rate.flops *= 2.5;
    rate.bytes *= 2.0;
    measure(rate, [&](Operands& o) {
      AttentionTermGradients d_terms;
      if (terms > 0) {
        d_terms = {o.matrix(tokens, terms, DType::kF32), o.matrix(tokens, terms, DType::kF32)};
      }
      return [shape = shape_of(o), qkv = o.random(tokens, c + 2 * keys), out = o.random(tokens, c),
              lse = lse_of(o), d_out = o.random(tokens, c), d_qkv = o.matrix(tokens, c + 2 * keys),
              d_terms](Context& ctx) {
        attention_backward(ctx, shape, qkv, out, lse, d_out, d_qkv, d_terms);
      };
    });
  }

  void rotary() {
    const int64_t t = options_.tokens;
    const int64_t c = config_.n_heads * config_.head_dim;
    measure({.op = "rotary positions",
             .shape = cat(t, " x ", 2 * c),
             .bytes = 4.0 * element_ * real(t * c)},
            [&](Operands& o) {
              return [spec = Rope{.positions = o.list(indices_),
                                  .table = o.random(options_.length, config_.head_dim, DType::kF32),
                                  .n_heads = 2 * config_.n_heads,
                                  .head_dim = config_.head_dim},
                      qkv = o.random(t, 3 * c)](Context& ctx) { rope(ctx, spec, qkv, false); };
            });
  }

  void layernorm() {
    const int64_t t = options_.tokens;
    const int64_t c = config_.hidden_size;
    const double bytes = 4.0 * element_ * real(t * c);
    const std::string shape = cat(t, " x ", c);
    const auto vector = [c](Operands& o) { return o.random(1, c, DType::kF32); };
    measure({.op = "dropout + LayerNorm forward", .shape = shape, .bytes = bytes},
            [&](Operands& o) {
              return [args = LayerNormForward{
                          .x = o.random(t, c),
                          .residual = o.random(t, c),
                          .dropout = dropout_spec(o, config_.attention_output_dropout),
                          .gamma = vector(o),
                          .beta = vector(o),
                          .sum = o.matrix(t, c),
                          .y = o.matrix(t, c)}](Context& ctx) { layernorm_forward(ctx, args); };
            });
    for (const bool trained : {false, true}) {
      measure({.op = cat("dropout + LayerNorm backward", trained ? ", trained" : ""),
               .shape = shape,
               .bytes = bytes},
              [&](Operands& o) {
                LayerNormBackward args{.sum = o.random(t, c),
                                       .gamma = vector(o),
                                       .dropout = dropout_spec(o, config_.attention_output_dropout),
                                       .dy = o.random(t, c),
                                       .d_residual = o.matrix(t, c),
                                       .d_x = o.matrix(t, c)};
                if (trained) args.d_gamma = vector(o);
                if (trained) args.d_beta = vector(o);
                return [args](Context& ctx) { layernorm_backward(ctx, args); };
              });
    }
  }

  void activation() {
    const int64_t t = options_.tokens;
    const int64_t f = config_.ffn_size;
    const double bytes = element_ * real(t * f);
    const std::string shape = cat(t, " x ", f);
    measure({.op = "gated GELU forward", .shape = shape, .bytes = 3 * bytes}, [&](Operands& o) {
      return [x = o.random(t, 2 * f), y = o.matrix(t, f)](Context& ctx) {
        gated_activation_forward(ctx, Activation::kGelu, x, y);
      };
    });
    measure({.op = "GELU forward", .shape = shape, .bytes = 2 * bytes}, [&](Operands& o) {
      return [x = o.random(t, f), y = o.matrix(t, f)](Context& ctx) {
        activation_forward(ctx, Activation::kGelu, x, y);
      };
    });
    measure({.op = "GELU backward", .shape = shape, .bytes = 3 * bytes}, [&](Operands& o) {
      return [x = o.random(t, f), dy = o.random(t, f), dx = o.matrix(t, f)](Context& ctx) {
        activation_backward(ctx, Activation::kGelu, x, dy, dx);
      };
    });
  }

  void elementwise() {
    const int64_t t = options_.tokens;
    const int64_t c = config_.hidden_size;
    const double bytes = 2.0 * element_ * real(t * c);
    const std::string shape = cat(t, " x ", c);
    measure({.op = "dropout", .shape = shape, .bytes = bytes}, [&](Operands& o) {
      return [spec = dropout_spec(o, 0.1f), x = o.random(t, c), y = o.matrix(t, c)](Context& ctx) {
        dropout(ctx, spec, x, y);
      };
    });
    measure({.op = "embedding noise", .shape = shape, .bytes = bytes}, [&](Operands& o) {
      const std::vector<int32_t> starts = {0, static_cast<int32_t>(t)};
      return [args = EmbeddingNoise{.alpha = 5.0f,
                                    .cu_seqlens = o.list(starts),
                                    .sample_ids = o.list(samples_).first(1),
                                    .x = o.random(t, c)}](Context& ctx) {
        embedding_noise(ctx, args);
      };
    });
  }

  void embeddings() {
    const int64_t t = options_.tokens;
    const int64_t c = config_.hidden_size;
    const int64_t v = config_.vocab_size;
    const int64_t m = n_labels();
    std::vector<int32_t> ids, positions, rows;
    for (int64_t i = 0; i < t; ++i) {
      ids.push_back(static_cast<int32_t>((i * 40503 + 17) % v));
      positions.push_back(static_cast<int32_t>(i % options_.length));
    }
    for (int64_t i = 0; i < m; ++i) rows.push_back(static_cast<int32_t>(i * t / m));
    Operands tables(timer_.context());  // for all sets: rows that are read are spread over them
    const Tensor words = tables.random(v, c), places = tables.random(options_.length, c);
    measure({.op = "embeddings", .shape = cat(t, " x ", c), .bytes = 2.0 * element_ * real(t * c)},
            [&](Operands& o) {
              return [args = EmbeddingForward{.token_ids = o.list(ids),
                                              .position_ids = o.list(positions),
                                              .word_table = words,
                                              .position_table = places,
                                              .out = o.matrix(t, c)}](Context& ctx) {
                embedding_forward(ctx, args);
              };
            });
    const Tensor d_words = tables.matrix(v, c, DType::kF32);
    const std::vector<int32_t> types(static_cast<size_t>(t), 0);
    for (const bool of_types : {false, true}) {
      const double of_table = of_types ? 0.0 : 8.0 * real(t * c);  // most words are there once
      measure({.op = cat("embedding backward, ", of_types ? "types" : "words"),
               .shape = cat(t, " x ", c),
               .bytes = element_ * real(t * c) + of_table},
              [&](Operands& o) {
                return [args = EmbeddingBackward{.ids = o.list(of_types ? types : ids),
                                                 .d_out = o.random(t, c),
                                                 .d_table = d_words}](Context& ctx) {
                  embedding_backward(ctx, args);
                };
              });
    }
    const double bytes = 2.0 * element_ * real(m * c);
    measure({.op = "gather rows", .shape = cat(m, " x ", c), .bytes = bytes}, [&](Operands& o) {
      return [x = o.random(t, c), at = o.list(rows), y = o.matrix(m, c)](Context& ctx) {
        gather_rows(ctx, x, at, y);
      };
    });
    measure({.op = "scatter rows", .shape = cat(m, " x ", c), .bytes = 1.5 * bytes},
            [&](Operands& o) {
              return [dy = o.random(m, c), at = o.list(rows), dx = o.matrix(t, c)](Context& ctx) {
                scatter_rows(ctx, dy, at, dx, GradientMode::kAccumulate);
              };
            });
  }

  int64_t n_labels() const { return std::max<int64_t>(1, options_.tokens * kLabelPercent / 100); }

  void head() {
    const int64_t m = n_labels();
    const int64_t c = config_.hidden_size;
    const int64_t v = config_.vocab_size;
    // As models hold their decoder: on a GPU with rows of zeros up to a good multiple.
    const int64_t held = timer_.on_gpu() ? (v + kMlmDecoderRowMultiple - 1) /
                                               kMlmDecoderRowMultiple * kMlmDecoderRowMultiple
                                         : v;
    std::vector<int32_t> labels;
    for (int64_t i = 0; i < m; ++i) labels.push_back(static_cast<int32_t>(i * 37 % v));
    const double bytes = element_ * real(held * c);
    OpRate rate = product("loss", m, held, c, bytes);
    for (const bool gradient : {false, true}) {
      measure(rate, [&](Operands& o) {
        return [args = MlmLoss{.hidden = o.random(m, c),
                               .decoder = o.random(held, c),
                               .bias = o.random(1, held, DType::kF32),
                               .vocab_size = v,
                               .labels = o.list(labels),
                               .d_hidden = gradient ? o.matrix(m, c) : Tensor{},
                               .totals = o.list(std::vector<MlmTotals>(1)).data()}](Context& ctx) {
          mlm_loss(ctx, args);
        };
      });
      rate.op = "loss and its gradient";
      rate.flops *= 2.0;
    }
    trained_head(labels, held);
    constexpr int64_t kRows = 16, kBest = 5;
    const int64_t k = std::min(kBest, v);
    measure({.op = "best 5", .shape = cat(kRows, " x ", v), .bytes = 4.0 * real(kRows * v)},
            [&](Operands& o) {
              return [args = TopK{.logits = o.random(kRows, v, DType::kF32),
                                  .k = k,
                                  .ids = o.list(std::vector<int32_t>(size_t(kRows * k))),
                                  .probabilities = o.floats(kRows * k)}](Context& ctx) {
                topk(ctx, args);
              };
            });
  }

  // The loss with all gradients, the decoder's too: it is read and written for each chunk of rows.
  // And with some rows of the decoder replaced.
  void trained_head(const std::vector<int32_t>& labels, int64_t held) {
    const int64_t m = static_cast<int64_t>(labels.size());
    const int64_t c = config_.hidden_size;
    const int64_t v = config_.vocab_size;
    const int64_t chunk = mlm_loss_chunk_rows(timer_.context().device, v);
    const double of_decoder = element_ * real(held * c);
    const double passes = std::ceil(real(m) / real(chunk));
    const int64_t n_replaced = std::min<int64_t>(64, v);
    std::vector<int32_t> replaced;
    for (int64_t i = 0; i < n_replaced; ++i) replaced.push_back(static_cast<int32_t>(v - 1 - i));
    for (const bool whole : {true, false}) {
      OpRate rate = product(whole ? "loss and its gradients, trained decoder"
                                  : "loss and its gradient, 64 replaced rows",
                            m, held, c, of_decoder + (whole ? passes * 8.0 * real(held * c) : 0.0));
      rate.flops *= whole ? 3.0 : 2.0;
      measure(rate, [&](Operands& o) {
        MlmLoss args{.hidden = o.random(m, c),
                     .decoder = o.random(held, c),
                     .bias = o.random(1, held, DType::kF32),
                     .vocab_size = v,
                     .labels = o.list(labels),
                     .d_hidden = o.matrix(m, c),
                     .totals = o.list(std::vector<MlmTotals>(1)).data()};
        if (whole) {
          args.d_decoder = o.matrix(v, c, DType::kF32);
          args.d_bias = o.matrix(1, v, DType::kF32);
        } else {
          args.replaced = {.ids = o.list(replaced), .rows = o.random(n_replaced, c)};
          args.d_replaced = o.matrix(n_replaced, c, DType::kF32);
        }
        return [args](Context& ctx) { mlm_loss(ctx, args); };
      });
    }
  }

  void optimizer() {
    constexpr int64_t kOnCpu = int64_t{4} << 20, kOnGpu = int64_t{28} << 20;
    const int64_t n = timer_.on_gpu() ? kOnGpu : kOnCpu;
    const auto positive = [](Operands& o, int64_t size) {
      return o.list(std::vector<float>(static_cast<size_t>(size), 0.5f));
    };
    measure({.op = "AdamW", .shape = cat(n), .bytes = 28.0 * real(n)}, [&](Operands& o) {
      return
          [args = AdamwSpan{.parameters = o.floats(n),
                            .gradients = o.floats(n),
                            .exp_avg = o.floats(n),
                            .exp_avg_sq = positive(o, n)}](Context& ctx) { adamw_step(ctx, args); };
    });
    std::vector<Adamw8Block> blocks;
    for (int64_t at = 0; at < n; at += kAdamw8Block) blocks.push_back({at, kAdamw8Block});
    const int64_t n_blocks = static_cast<int64_t>(blocks.size());
    const double of_block = 16.0 + 4.0 * sizeof(float);  // its place, scales read and written
    measure({.op = "AdamW in 8 bits",
             .shape = cat(n),
             .bytes = 16.0 * real(n) + of_block * real(n_blocks)},
            [&](Operands& o) {
              return [args = Adamw8Span{.parameters = o.floats(n),
                                        .gradients = o.floats(n),
                                        .blocks = o.list(blocks),
                                        .exp_avg = o.bytes(n),
                                        .exp_avg_sq = o.bytes(n),
                                        .exp_avg_scale = positive(o, n_blocks),
                                        .exp_avg_sq_scale = positive(o, n_blocks)}](Context& ctx) {
                adamw8_step(ctx, args);
              };
            });
    measure({.op = "gradient norm", .shape = cat(n), .bytes = 4.0 * real(n)}, [&](Operands& o) {
      return [g = o.floats(n)](Context& ctx) { gradient_norm(ctx, g, 1.0f); };
    });
    const DType to = timer_.context().compute;
    measure({.op = "cast", .shape = cat(n), .bytes = (4.0 + element_) * real(n)}, [&](Operands& o) {
      return [x = o.random(1, n, DType::kF32), y = o.matrix(1, n, to)](Context& ctx) {
        cast(ctx, x, y);
      };
    });
  }

  const EncoderConfig& config_;
  const BenchOpsOptions& options_;
  const std::function<void(const OpRate&)>& on_rate_;
  OpTimer timer_;
  std::optional<CblasLibrary> blas_;
  Ceilings ceilings_;
  double element_ = 4;  // bytes of one of the compute type
  std::vector<uint32_t> samples_, indices_;
};

}  // namespace

Ceilings measure_ceilings(Context& ctx) {
  constexpr int64_t kColumns = 1 << 20;
  const int64_t rows =
      ctx.device.kind == DeviceKind::kCpu ? 16 * ctx.threads->n_threads() : 256;  // 1 GiB
  Memory memory(ctx);
  const auto matrix = [&] {
    return make_tensor(memory.allocate_array<float>("copy", rows * kColumns), rows, kColumns,
                       DType::kF32, ctx.device);
  };
  const Tensor from = matrix(), to = matrix();
  return {measure_gflops(ctx), measure_copy_gbytes(ctx, from, to)};
}

void bench_ops(
    const EncoderConfig& config, const BenchOpsOptions& options,
    const std::function<void(const Context&, const Ceilings&, const std::string& blas)>& on_start,
    const std::function<void(const OpRate&)>& on_rate) {
  OpsBench bench(config, options, on_rate);
  on_start(bench.context(), bench.ceilings(), bench.blas_name());
  bench.run();
}

}  // namespace qe::tools
