// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/autograd/tape.h"

#include <doctest/doctest.h>

#include <vector>

namespace qe {
namespace {

// y = factor * x, elementwise: the smallest differentiable op.
Var scale(Tape& tape, Var x, float factor) {
  const Tensor in = tape.value(x);
  const Var y = tape.make(in.rows, tape.row_capacity(x), in.cols, tape.needs_gradient(x));
  for (int64_t i = 0; i < in.size(); ++i) tape.value(y).f32()[i] = factor * in.f32()[i];
  tape.save(x);
  tape.record(y, [x, y, factor](Tape& t) {
    const GradientTarget dx = t.target(x);
    const Tensor& dy = t.gradient(y);
    for (int64_t i = 0; i < dy.size(); ++i) {
      const float d = factor * dy.f32()[i];
      dx.tensor.f32()[i] = dx.mode == GradientMode::kAccumulate ? dx.tensor.f32()[i] + d : d;
    }
  });
  return y;
}

// z = x + y.
Var add(Tape& tape, Var x, Var y) {
  const Tensor a = tape.value(x);
  const bool needs = tape.needs_gradient(x) || tape.needs_gradient(y);
  const Var z = tape.make(a.rows, tape.row_capacity(x), a.cols, needs);
  for (int64_t i = 0; i < a.size(); ++i) {
    tape.value(z).f32()[i] = a.f32()[i] + tape.value(y).f32()[i];
  }
  tape.record(z, [x, y, z](Tape& t) {
    for (const Var v : {x, y}) {
      const GradientTarget d = t.target(v);
      if (!d.tensor) continue;
      for (int64_t i = 0; i < d.tensor.size(); ++i) {
        const float g = t.gradient(z).f32()[i];
        d.tensor.f32()[i] = d.mode == GradientMode::kAccumulate ? d.tensor.f32()[i] + g : g;
      }
    }
  });
  return z;
}

struct Fixture {
  std::vector<std::byte> slab = std::vector<std::byte>(1 << 16);
  Arena arena;
  Context ctx;
  Fixture() {
    const auto address = reinterpret_cast<uintptr_t>(slab.data());
    const size_t skip = (64 - address % 64) % 64;
    arena = Arena(slab.data() + skip, slab.size() - 64);
    ctx.arena = &arena;
  }
};

}  // namespace

TEST_CASE("tape: gradients of a value used twice add up, and everything is given back") {
  Fixture f;
  Tape tape(f.ctx, true);
  float x_data[3] = {1, 2, 3};
  float dx_data[3] = {-1, -1, -1};
  for (int pass = 0; pass < 2; ++pass) {
    const Var x = tape.wrap(make_tensor(x_data, 1, 3), 1,
                            {make_tensor(dx_data, 1, 3), GradientMode::kOverwrite});
    const Var a = scale(tape, x, 2.0f);
    const Var b = scale(tape, x, 5.0f);
    const Var z = add(tape, a, b);
    CHECK(tape.value(z).f32()[2] == 21.0f);
    const GradientTarget dz = tape.target(z);
    CHECK(dz.mode == GradientMode::kOverwrite);
    for (int i = 0; i < 3; ++i) dz.tensor.f32()[i] = static_cast<float>(i + 1);
    tape.backward();
    CHECK(dx_data[0] == 7.0f);
    CHECK(dx_data[1] == 14.0f);
    CHECK(dx_data[2] == 21.0f);
    CHECK(f.arena.in_use() == 0);
  }
}

TEST_CASE("tape: nothing is recorded below the lowest value that needs a gradient") {
  Fixture f;
  Tape tape(f.ctx, true);
  float x_data[1] = {3};
  const Var x = tape.wrap(make_tensor(x_data, 1, 1), 1);
  const Var frozen = scale(tape, x, 2.0f);
  CHECK_FALSE(tape.needs_gradient(frozen));
  CHECK_FALSE(tape.target(frozen).tensor);
  tape.clear();
  CHECK(f.arena.in_use() == 0);
}

TEST_CASE("tape: a value at hand stays what it is while more are made") {
  Fixture f;
  Tape tape(f.ctx, true);
  const Var first = tape.make(2, 2, 3, true);
  const Tensor& at_hand = tape.value(first);  // as a function's argument would hold it
  const Tensor copy = at_hand;
  for (int i = 0; i < 300; ++i) tape.make(1, 1, 1, false);
  CHECK(at_hand.data == copy.data);
  CHECK(at_hand.rows == 2);
  CHECK(at_hand.stride == 3);
  tape.clear();
}

TEST_CASE("tape: dropped values are freed at once unless saved") {
  Fixture f;
  float x_data[1] = {3};
  float dx_data[1];
  Tape inference(f.ctx, false);
  const Var x = inference.wrap(make_tensor(x_data, 1, 1), 1);
  const Var a = inference.make(1, 1, 1, true);
  CHECK_FALSE(inference.needs_gradient(a));
  CHECK(f.arena.in_use() == 64);
  inference.drop(a);
  CHECK(f.arena.in_use() == 0);
  inference.drop(x);  // not the tape's memory
  inference.clear();

  Tape training(f.ctx, true);
  const Var y = training.wrap(make_tensor(x_data, 1, 1), 1,
                              {make_tensor(dx_data, 1, 1), GradientMode::kOverwrite});
  const Var b = scale(training, y, 2.0f);
  const Var c = scale(training, b, 3.0f);  // saves b
  training.drop(b);
  CHECK(f.arena.in_use() == 128);
  *training.target(c).tensor.f32() = 1.0f;
  training.backward();
  CHECK(dx_data[0] == 6.0f);
  CHECK(f.arena.in_use() == 0);
}

TEST_CASE("tape: a batch beyond the planned capacity is an error") {
  Fixture f;
  Tape tape(f.ctx, false);
  CHECK_THROWS_WITH_AS(tape.make(5, 4, 1, false), doctest::Contains("planned capacity of 4"),
                       Error);
}

TEST_CASE("tape: allocations depend on capacities, not on live rows") {
  Fixture f;
  Tape tape(f.ctx, false);
  void* full = tape.value(tape.make(8, 8, 16, false)).data;
  void* next_full = tape.value(tape.make(8, 8, 16, false)).data;
  tape.clear();
  CHECK(tape.value(tape.make(1, 8, 16, false)).data == full);
  CHECK(tape.value(tape.make(3, 8, 16, false)).data == next_full);
}

}  // namespace qe
