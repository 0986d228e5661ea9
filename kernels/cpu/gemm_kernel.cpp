// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// The matrix product's numeric code, compiled once per instruction set (simd.h has the rules).
//
// b is packed into panels of 16 columns (gemm_pack.h) and a into tiles of a few rows, one block of
// kGemmDepth k's at a time; the micro-kernel keeps rows x panels accumulators in registers and runs
// over the block's k's. Between blocks the chain rests in c: storing and loading fp32 changes
// nothing. After K. Goto and R. van de Geijn, "Anatomy of high-performance matrix multiplication",
// 2008. Products of few rows go another way (gemm_few_rows.h).

#include "kernels/cpu/gemm_kernel.h"

#include "kernels/cpu/gemm_few_rows.h"
#include "kernels/cpu/gemm_pack.h"
#include "kernels/cpu/simd.h"

namespace qe::cpu::QE_ISA {
namespace {

// Rows of a full tile, and how many panels a tile of 1, 2, 3 or more rows covers: enough
// independent chains to hide the latency of an FMA, no more than the registers hold.
#if defined(QE_ISA_IS_avx512)
constexpr int kTileRows = 12;
constexpr int kPanelsOf[4] = {8, 6, 4, 2};
#elif defined(QE_ISA_IS_avx2) || defined(QE_ISA_IS_neon)
constexpr int kTileRows = 6;
constexpr int kPanelsOf[4] = {4, 3, 2, 1};
#else
constexpr int kTileRows = 2;
constexpr int kPanelsOf[4] = {1, 1, 1, 1};
#endif
static_assert(kGemmRows % kTileRows == 0);
constexpr int panels_of(int rows) { return kPanelsOf[rows < 4 ? rows - 1 : 3]; }

struct Tile {
  int64_t depth;
  const float* a;
  int64_t a_row_stride;  // direct tiles only; packed ones are [k][row]
  const float* b;
  int64_t panel_stride;
  float* c;
  int64_t c_stride;
  const float* bias;  // null: none
  bool from_c;
  int64_t columns;      // of the one panel of an edge tile: 1 .. 15
  const float* next_c;  // as many rows, soon needed
};

// kDirect: rows of a are read where they are, a_row_stride apart; else a is packed.
// kEdge: c has only t.columns columns here.
template <int kRows, int kPanels, bool kDirect, bool kEdge>
void tile(const Tile& t) {
  // Copies, as the stores to c might alias t.
  float* const c = t.c;
  const int64_t c_stride = t.c_stride;
  const float* const bias = t.bias;
  const int64_t columns = t.columns;
  const auto read = [=](const float* p) { return kEdge ? load_first(p, columns) : load(p); };
  Vec sum[kRows][kPanels];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 8
    for (int p = 0; p < kPanels; ++p) {
      __builtin_prefetch(t.next_c + i * c_stride + p * kGemmPanel, 1);
      sum[i][p] = t.from_c ? read(c + i * c_stride + p * kGemmPanel) : zero();
    }
  }
  const float* a = t.a;
  const float* b = t.b;
  for (int64_t k = 0; k < t.depth; ++k) {
    Vec column[kPanels];
#pragma GCC unroll 8
    for (int p = 0; p < kPanels; ++p) column[p] = load(b + p * t.panel_stride);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const Vec row = set(kDirect ? a[i * t.a_row_stride] : a[i]);
#pragma GCC unroll 8
      for (int p = 0; p < kPanels; ++p) sum[i][p] = fma(row, column[p], sum[i][p]);
    }
    a += kDirect ? 1 : kRows;
    b += kGemmPanel;
  }
  if (bias != nullptr) {
#pragma GCC unroll 8
    for (int p = 0; p < kPanels; ++p) {
      const Vec last = read(bias + p * kGemmPanel);
#pragma GCC unroll 16
      for (int i = 0; i < kRows; ++i) sum[i][p] = sum[i][p] + last;
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 8
    for (int p = 0; p < kPanels; ++p) {
      float* to = c + i * c_stride + p * kGemmPanel;
      if (kEdge) {
        store_first(to, sum[i][p], columns);
      } else {
        store(to, sum[i][p]);
      }
    }
  }
}

using TileFunction = void (*)(const Tile&);

// Tiles of 1 .. kTileRows rows: over panels_of(rows) panels, over one, over a part of one.
struct TileTable {
  TileFunction wide[kTileRows + 1];
  TileFunction narrow[kTileRows + 1];
  TileFunction edge[kTileRows + 1];
};

template <bool kDirect, int kRows>
constexpr void fill_tiles(TileTable& table) {
  table.wide[kRows] = &tile<kRows, panels_of(kRows), kDirect, false>;
  table.narrow[kRows] = &tile<kRows, 1, kDirect, false>;
  table.edge[kRows] = &tile<kRows, 1, kDirect, true>;
  if constexpr (kRows > 1) fill_tiles<kDirect, kRows - 1>(table);
}
template <bool kDirect>
constexpr TileTable make_tiles() {
  TileTable table{};
  fill_tiles<kDirect, kTileRows>(table);
  return table;
}
constexpr TileTable kPackedTiles = make_tiles<false>();
constexpr TileTable kDirectTiles = make_tiles<true>();

// One tile of rows by `columns` columns, panels_of(rows) panels at a time as long as they are full.
void run_tile(const TileTable& tiles, Tile t, int rows, int64_t columns) {
  const auto advance = [&](int64_t panels) {
    columns -= panels * kGemmPanel;
    t.b += panels * t.panel_stride;
    t.c += panels * kGemmPanel;
    if (t.bias != nullptr) t.bias += panels * kGemmPanel;
  };
  const int wide = panels_of(rows);
  for (; columns >= wide * kGemmPanel; advance(wide)) tiles.wide[rows](t);
  for (; columns >= kGemmPanel; advance(1)) tiles.narrow[rows](t);
  t.columns = columns;
  if (columns > 0) tiles.edge[rows](t);
}

// Rows [row, row + rows) of op(a), k's [k, k + depth), as tiles of kTileRows rows, each [k][row].
// The last tile may have fewer rows. May write 16 floats beyond the end.
void pack_a_rows(const GemmProblem& g, int64_t row, int64_t rows, int64_t k, int64_t depth,
                 float* out) {
  for (int64_t i = 0; i < rows; i += kTileRows, out += kTileRows * depth) {
    const float* from = g.a + (row + i) * g.a_stride + k;
    const int64_t height = at_most(rows - i, kTileRows);
    int64_t done = 0;
    if (height == kTileRows) {
      const float* next = rows - i >= 2 * kTileRows ? from + kTileRows * g.a_stride : from;
      for (; depth - done >= kLanes; done += kLanes) {
#pragma GCC unroll 16
        for (int j = 0; j < kTileRows; ++j) __builtin_prefetch(next + j * g.a_stride + done);
        interleave<kTileRows>(from + done, g.a_stride, out + done * kTileRows);
      }
    }
    for (int64_t j = 0; j < height; ++j) {
      for (int64_t d = done; d < depth; ++d) out[d * height + j] = from[j * g.a_stride + d];
    }
  }
}

// The same when a is stored (K, M); a few k's at a time to keep reads and writes together.
void pack_a_transposed(const GemmProblem& g, int64_t row, int64_t rows, int64_t k, int64_t depth,
                       float* out) {
  constexpr int64_t kChunk = 16;
  for (int64_t begin = 0; begin < depth; begin += kChunk) {
    const int64_t end = at_most(begin + kChunk, depth);
    for (int64_t i = 0; i < rows; i += kTileRows) {
      const int64_t height = at_most(rows - i, kTileRows);
      float* to = out + i * depth + begin * height;
      const float* from = g.a + (k + begin) * g.a_stride + row + i;
      for (int64_t d = begin; d < end; ++d, from += g.a_stride, to += height) {
        if (height == kTileRows) {
          __builtin_memcpy(to, from, sizeof(float) * kTileRows);
        } else {
          for (int64_t j = 0; j < height; ++j) to[j] = from[j];
        }
      }
    }
  }
}

// K == 0: the empty chain.
void fill_block(const GemmProblem& g, int64_t row_begin, int64_t row_end, int64_t col_begin,
                int64_t col_end) {
  if (g.accumulate) return;
  for (int64_t i = row_begin; i < row_end; ++i) {
    for (int64_t j = col_begin; j < col_end; ++j) {
      g.c[i * g.c_stride + j] = g.bias != nullptr ? 0.0f + g.bias[j] : 0.0f;
    }
  }
}

struct Block {
  const GemmProblem& g;
  int64_t row_begin;
  int64_t rows;
  int64_t col_begin;
  int64_t columns;
  int64_t k_begin;
  int64_t depth;
  const float* a;  // packed, or null: rows are read where they are
  const float* b;  // packed
};

// Adds the block's k's to its rows by its columns.
void run_block(const Block& block) {
  const GemmProblem& g = block.g;
  const bool direct = block.a == nullptr;
  const bool last = block.k_begin + block.depth == g.k;
  Tile t{.depth = block.depth,
         .a = nullptr,
         .a_row_stride = g.a_stride,
         .b = nullptr,
         .panel_stride = panel_stride(block.depth),
         .c = nullptr,
         .c_stride = g.c_stride,
         .bias = nullptr,
         .from_c = g.accumulate || block.k_begin > 0,
         .columns = 0,
         .next_c = nullptr};
  const TileTable& tiles = direct ? kDirectTiles : kPackedTiles;
  // A few panels of b stay in L1 while all tiles of a pass by; one tile alone takes all panels.
  const int64_t step = block.rows > kTileRows ? panels_of(kTileRows) * kGemmPanel : block.columns;
  for (int64_t j = 0; j < block.columns; j += step) {
    const int64_t columns = at_most(block.columns - j, step);
    for (int64_t i = 0; i < block.rows; i += kTileRows) {
      const int tile_rows = static_cast<int>(at_most(block.rows - i, kTileRows));
      t.a = direct ? g.a + (block.row_begin + i) * g.a_stride + block.k_begin
                   : block.a + i * block.depth;
      t.b = block.b + j / kGemmPanel * t.panel_stride;
      t.c = g.c + (block.row_begin + i) * g.c_stride + block.col_begin + j;
      t.bias = last && g.bias != nullptr ? g.bias + block.col_begin + j : nullptr;
      t.next_c = block.rows - i >= 2 * kTileRows ? t.c + kTileRows * t.c_stride : t.c;
      run_tile(tiles, t, tile_rows, columns);
    }
  }
}

}  // namespace

void gemm_block(const GemmProblem& g, int64_t row_begin, int64_t row_end, int64_t col_begin,
                int64_t col_end, float* scratch) {
  if (g.k == 0) return fill_block(g, row_begin, row_end, col_begin, col_end);
  if (takes_few_rows(g, row_end - row_begin)) {
    const int64_t whole = (col_end - col_begin) / kGemmPanel * kGemmPanel;
    few_rows(g, row_begin, row_end, col_begin, col_begin + whole, scratch);
    col_begin += whole;
  }
  if (col_begin == col_end) return;
  // Packing a pays when many columns reuse it.
  constexpr int64_t kDirectColumns = 64;
  const bool direct = !g.a_transposed && col_end - col_begin <= kDirectColumns;
  const auto pack_a = g.a_transposed ? &pack_a_transposed : &pack_a_rows;
  const int64_t wide = at_most(col_end - col_begin, kGemmColumns);
  float* packed_b = scratch;
  float* packed_a =
      scratch + (wide + kGemmPanel - 1) / kGemmPanel * panel_stride(at_most(g.k, kGemmDepth));
  for (int64_t i = row_begin; i < row_end; i += kGemmRows) {
    for (int64_t k = 0; k < g.k; k += kGemmDepth) {
      const int64_t rows = at_most(row_end - i, kGemmRows);
      const int64_t depth = at_most(g.k - k, kGemmDepth);
      if (!direct) pack_a(g, i, rows, k, depth, packed_a);
      for (int64_t j = col_begin; j < col_end; j += kGemmColumns) {
        const int64_t columns = at_most(col_end - j, kGemmColumns);
        pack_b(g, PackRange{k, depth, j, columns}, packed_b);
        run_block({.g = g,
                   .row_begin = i,
                   .rows = rows,
                   .col_begin = j,
                   .columns = columns,
                   .k_begin = k,
                   .depth = depth,
                   .a = direct ? nullptr : packed_a,
                   .b = packed_b});
      }
    }
  }
}

}  // namespace qe::cpu::QE_ISA
