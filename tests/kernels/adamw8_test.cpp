// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/ops/adamw8.h"

#include "kernels/core/quant_codebook.h"
#include "tests/reference/adamw8.h"
#include "tests/support/op_variants.h"

namespace qe {
namespace {

using test::Doubles;
using test::Matrix;
using test::run_planned;

// Two matrices in one flat buffer: `first` and `second` values, the last block of each is short.
struct Buffers {
  Matrix p, g;
  test::List<Adamw8Block> blocks;
  test::List<uint8_t> m, v;
  test::List<float> m_scale, v_scale;

  Buffers(int64_t first, int64_t second)
      : p(Matrix::random(1, first + second, 1).of_f32()),
        g(Matrix::random(1, first + second, 2).of_f32()) {
    for (const auto& [begin, n] : {std::pair{int64_t{0}, first}, std::pair{first, second}}) {
      for (int64_t at = 0; at < n; at += kAdamw8Block) {
        blocks.push_back({begin + at, std::min(kAdamw8Block, n - at)});
      }
    }
    m = v = test::List<uint8_t>(blocks.size() * kAdamw8Block, 0);
    m_scale = v_scale = test::List<float>(blocks.size(), 0.0f);
  }
  Adamw8Span span(double weight_decay) {
    return {.parameters = p.flat(),
            .gradients = g.flat(),
            .blocks = blocks,
            .exp_avg = m,
            .exp_avg_sq = v,
            .exp_avg_scale = m_scale,
            .exp_avg_sq_scale = v_scale,
            .hyperparameters = {.weight_decay = weight_decay}};
  }
};

// Gradients over six decades of magnitude, some of them 0.
Matrix gradients(int64_t n, uint64_t seed) {
  Matrix g = Matrix::random(1, n, seed).of_f32();
  test::Random random(seed + 1000);
  for (int64_t i = 0; i < n; ++i) {
    const float exponent = 3.0f * (random.symmetric() - 1.0f);
    g.at(0, i) = i % 11 == 0 ? 0.0f : g.at(0, i) * std::pow(10.0f, exponent);
  }
  return g;
}

}  // namespace

DEVICE_TEST_CASE("adamw8 follows its reference over many steps, block by block") {
  Buffers b(700, 300);
  const reference::AdamwSettings settings{static_cast<double>(1e-2f), 0.9, 0.999, 1e-8, 0.1};
  const std::vector<double> signed_map = reference::dynamic_map(true);
  const std::vector<double> unsigned_map = reference::dynamic_map(false);
  for (int step = 0; step < 30; ++step) {
    b.g = gradients(1000, 100 + static_cast<uint64_t>(step));
    std::vector<reference::Adamw8Block64> expected;
    for (size_t block = 0; block < b.blocks.size(); ++block) {
      Doubles p, g, m, v;
      for (int64_t i = 0; i < b.blocks[block].count; ++i) {
        const size_t code = block * kAdamw8Block + static_cast<size_t>(i);
        p.push_back(static_cast<double>(b.p.at(0, b.blocks[block].begin + i)));
        g.push_back(static_cast<double>(b.g.at(0, b.blocks[block].begin + i)) * 0.125);
        m.push_back(signed_map[b.m[code]] * static_cast<double>(b.m_scale[block]));
        v.push_back(unsigned_map[b.v[code]] * static_cast<double>(b.v_scale[block]));
      }
      expected.push_back(reference::adamw8(p, g, m, v, step + 1, settings));
    }
    const StepState state{
        .step = step, .learning_rate = 1e-2f, .loss_scale = 4.0f, .clip_factor = 0.5f};
    run_planned(2, state, [&](Context& ctx) { adamw8_step(ctx, b.span(0.1)); });
    for (size_t block = 0; block < b.blocks.size(); ++block) {
      CAPTURE(step);
      CAPTURE(block);
      Doubles found;
      for (int64_t i = 0; i < b.blocks[block].count; ++i) {
        const size_t code = block * kAdamw8Block + static_cast<size_t>(i);
        found.push_back(static_cast<double>(b.p.at(0, b.blocks[block].begin + i)));
        const auto check = [](int got, const reference::Adamw8Code& want) {
          if (want.margin > 1e-4) CHECK(got == want.code);
          CHECK(std::abs(got - want.code) <= 1);
        };
        check(b.m[code], expected[block].m[i]);
        check(b.v[code], expected[block].v[i]);
      }
      CHECK(test::relative_error(found, expected[block].p) < 1e-6);
      CHECK(b.m_scale[block] == doctest::Approx(expected[block].m_scale).epsilon(1e-6));
      CHECK(b.v_scale[block] == doctest::Approx(expected[block].v_scale).epsilon(1e-6));
    }
  }
  CHECK(b.p.guards_intact());
}

DEVICE_TEST_CASE("adamw8's first step moves by the learning rate") {
  // m / c1 = g and sqrt(v / c2) = |g|: a step of lr in the sign's direction, then decay.
  Buffers b(1, 1);
  b.p.at(0, 0) = b.p.at(0, 1) = 2.0f;
  b.g.at(0, 0) = 1e-3f;
  b.g.at(0, 1) = -1e-3f;
  const StepState state{.step = 0, .learning_rate = 0.25f};
  run_planned(1, state, [&](Context& ctx) { adamw8_step(ctx, b.span(0.4)); });
  CHECK(b.p.at(0, 0) == doctest::Approx((2.0 - 0.25) * 0.9).epsilon(1e-5));
  CHECK(b.p.at(0, 1) == doctest::Approx((2.0 + 0.25) * 0.9).epsilon(1e-5));
  CHECK(b.m[0] == 255);
  CHECK(b.m[kAdamw8Block] == 0);  // the map has no -1
  CHECK(b.v[0] == 255);
  CHECK(b.v[kAdamw8Block] == 255);
}

DEVICE_TEST_CASE("adamw8's learning rate scale multiplies the rate, of the decay too") {
  const auto updated = [](float rate, double scale) {
    Buffers b(300, 20);
    Adamw8Span args = b.span(0.1);
    args.hyperparameters.learning_rate_scale = scale;
    run_planned(1, {.step = 2, .learning_rate = rate},
                [&](Context& ctx) { adamw8_step(ctx, args); });
    return b.p.bits();
  };
  CHECK(updated(1e-2f, 16.0) == updated(16e-2f, 1.0));
  CHECK(updated(1e-2f, 16.0) != updated(1e-2f, 1.0));
}

DEVICE_TEST_CASE(
    "adamw8: a small negative moment keeps its sign, a small positive one may vanish") {
  Buffers b(4, 1);
  const float g[4] = {1.0f, -1e-9f, 1e-9f, 0.0f};
  for (int64_t i = 0; i < 4; ++i) b.g.at(0, i) = g[i];
  run_planned(1, [&](Context& ctx) { adamw8_step(ctx, b.span(0.0)); });
  CHECK(b.m[0] == 255);
  CHECK(b.m[1] == 126);
  CHECK(b.m[2] == 127);
  CHECK(b.m[3] == 127);
  CHECK(b.v[1] == 0);
}

DEVICE_TEST_CASE("adamw8: blocks without a gradient stay at rest, and wake up") {
  Buffers b(256, 10);
  for (int64_t i = 0; i < 266; ++i) b.g.at(0, i) = 0.0f;
  const std::vector<uint32_t> before = b.p.bits();
  const StepState state{.learning_rate = 0.1f};
  run_planned(1, state, [&](Context& ctx) { adamw8_step(ctx, b.span(0.0)); });
  CHECK(b.p.bits() == before);
  CHECK(b.m_scale[0] == 0.0f);
  CHECK(b.m[5] == 127);
  b.g.at(0, 5) = 1.0f;
  run_planned(1, state, [&](Context& ctx) { adamw8_step(ctx, b.span(0.0)); });
  CHECK(b.m[5] == 255);
  CHECK(b.m_scale[0] == doctest::Approx(0.1));
  CHECK(b.m_scale[1] == 0.0f);
}

DEVICE_TEST_CASE("adamw8: a gradient that is not finite clears its moments and moves nothing") {
  Buffers b(300, 1);
  run_planned(1, [&](Context& ctx) { adamw8_step(ctx, b.span(0.1)); });
  b.g.at(0, 7) = std::numeric_limits<float>::quiet_NaN();
  b.g.at(0, 290) = std::numeric_limits<float>::infinity();
  const float p7 = b.p.at(0, 7);
  const float p290 = b.p.at(0, 290);
  const float p8 = b.p.at(0, 8);
  const StepState state{.step = 1, .learning_rate = 0.1f};
  run_planned(1, state, [&](Context& ctx) { adamw8_step(ctx, b.span(0.1)); });
  CHECK(b.p.at(0, 7) == p7);
  CHECK(b.p.at(0, 290) == p290);
  CHECK(b.p.at(0, 8) != p8);
  CHECK(b.m[7] == 127);
  CHECK(b.v[7] == 0);
  CHECK(std::isfinite(b.m_scale[0]));
  // And when the whole step is known not to be finite, nothing happens at all.
  const std::vector<uint32_t> before = b.p.bits();
  const std::vector<uint8_t> codes = b.m.host();
  run_planned(1, StepState{.learning_rate = 0.1f, .finite = 0},
              [&](Context& ctx) { adamw8_step(ctx, b.span(0.1)); });
  CHECK(b.p.bits() == before);
  CHECK(b.m.host() == codes);
}

DEVICE_TEST_CASE("adamw8 gives the same bits everywhere") {
  test::check_same_everywhere([&](int n_threads) {
    Buffers b(50001, 20003);
    for (int step = 0; step < 2; ++step) {
      b.g = gradients(70004, 7 + static_cast<uint64_t>(step));
      const StepState state{.step = step, .learning_rate = 1e-3f};
      run_planned(n_threads, state, [&](Context& ctx) { adamw8_step(ctx, b.span(0.01)); });
    }
    std::vector<uint32_t> bits;
    test::append_bits(bits, b.p);
    for (const float scale : b.m_scale) bits.push_back(std::bit_cast<uint32_t>(scale));
    for (const float scale : b.v_scale) bits.push_back(std::bit_cast<uint32_t>(scale));
    bits.insert(bits.end(), b.m.begin(), b.m.end());
    bits.insert(bits.end(), b.v.begin(), b.v.end());
    return bits;
  });
}

TEST_CASE("the dynamic maps and their thresholds") {
  for (const auto& [map, is_signed] :
       {std::pair{&kSignedDynamicMap, true}, std::pair{&kUnsignedDynamicMap, false}}) {
    const std::vector<double> expected = reference::dynamic_map(is_signed);
    for (int i = 0; i < 256; ++i) {
      CHECK(map->value[i] == doctest::Approx(expected[i]).epsilon(1.5e-7));
    }
    for (int i = 0; i < 255; ++i) {
      CHECK(map->value[i] < map->threshold[i]);
      CHECK(map->threshold[i] < map->value[i + 1]);
      const float middle = (map->value[i] + map->value[i + 1]) * 0.5f;
      CHECK((map->threshold[i] < middle) == (i % 2 == 1));
    }
  }
  CHECK(kSignedDynamicMap.value[127] == 0.0f);
  CHECK(kUnsignedDynamicMap.value[0] == 0.0f);
}

TEST_CASE("adamw8's contract") {
  Buffers b(300, 8);
  const auto error_with = [&](const std::function<void(Adamw8Span&)>& change) {
    Adamw8Span args = b.span(0.0);
    change(args);
    return test::error_of([&] { run_planned(1, [&](Context& ctx) { adamw8_step(ctx, args); }); });
  };
  CHECK(error_with([](Adamw8Span&) {}) == "");
  CHECK(error_with([](Adamw8Span& a) { a.gradients = a.gradients.first(7); }) ==
        "adamw8_step: expected 308 gradients, got 7");
  CHECK(error_with([](Adamw8Span& a) { a.exp_avg = a.exp_avg.first(256); }) ==
        "adamw8_step: expected 768 codes of each moment, got 256 and 768");
  CHECK(error_with([](Adamw8Span& a) { a.exp_avg_sq_scale = a.exp_avg_sq_scale.first(1); }) ==
        "adamw8_step: expected 3 scales of each moment, got 3 and 1");
  CHECK(error_with([](Adamw8Span& a) { a.hyperparameters.epsilon = -1; }) ==
        "adamw8_step: expected epsilon >= 0, got -1");
  b.blocks[2].count = 9;
  CHECK(error_with([](Adamw8Span&) {}) ==
        "adamw8_step: a block of 9 values at 300, expected 1 to 256 of the 308 parameters");
}

}  // namespace qe
