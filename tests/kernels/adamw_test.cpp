// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/ops/adamw.h"

#include "tests/reference/adamw.h"
#include "tests/support/op_variants.h"

namespace qe {
namespace {

using test::Doubles;
using test::Matrix;
using test::run_planned;

// The flat buffers of one span, as one-row matrices.
struct Buffers {
  Matrix p, g, m, v;
  explicit Buffers(int64_t n)
      : p(Matrix::random(1, n, 1).of_f32()),
        g(Matrix::random(1, n, 2).of_f32()),
        m(Matrix(1, n).of_f32()),
        v(Matrix(1, n).of_f32()) {
    for (int64_t i = 0; i < n; ++i) m.at(0, i) = v.at(0, i) = 0.0f;
  }
  AdamwSpan span(AdamwRule rule, double weight_decay) {
    return {.parameters = p.flat(),
            .gradients = g.flat(),
            .exp_avg = m.flat(),
            .exp_avg_sq = v.flat(),
            .hyperparameters = {.rule = rule, .weight_decay = weight_decay}};
  }
};

DEVICE_TEST_CASE("adamw follows both rules over many steps") {
  for (const AdamwRule rule : {AdamwRule::kTorch, AdamwRule::kBitsandbytes}) {
    const int64_t n = 101;
    Buffers b(n);
    std::vector<reference::AdamwState> expected;
    for (int64_t i = 0; i < n; ++i)
      expected.push_back({static_cast<double>(b.p.at(0, i)), 0.0, 0.0});
    const reference::AdamwSettings settings{static_cast<double>(1e-2f), 0.9, 0.999, 1e-8, 0.1};
    for (int step = 0; step < 50; ++step) {
      b.g = Matrix::random(1, n, 100 + static_cast<uint64_t>(step)).of_f32();
      const StepState state{
          .step = step, .learning_rate = 1e-2f, .loss_scale = 4.0f, .clip_factor = 0.5f};
      run_planned(2, state, [&](Context& ctx) { adamw_step(ctx, b.span(rule, 0.1)); });
      for (int64_t i = 0; i < n; ++i) {
        reference::AdamwState& s = expected[static_cast<size_t>(i)];
        const double g = static_cast<double>(b.g.at(0, i)) * 0.125;
        s = rule == AdamwRule::kTorch ? reference::adamw_torch(s, g, step + 1, settings)
                                      : reference::adamw_bitsandbytes(s, g, step + 1, settings);
      }
    }
    Doubles p, m, v;
    for (const reference::AdamwState& s : expected) {
      p.push_back(s.p);
      m.push_back(s.m);
      v.push_back(s.v);
    }
    CHECK(test::relative_error(b.p, p) < 1e-6);
    CHECK(test::relative_error(b.m, m) < 1e-6);
    CHECK(test::relative_error(b.v, v) < 1e-6);
    CHECK(b.g.guards_intact());
  }
}

DEVICE_TEST_CASE("adamw's first step moves by the learning rate") {
  // m / c1 = g and sqrt(v / c2) = |g|: a step of lr in the sign's direction, then decay.
  Buffers b(1);
  b.p.at(0, 0) = 2.0f;
  b.g.at(0, 0) = 1e-3f;
  const StepState state{.step = 0, .learning_rate = 0.25f};
  run_planned(1, state,
              [&](Context& ctx) { adamw_step(ctx, b.span(AdamwRule::kBitsandbytes, 0.4)); });
  CHECK(b.p.at(0, 0) == doctest::Approx((2.0 - 0.25) * 0.9).epsilon(1e-5));
  Buffers t(1);
  t.p.at(0, 0) = 2.0f;
  t.g.at(0, 0) = 1e-3f;
  run_planned(1, state, [&](Context& ctx) { adamw_step(ctx, t.span(AdamwRule::kTorch, 0.4)); });
  CHECK(t.p.at(0, 0) == doctest::Approx(2.0 * 0.9 - 0.25).epsilon(1e-5));
}

DEVICE_TEST_CASE("adamw's torch rule gives torch's numbers") {
  // torch 2: p = Parameter(tensor([0.5, -1.25, 3.0, 1e-3])); o = AdamW([p], lr=1e-2,
  // betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1); three steps with
  // p.grad = tensor([0.1, -2.0, 1e-4, 0.03]) * (step + 1); then p, exp_avg, exp_avg_sq.
  const double golden[3][4] = {
      {0.4692993462085724, -1.21705162525177, 2.961808919906616, -0.028205182403326035},
      {0.05609999969601631, -1.121999979019165, 5.609999789157882e-05, 0.016829999163746834},
      {0.0001399400207446888, 0.05597600340843201, 1.3994000402917095e-10, 1.259460077562835e-05}};
  const float start[4] = {0.5f, -1.25f, 3.0f, 1e-3f};
  const float slope[4] = {0.1f, -2.0f, 1e-4f, 0.03f};
  Buffers b(4);
  for (int64_t i = 0; i < 4; ++i) b.p.at(0, i) = start[i];
  for (int step = 0; step < 3; ++step) {
    for (int64_t i = 0; i < 4; ++i) b.g.at(0, i) = slope[i] * static_cast<float>(step + 1);
    const StepState state{.step = step, .learning_rate = 1e-2f};
    run_planned(1, state, [&](Context& ctx) { adamw_step(ctx, b.span(AdamwRule::kTorch, 0.1)); });
  }
  for (int64_t i = 0; i < 4; ++i) {
    CHECK(b.p.at(0, i) == doctest::Approx(golden[0][i]).epsilon(1e-6));
    CHECK(b.m.at(0, i) == doctest::Approx(golden[1][i]).epsilon(1e-6));
    CHECK(b.v.at(0, i) == doctest::Approx(golden[2][i]).epsilon(1e-6));
  }
}

DEVICE_TEST_CASE("adamw does nothing after a gradient that is not finite") {
  Buffers b(40);
  const std::vector<uint32_t> before = b.p.bits();
  const StepState state{.learning_rate = 0.1f, .finite = 0};
  run_planned(1, state, [&](Context& ctx) { adamw_step(ctx, b.span(AdamwRule::kTorch, 0.1)); });
  CHECK(b.p.bits() == before);
  for (const double m : test::doubles(b.m)) CHECK(m == 0.0);
}

DEVICE_TEST_CASE("adamw with a learning rate of 0 moves the averages only") {
  Buffers b(40);
  const std::vector<uint32_t> before = b.p.bits();
  run_planned(1, [&](Context& ctx) { adamw_step(ctx, b.span(AdamwRule::kTorch, 0.1)); });
  CHECK(b.p.bits() == before);
  CHECK(b.m.at(0, 0) != 0.0f);
}

DEVICE_TEST_CASE("adamw's learning rate scale multiplies the rate, of the decay too") {
  for (const AdamwRule rule : {AdamwRule::kTorch, AdamwRule::kBitsandbytes}) {
    const auto updated = [&](float rate, double scale) {
      Buffers b(40);
      AdamwSpan args = b.span(rule, 0.1);
      args.hyperparameters.learning_rate_scale = scale;
      const StepState state{.step = 2, .learning_rate = rate};
      run_planned(1, state, [&](Context& ctx) { adamw_step(ctx, args); });
      return b.p.bits();
    };
    CHECK(updated(1e-2f, 16.0) == updated(16e-2f, 1.0));  // a power of two: not rounded
    CHECK(updated(1e-2f, 16.0) != updated(1e-2f, 1.0));
    CHECK(updated(1e-2f, 0.0) == updated(0.0f, 1.0));
  }
}

DEVICE_TEST_CASE("adamw gives the same bits everywhere") {
  for (const AdamwRule rule : {AdamwRule::kTorch, AdamwRule::kBitsandbytes}) {
    test::check_same_everywhere([&](int n_threads) {
      Buffers b(70001);
      const StepState state{.step = 6, .learning_rate = 1e-3f};
      run_planned(n_threads, state, [&](Context& ctx) { adamw_step(ctx, b.span(rule, 0.01)); });
      std::vector<uint32_t> bits;
      for (const Matrix* m : {&b.p, &b.m, &b.v}) test::append_bits(bits, *m);
      return bits;
    });
  }
}

TEST_CASE("adamw's contract") {
  Buffers b(8);
  AdamwSpan args = b.span(AdamwRule::kTorch, 0.0);
  args.exp_avg = args.exp_avg.first(7);
  CHECK(test::error_of([&] { run_planned(1, [&](Context& ctx) { adamw_step(ctx, args); }); }) ==
        "adamw_step: expected 8 gradients and moments, got 8, 7 and 8");
  args = b.span(AdamwRule::kTorch, 0.0);
  args.hyperparameters.beta2 = 1.0;
  CHECK(test::error_of([&] { run_planned(1, [&](Context& ctx) { adamw_step(ctx, args); }); }) ==
        "adamw_step: expected betas in [0, 1), got 0.9 and 1");
  args = b.span(AdamwRule::kTorch, 0.0);
  for (const double scale : {-1.0, std::numeric_limits<double>::infinity(), std::nan("")}) {
    args.hyperparameters.learning_rate_scale = scale;
    CHECK(test::error_of([&] {
            run_planned(1, [&](Context& ctx) { adamw_step(ctx, args); });
          }).find("adamw_step: expected a finite learning rate scale >= 0, got ") == 0);
  }
}

}  // namespace
}  // namespace qe
