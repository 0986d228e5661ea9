// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/ops/reduce.h"

#include <bit>
#include <limits>

#include "tests/support/op_variants.h"

namespace qe {
namespace {

using test::Matrix;
using test::run_planned;

StepState norm_of(int n_threads, const std::vector<float>& gradients, float max_norm,
                  float loss_scale = 1.0f) {
  const test::List<float> list(gradients);
  return run_planned(n_threads, StepState{.loss_scale = loss_scale},
                     [&](Context& ctx) { gradient_norm(ctx, list, max_norm); });
}

std::vector<float> random_gradients(size_t n) {
  test::Random random(n);
  std::vector<float> out;
  for (size_t i = 0; i < n; ++i) out.push_back(random.symmetric());
  return out;
}

DEVICE_TEST_CASE("gradient_norm is the L2 norm, with torch's clip factor") {
  for (const size_t n : {size_t{1}, size_t{15}, size_t{4096}, size_t{4097}, size_t{100003}}) {
    std::vector<float> g = random_gradients(n);
    double sum = 0.0;
    for (const float x : g) sum += static_cast<double>(x) * static_cast<double>(x);
    const double norm = std::sqrt(sum) / 16.0;
    const StepState step = norm_of(2, g, 0.3f, 16.0f);
    CHECK(step.gradient_norm == doctest::Approx(norm).epsilon(1e-7));
    CHECK(step.clip_factor ==
          doctest::Approx(std::min(1.0, static_cast<double>(0.3f) / (norm + 1e-6))).epsilon(1e-6));
    CHECK(step.finite == 1);
    CHECK(norm_of(1, g, 1e6f).clip_factor == 1.0f);
    CHECK(norm_of(1, g, 0.0f).clip_factor == 1.0f);
  }
  std::vector<float> none;
  CHECK(norm_of(2, none, 1.0f).gradient_norm == 0.0f);
  CHECK(norm_of(2, none, 1.0f).clip_factor == 1.0f);
}

DEVICE_TEST_CASE("gradient_norm neither overflows nor hides what is not finite") {
  std::vector<float> large(5000, 1e30f);
  CHECK(norm_of(1, large, 1.0f).gradient_norm == doctest::Approx(1e30 * std::sqrt(5000.0)));
  CHECK(norm_of(1, large, 1.0f).finite == 1);
  for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
    std::vector<float> g = random_gradients(5000);
    g[4321] = bad;
    CHECK(norm_of(2, g, 1.0f).finite == 0);
  }
}

DEVICE_TEST_CASE("require_finite_losses finds any loss that is not finite") {
  const auto finite = [](const std::vector<double>& losses, int32_t before) {
    std::vector<MlmTotals> totals;
    for (const double loss : losses) totals.push_back({.loss = loss, .n_labels = 1});
    const test::List<MlmTotals> list(totals);
    return run_planned(2, StepState{.finite = before},
                       [&](Context& ctx) { require_finite_losses(ctx, list); })
        .finite;
  };
  std::vector<double> losses(600, 2.5);
  CHECK(finite(losses, 1) == 1);
  CHECK(finite(losses, 0) == 0);
  CHECK(finite({1e300}, 1) == 1);
  for (const size_t at : {size_t{0}, size_t{255}, size_t{599}}) {
    for (const double bad : {std::nan(""), std::numeric_limits<double>::infinity(),
                             -std::numeric_limits<double>::infinity()}) {
      std::vector<double> with_bad = losses;
      with_bad[at] = bad;
      CHECK(finite(with_bad, 1) == 0);
    }
  }
}

DEVICE_TEST_CASE("gradient_norm gives the same bits everywhere") {
  std::vector<float> g = random_gradients(50021);
  test::check_same_everywhere([&](int n_threads) {
    const StepState step = norm_of(n_threads, g, 1.0f);
    return std::vector<uint32_t>{std::bit_cast<uint32_t>(step.gradient_norm),
                                 std::bit_cast<uint32_t>(step.clip_factor)};
  });
}

DEVICE_TEST_CASE("the loss scale doubles after finite updates and halves after others") {
  const auto after = [](StepState step) {
    return run_planned(1, step, [](Context& ctx) { update_loss_scale(ctx, 3); });
  };
  StepState step{.loss_scale = 64.0f};
  for (int i = 1; i <= 2; ++i) {
    step = after(step);
    CHECK(step.loss_scale == 64.0f);
    CHECK(step.finite_updates == i);
  }
  step = after(step);
  CHECK(step.loss_scale == 128.0f);
  CHECK(step.finite_updates == 0);
  step.finite_updates = 2;
  step.finite = 0;
  step = after(step);
  CHECK(step.loss_scale == 64.0f);
  CHECK(step.finite_updates == 0);
  CHECK(after({.loss_scale = 1.0f, .finite = 0}).loss_scale == 1.0f);
  CHECK(after({.loss_scale = 0x1p24f, .finite_updates = 2}).loss_scale == 0x1p24f);
}

}  // namespace
}  // namespace qe
