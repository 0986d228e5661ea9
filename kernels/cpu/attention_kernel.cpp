// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// Compiled once per instruction set (see simd.h for the rules of such files).
//
// Lanes are queries. Queries are taken in strips of 16, and the scores of a strip are stored
// transposed: row j holds the 16 queries' scores of key j. Then
//   - the score product reads keys as they are (broadcast) against the transposed queries;
//   - softmax is lane by lane, keys in ascending order, with no sums across lanes;
//   - one Philox draw for 16 queries gives four whole rows of keep decisions;
//   - the products with V, K, Q and dO read the scores as broadcasts and those rows as vectors.
// All seven products are one micro-kernel over different strides. A query's numbers are made in its
// own lane, so they depend on neither its strip nor the number of threads.

#include "kernels/cpu/attention_kernel.h"

#include "kernels/cpu/lane_loop.h"
#include "kernels/cpu/philox16.h"
#include "kernels/cpu/vecmath.h"

namespace qe::cpu::QE_ISA {
namespace {

// Rows of a full tile: as many accumulators as hide the latency of an FMA.
#if defined(QE_ISA_IS_avx512)
constexpr int kTileRows = 12;
#elif defined(QE_ISA_IS_avx2) || defined(QE_ISA_IS_neon)
constexpr int kTileRows = 6;
#else
constexpr int kTileRows = 2;
#endif

// c[i * c_row + lane] = [c +] sum over k of a[i * a_row + k * a_k] * b[k * b_k + lane]: one FMA
// chain per element, k ascending.
struct Product {
  int64_t rows;
  int64_t depth;
  const float* a;
  int64_t a_row;
  int64_t a_k;
  const float* b;
  int64_t b_k;
  float* c;
  int64_t c_row;
  bool from_c;
};

template <int kRows>
void tile(const Product& p, const float* a, float* c) {
  Vec sum[kRows];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) sum[i] = p.from_c ? load(c + i * p.c_row) : zero();
  const float* b = p.b;
  const int64_t a_row = p.a_row;
  const int64_t a_k = p.a_k;
  const int64_t b_k = p.b_k;
  for (int64_t k = p.depth; k > 0; --k) {
    const Vec column = load(b);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) sum[i] = fma(set(a[i * a_row]), column, sum[i]);
    a += a_k;
    b += b_k;
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) store(c + i * p.c_row, sum[i]);
}

using TileFunction = void (*)(const Product&, const float* a, float* c);
struct TileTable {
  TileFunction of_rows[kTileRows + 1];
};
template <int kRows>
constexpr void fill_tiles(TileTable& table) {
  table.of_rows[kRows] = &tile<kRows>;
  if constexpr (kRows > 1) fill_tiles<kRows - 1>(table);
}
constexpr TileTable make_tiles() {
  TileTable table{};
  fill_tiles<kTileRows>(table);
  return table;
}
constexpr TileTable kTiles = make_tiles();

// Tiles of even height: 16 rows are 6 + 5 + 5.
void multiply(const Product& p) {
  if (p.rows == 0) return;
  const int64_t n_tiles = (p.rows + kTileRows - 1) / kTileRows;
  const int64_t height = p.rows / n_tiles;
  const int64_t n_higher = p.rows % n_tiles;
  int64_t row = 0;
  for (int64_t n = 0; n < n_tiles; ++n) {
    const int64_t rows = height + (n < n_higher ? 1 : 0);
    kTiles.of_rows[rows](p, p.a + row * p.a_row, p.c + row * p.c_row);
    row += rows;
  }
}

// One piece of scratch after the other.
struct Carver {
  float* next;
  float* take(int64_t n) {
    float* piece = next;
    next += n;
    return piece;
  }
};

// The column of the head's q (part 0), k (1) or v (2) inside qkv or d_qkv.
int64_t head_column(const AttentionTensors& t, const AttentionHead& h, int part) {
  if (part == 0) return h.head * t.head_dim;
  const int64_t kv_head = h.head / (t.n_heads / t.n_kv_heads);
  return (t.n_heads + (part - 1) * t.n_kv_heads + kv_head) * t.head_dim;
}
const float* head_rows(const AttentionTensors& t, const AttentionHead& h, int part) {
  return t.qkv + h.first_row * t.qkv_stride + head_column(t, h, part);
}
float* gradient_rows(const AttentionTensors& t, const AttentionHead& h, int part) {
  return t.d_qkv + h.first_row * t.d_qkv_stride + head_column(t, h, part);
}

// Keys [begin, end): row r of scores belongs to key begin + r.
struct KeyRange {
  int64_t begin;
  int64_t end;
  int64_t size() const { return end - begin; }
};

// What queries [query, query + n) see.
KeyRange visible_keys(const AttentionTensors& t, const AttentionHead& h, int64_t query, int64_t n) {
  if (t.window == 0) return {0, h.length};
  const int64_t begin = query - t.window;
  const int64_t end = query + n + t.window;
  return {begin > 0 ? begin : 0, end < h.length ? end : h.length};
}

// Adds the terms by distance to the scores of the n queries from `query` on.
void add_terms(const AttentionTensors& t, const AttentionHead& h, int64_t query, int64_t n,
               KeyRange keys, float* scores, int64_t stride) {
  const int64_t column = h.head * t.n_distance_columns;
  for (int64_t k = keys.begin; k < keys.end; ++k) {
    float* row = scores + (k - keys.begin) * stride;
    const float* of_key = t.key_terms + (h.first_row + k) * t.key_terms_stride + column;
    for (int64_t i = 0; i < n; ++i) {
      const int64_t q = query + i;
      const int32_t at = t.distance_columns[q - k];
      row[i] += t.query_terms[(h.first_row + q) * t.query_terms_stride + column + at] + of_key[at];
    }
  }
}

// The gradients of those terms, from d_scores: (keys, width), the n queries from `query` on.
void add_term_gradients(const AttentionTensors& t, const AttentionHead& h, int64_t query, int64_t n,
                        KeyRange keys, const float* d_scores, int64_t width) {
  const int64_t column = h.head * t.n_distance_columns;
  for (int64_t k = keys.begin; k < keys.end; ++k) {
    const float* row = d_scores + (k - keys.begin) * width;
    float* of_key = t.d_key_terms + (h.first_row + k) * t.d_key_terms_stride + column;
    for (int64_t i = 0; i < n; ++i) {
      const int64_t q = query + i;
      const int32_t at = t.distance_columns[q - k];
      t.d_query_terms[(h.first_row + q) * t.d_query_terms_stride + column + at] += row[i];
      of_key[at] += row[i];
    }
  }
}

// Adds the bias to the scores of the n <= 16 queries from `query` on, and takes what is outside of
// the window away.
void adjust_scores(const AttentionTensors& t, const AttentionHead& h, int64_t query, int64_t n,
                   KeyRange keys, float* scores, int64_t stride) {
  if (t.relative_bias != nullptr) {
    const float* bias = t.relative_bias + h.head * t.bias_stride + query;
    for (int64_t k = keys.begin; k < keys.end; ++k) {
      float* row = scores + (k - keys.begin) * stride;
      const Vec b = n == kLanes ? load(bias - k) : load_first(bias - k, n);
      store(row, load(row) + b);
    }
  }
  if (t.query_terms != nullptr) add_terms(t, h, query, n, keys, scores, stride);
  if (t.window == 0) return;
  const Vec lowest = as_float(set_int(0xff800000u));  // -infinity
  const Int width = set_int(static_cast<uint32_t>(2 * t.window));
  for (int64_t k = keys.begin; k < keys.end; ++k) {
    if (k + t.window >= query + kLanes - 1 && k - t.window <= query) continue;
    float* row = scores + (k - keys.begin) * stride;
    // Lane by lane query - key + window, outside of 0 .. 2 window as an unsigned number.
    const Int distance = set_int(static_cast<uint32_t>(query - k + t.window)) + lane_numbers();
    store(row, select(less_int(width, distance), lowest, load(row)));
  }
}

// to (n, padded dim) = factor * from (n, dim), zeros beyond dim.
void pack_rows(const float* from, int64_t stride, int64_t n, int64_t dim, float factor, float* to) {
  const int64_t padded = attention_padded_dim(dim);
  for (int64_t i = 0; i < n; ++i, from += stride, to += padded) {
    for_lanes(dim,
              [&](int64_t d, auto part) { store(to + d, load(from + d, part) * set(factor)); });
  }
}

// from (n, padded dim) to (n, dim), times factor.
void unpack_rows(const float* from, int64_t n, int64_t dim, float factor, float* to,
                 int64_t stride) {
  const int64_t padded = attention_padded_dim(dim);
  for (int64_t i = 0; i < n; ++i, from += padded, to += stride) {
    for_lanes(dim,
              [&](int64_t d, auto part) { store(to + d, load(from + d) * set(factor), part); });
  }
}

// to (padded dim, 16) = the transpose of n <= 16 rows (n, dim), zeros elsewhere.
void transpose_strip(const float* from, int64_t stride, int64_t n, int64_t dim, float* to) {
  const int64_t whole = n == kLanes ? dim / kLanes * kLanes : 0;
  for (int64_t d = 0; d < whole; d += kLanes) {
    transpose16(from + d, stride, to + d * kLanes, kLanes);
  }
  const int64_t padded = attention_padded_dim(dim);
  for (int64_t d = whole; d < padded; ++d) {
    for (int64_t i = 0; i < kLanes; ++i) {
      to[d * kLanes + i] = i < n && d < dim ? from[i * stride + d] : 0.0f;
    }
  }
}

// Calls body(row, scale) for every key in ascending order: what the probabilities of the 16 queries
// from `query` on are multiplied by.
template <class Body>
QE_INLINE void for_keep_scales(const AttentionTensors& t, const AttentionHead& h, int64_t query,
                               KeyRange keys, Body body) {
  const Int sample = set_int(h.sample);
  const Int epoch = set_int(t.epoch);
  const Int site = set_int(t.layer << 16 | static_cast<uint32_t>(h.head));
  const Int rows = shl<16>(set_int(static_cast<uint32_t>(query)) + lane_numbers());
  for (int64_t key = keys.begin / 4 * 4; key < keys.end; key += 4) {
    const Int quad = set_int(static_cast<uint32_t>(key / 4));
    const Philox16 r = philox16(t.key, {sample, epoch, site, rows | quad});
    const Int words[4] = {r.x, r.y, r.z, r.w};
#pragma GCC unroll 4
    for (int64_t i = 0; i < 4; ++i) {
      if (key + i < keys.begin || key + i >= keys.end) continue;
      body(key + i - keys.begin, keep_scale(words[i], t.threshold, t.keep_scale));
    }
  }
}

struct ForwardScratch {
  float* keys;     // (length, dim)
  float* values;   // (length, dim)
  float* queries;  // (dim, 16)
  float* scores;   // (length, 16)
  float* out;      // (16, dim)
};

// Scores of a strip to exp(score - max), and dropped ones to 0; 1 / sum and log-sum-exp by lane.
void softmax_strip(const AttentionTensors& t, const AttentionHead& h, int64_t query, KeyRange keys,
                   float* scores, float* inverse_sum, float* lse) {
  Vec top = load(scores);
  for (int64_t j = 1; j < keys.size(); ++j) top = max(top, load(scores + j * kLanes));
  Vec sum = zero();
  for (int64_t j = 0; j < keys.size(); ++j) {
    const Vec e = exp(load(scores + j * kLanes) - top);
    store(scores + j * kLanes, e);
    sum = sum + e;
  }
  store(inverse_sum, set(1.0f) / sum);
  store(lse, top + log(sum));
  if (!t.dropout) return;
  for_keep_scales(t, h, query, keys, [&](int64_t row, Vec scale) {
    store(scores + row * kLanes, drop(load(scores + row * kLanes), scale));
  });
}

// Queries [query, query + n), n <= 16.
void forward_strip(const AttentionTensors& t, const AttentionHead& h, int64_t query, int64_t n,
                   const ForwardScratch& s) {
  const int64_t dim = attention_padded_dim(t.head_dim);
  transpose_strip(head_rows(t, h, 0) + query * t.qkv_stride, t.qkv_stride, n, t.head_dim,
                  s.queries);
  for (int64_t d = 0; d < t.head_dim; ++d) {
    store(s.queries + d * kLanes, load(s.queries + d * kLanes) * set(t.scale));
  }
  const KeyRange keys = visible_keys(t, h, query, n);
  multiply({.rows = keys.size(),
            .depth = t.head_dim,
            .a = s.keys + keys.begin * dim,
            .a_row = dim,
            .a_k = 1,
            .b = s.queries,
            .b_k = kLanes,
            .c = s.scores,
            .c_row = kLanes,
            .from_c = false});
  float inverse_sum[kLanes];
  float lse[kLanes];
  adjust_scores(t, h, query, n, keys, s.scores, kLanes);
  softmax_strip(t, h, query, keys, s.scores, inverse_sum, lse);
  for (int64_t d = 0; d < dim; d += kLanes) {
    multiply({.rows = n,
              .depth = keys.size(),
              .a = s.scores,
              .a_row = 1,
              .a_k = kLanes,
              .b = s.values + keys.begin * dim + d,
              .b_k = dim,
              .c = s.out + d,
              .c_row = dim,
              .from_c = false});
  }
  for (int64_t i = 0; i < n; ++i) {
    const int64_t row = h.first_row + query + i;
    unpack_rows(s.out + i * dim, 1, t.head_dim, inverse_sum[i],
                t.out + row * t.out_stride + h.head * t.head_dim, t.out_stride);
    t.lse[row * t.lse_stride + h.head] = lse[i];
  }
}

struct BackwardScratch {
  float* keys;           // (length, dim)
  float* values;         // (length, dim)
  float* d_keys;         // (length, dim)
  float* d_values;       // (length, dim)
  float* probabilities;  // (length, width): P with dropout, transposed
  float* d_scores;       // (length, width): dS, transposed
  float* queries;        // (width, dim): scale * q
  float* d_out;          // (width, dim)
  float* d_queries;      // (width, dim)
  float* queries_t;      // (dim, 16)
  float* d_out_t;        // (dim, 16)
  float* out_t;          // (dim, 16)
};

// P and dS of one strip from its scores and dP, in place.
void score_gradients(const AttentionTensors& t, const AttentionHead& h, int64_t query,
                     KeyRange keys, Vec lse, Vec delta, int64_t width, float* probabilities,
                     float* d_scores) {
  const auto one_key = [&](int64_t row, Vec scale, bool with_dropout) {
    float* p_row = probabilities + row * width;
    float* d_row = d_scores + row * width;
    const Vec p = exp(load(p_row) - lse);
    const Vec dp = with_dropout ? drop(load(d_row), scale) : load(d_row);
    store(p_row, with_dropout ? drop(p, scale) : p);
    store(d_row, p * (dp - delta));
  };
  if (t.dropout) {
    for_keep_scales(t, h, query, keys, [&](int64_t row, Vec scale) { one_key(row, scale, true); });
  } else {
    for (int64_t row = 0; row < keys.size(); ++row) one_key(row, zero(), false);
  }
}

// Queries [query, query + n), n <= 16: column `column` .. + 15 of the blocks of scores.
void backward_strip(const AttentionTensors& t, const AttentionHead& h, int64_t query, int64_t n,
                    KeyRange keys, int64_t column, int64_t width, const BackwardScratch& s) {
  const int64_t dim = attention_padded_dim(t.head_dim);
  const int64_t row = h.first_row + query;
  transpose_strip(s.queries + column * dim, dim, n, dim, s.queries_t);
  transpose_strip(s.d_out + column * dim, dim, n, dim, s.d_out_t);
  transpose_strip(t.out + row * t.out_stride + h.head * t.head_dim, t.out_stride, n, t.head_dim,
                  s.out_t);
  float lse[kLanes] = {};
  for (int64_t i = 0; i < n; ++i) lse[i] = t.lse[(row + i) * t.lse_stride + h.head];
  Vec delta = zero();  // D of the paper: sum over d of dO * O
  for (int64_t d = 0; d < t.head_dim; ++d) {
    delta = fma(load(s.d_out_t + d * kLanes), load(s.out_t + d * kLanes), delta);
  }
  multiply({.rows = keys.size(),
            .depth = t.head_dim,
            .a = s.keys + keys.begin * dim,
            .a_row = dim,
            .a_k = 1,
            .b = s.queries_t,
            .b_k = kLanes,
            .c = s.probabilities + column,
            .c_row = width,
            .from_c = false});
  multiply({.rows = keys.size(),
            .depth = t.head_dim,
            .a = s.values + keys.begin * dim,
            .a_row = dim,
            .a_k = 1,
            .b = s.d_out_t,
            .b_k = kLanes,
            .c = s.d_scores + column,
            .c_row = width,
            .from_c = false});
  adjust_scores(t, h, query, n, keys, s.probabilities + column, width);
  score_gradients(t, h, query, keys, load(lse), delta, width, s.probabilities + column,
                  s.d_scores + column);
}

// Queries [query, query + n), n <= kAttentionBackwardQueries: adds their terms to d_keys and
// d_values, writes their dQ.
void backward_queries(const AttentionTensors& t, const AttentionHead& h, int64_t query, int64_t n,
                      const BackwardScratch& s) {
  const int64_t dim = attention_padded_dim(t.head_dim);
  const int64_t width = (n + kLanes - 1) / kLanes * kLanes;
  const int64_t row = h.first_row + query;
  pack_rows(head_rows(t, h, 0) + query * t.qkv_stride, t.qkv_stride, n, t.head_dim, t.scale,
            s.queries);
  pack_rows(t.d_out + row * t.d_out_stride + h.head * t.head_dim, t.d_out_stride, n, t.head_dim,
            1.0f, s.d_out);
  const KeyRange keys = visible_keys(t, h, query, n);
  for (int64_t i = 0; i < n; i += kLanes) {
    backward_strip(t, h, query + i, n - i < kLanes ? n - i : kLanes, keys, i, width, s);
  }
  if (t.d_query_terms != nullptr) add_term_gradients(t, h, query, n, keys, s.d_scores, width);
  for (int64_t d = 0; d < dim; d += kLanes) {
    Product p{.rows = keys.size(),
              .depth = n,
              .a = s.probabilities,
              .a_row = width,
              .a_k = 1,
              .b = s.d_out + d,
              .b_k = dim,
              .c = s.d_values + keys.begin * dim + d,
              .c_row = dim,
              .from_c = true};
    multiply(p);
    p.a = s.d_scores;
    p.b = s.queries + d;
    p.c = s.d_keys + keys.begin * dim + d;
    multiply(p);
    multiply({.rows = n,
              .depth = keys.size(),
              .a = s.d_scores,
              .a_row = 1,
              .a_k = width,
              .b = s.keys + keys.begin * dim + d,
              .b_k = dim,
              .c = s.d_queries + d,
              .c_row = dim,
              .from_c = false});
  }
  unpack_rows(s.d_queries, n, t.head_dim, t.scale, gradient_rows(t, h, 0) + query * t.d_qkv_stride,
              t.d_qkv_stride);
}

}  // namespace

void attention_forward_queries(const AttentionTensors& t, const AttentionHead& h, int64_t begin,
                               int64_t end, float* scratch) {
  const int64_t dim = attention_padded_dim(t.head_dim);
  Carver carver{scratch};
  const ForwardScratch s{.keys = carver.take(h.length * dim),
                         .values = carver.take(h.length * dim),
                         .queries = carver.take(dim * kLanes),
                         .scores = carver.take(h.length * kLanes),
                         .out = carver.take(kLanes * dim)};
  pack_rows(head_rows(t, h, 1), t.qkv_stride, h.length, t.head_dim, 1.0f, s.keys);
  pack_rows(head_rows(t, h, 2), t.qkv_stride, h.length, t.head_dim, 1.0f, s.values);
  for (int64_t query = begin; query < end; query += kLanes) {
    forward_strip(t, h, query, end - query < kLanes ? end - query : kLanes, s);
  }
}

void attention_backward_head(const AttentionTensors& t, const AttentionHead& kv, float* scratch) {
  const int64_t group = t.n_heads / t.n_kv_heads;
  AttentionHead h = kv;
  h.head = kv.head * group;
  const int64_t dim = attention_padded_dim(t.head_dim);
  Carver carver{scratch};
  const BackwardScratch s{.keys = carver.take(h.length * dim),
                          .values = carver.take(h.length * dim),
                          .d_keys = carver.take(h.length * dim),
                          .d_values = carver.take(h.length * dim),
                          .probabilities = carver.take(h.length * kAttentionBackwardQueries),
                          .d_scores = carver.take(h.length * kAttentionBackwardQueries),
                          .queries = carver.take(kAttentionBackwardQueries * dim),
                          .d_out = carver.take(kAttentionBackwardQueries * dim),
                          .d_queries = carver.take(kAttentionBackwardQueries * dim),
                          .queries_t = carver.take(dim * kLanes),
                          .d_out_t = carver.take(dim * kLanes),
                          .out_t = carver.take(dim * kLanes)};
  pack_rows(head_rows(t, h, 1), t.qkv_stride, h.length, t.head_dim, 1.0f, s.keys);
  pack_rows(head_rows(t, h, 2), t.qkv_stride, h.length, t.head_dim, 1.0f, s.values);
  for (int64_t i = 0; i < h.length * dim; i += kLanes) {
    store(s.d_keys + i, zero());
    store(s.d_values + i, zero());
  }
  for (int64_t i = 0; t.d_query_terms != nullptr && i < h.length; ++i) {
    const int64_t column = h.head * t.n_distance_columns;
    float* of_query = t.d_query_terms + (h.first_row + i) * t.d_query_terms_stride + column;
    float* of_key = t.d_key_terms + (h.first_row + i) * t.d_key_terms_stride + column;
    for (int64_t c = 0; c < t.n_distance_columns; ++c) of_query[c] = of_key[c] = 0.0f;
  }
  for (; h.head < (kv.head + 1) * group; ++h.head) {
    for (int64_t query = 0; query < h.length; query += kAttentionBackwardQueries) {
      const int64_t rest = h.length - query;
      backward_queries(t, h, query,
                       rest < kAttentionBackwardQueries ? rest : kAttentionBackwardQueries, s);
    }
  }
  h.head = kv.head * group;
  unpack_rows(s.d_keys, h.length, t.head_dim, 1.0f, gradient_rows(t, h, 1), t.d_qkv_stride);
  unpack_rows(s.d_values, h.length, t.head_dim, 1.0f, gradient_rows(t, h, 2), t.d_qkv_stride);
}

}  // namespace qe::cpu::QE_ISA
