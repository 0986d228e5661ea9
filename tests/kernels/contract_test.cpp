// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/ops/contract.h"

#include <doctest/doctest.h>

#include <vector>

namespace qe {
namespace {

TEST_CASE("overlap sees shared elements, not interleaved columns") {
  std::vector<float> buffer(200);
  const Tensor whole = make_tensor(buffer.data(), 10, 12);
  const Tensor left = whole.col_range(0, 4);
  const Tensor middle = whole.col_range(4, 4);
  const Tensor wide = whole.col_range(3, 4);
  CHECK_FALSE(contract::overlap(left, middle));
  CHECK_FALSE(contract::overlap(middle, left));
  CHECK(contract::overlap(left, wide));
  CHECK(contract::overlap(wide, left));
  CHECK(contract::overlap(whole, middle));
  CHECK_FALSE(contract::overlap(whole.row_range(0, 5), whole.row_range(5, 5)));
  CHECK(contract::overlap(whole.row_range(0, 6), whole.row_range(5, 5)));
  CHECK_FALSE(contract::overlap(Tensor{}, whole));
  CHECK_FALSE(contract::overlap(whole.row_range(0, 0), whole));
}

TEST_CASE("in place means the same elements in the same layout") {
  std::vector<float> buffer(200);
  const Tensor a = make_tensor(buffer.data(), 10, 12);
  CHECK_NOTHROW(contract::check_in_place("op", "a", a, "b", a));
  CHECK_THROWS_WITH_AS(
      contract::check_in_place("op", "a", a, "b", make_tensor(buffer.data() + 1, 10, 12)),
      "op: a and b overlap without being the same memory", Error);
  CHECK_THROWS_WITH_AS(contract::check_disjoint("op", "a", a, "b", a),
                       "op: a and b must not share memory", Error);
}

TEST_CASE("a matrix that is not there, of another type, or elsewhere") {
  const Context ctx;
  std::vector<float> buffer(12);
  Tensor t = make_tensor(buffer.data(), 3, 4);
  CHECK_NOTHROW(contract::check_matrix(ctx, "op", "x", t, 3, 4));
  t.stride = 3;
  CHECK_THROWS_WITH_AS(contract::check_matrix(ctx, "op", "x", t, 3, 4),
                       "op: x has 4 columns but a stride of 3", Error);
  t = make_tensor(nullptr, 3, 4);
  CHECK_THROWS_WITH_AS(contract::check_matrix(ctx, "op", "x", t, 3, 4), "op: x (3 x 4) has no data",
                       Error);
  t = make_tensor(buffer.data(), 3, 4, DType::kI64);
  CHECK_THROWS_WITH_AS(contract::check_matrix(ctx, "op", "x", t, 3, 4),
                       "op: expected x of F32, got I64", Error);
  CHECK_THROWS_WITH_AS(contract::check_weight(ctx, "op", "x", t, 3, 4),
                       "op: expected x of F32, F16 or BF16, got I64", Error);
  t = make_tensor(buffer.data(), 3, 4, DType::kF32, Device{DeviceKind::kCuda, 1});
  CHECK_THROWS_WITH_AS(contract::check_matrix(ctx, "op", "x", t, 3, 4),
                       "op: expected x on cpu, got one on cuda:1", Error);
}

}  // namespace
}  // namespace qe
