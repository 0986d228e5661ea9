// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/ops/activation.h"

#include <algorithm>

#include "tests/reference/activation.h"
#include "tests/support/op_variants.h"

namespace qe {
namespace {

using test::Doubles;
using test::Matrix;
using test::run_planned;

struct Case {
  Activation f;
  reference::ValueAndSlope (*reference)(double);
};
constexpr Case kCases[] = {{Activation::kGelu, reference::gelu},
                           {Activation::kGeluTanh, reference::gelu_tanh},
                           {Activation::kQuickGelu, reference::quick_gelu},
                           {Activation::kSilu, reference::silu},
                           {Activation::kMish, reference::mish},
                           {Activation::kHardSwish, reference::hard_swish},
                           {Activation::kRelu, reference::relu},
                           {Activation::kRelu2, reference::relu2},
                           {Activation::kRelu6, reference::relu6},
                           {Activation::kLeakyRelu, reference::leaky_relu},
                           {Activation::kTanh, reference::tanh},
                           {Activation::kSigmoid, reference::sigmoid},
                           {Activation::kLinear, reference::linear}};

TEST_CASE("the references' slopes are those of their values") {
  constexpr double kStep = 1e-6;
  for (const Case& c : kCases) {
    for (const double x : {-4.0, -1.3, -0.2, 0.3, 0.9, 2.5, 5.0}) {
      const double slope =
          (c.reference(x + kStep).value - c.reference(x - kStep).value) / (2 * kStep);
      CHECK(c.reference(x).slope == doctest::Approx(slope).epsilon(1e-8));
    }
  }
}

DEVICE_TEST_CASE("activations match float64") {
  for (const Case& c : kCases) {
    for (const int64_t cols : {1, 15, 16, 17, 129}) {
      const int64_t rows = 7;
      Matrix x = Matrix::random(rows, cols, 3, cols + 5);
      for (int64_t t = 0; t < rows; ++t) {
        for (int64_t i = 0; i < cols; ++i) x.at(t, i) = test::rounded(6.0f * x.at(t, i));
      }
      Matrix dy = Matrix::random(rows, cols, 4, cols + 2);
      Matrix y(rows, cols, cols + 1);
      Matrix dx(rows, cols);
      run_planned(2, [&](Context& ctx) {
        activation_forward(ctx, c.f, x.view(), y.view());
        activation_backward(ctx, c.f, x.view(), dy.view(), dx.view());
      });
      const int function = static_cast<int>(c.f);
      CAPTURE(function);
      Doubles value, gradient;
      for (int64_t t = 0; t < rows; ++t) {
        for (int64_t i = 0; i < cols; ++i) {
          const reference::ValueAndSlope at = c.reference(static_cast<double>(x.at(t, i)));
          value.push_back(at.value);
          gradient.push_back(at.slope * static_cast<double>(dy.at(t, i)));
        }
      }
      CHECK(test::relative_error(y, value) < test::tolerance(test::Result::kElements, 3e-7));
      CHECK(test::relative_error(dx, gradient) < test::tolerance(test::Result::kElements, 3e-7));
    }
  }
}

DEVICE_TEST_CASE("gated activations match float64, also with the gradient in place") {
  for (const Case& c : kCases) {
    for (const int64_t cols : {1, 15, 16, 40, 129}) {
      const int64_t rows = 7;
      Matrix x = Matrix::random(rows, 2 * cols, 3, 2 * cols + 8);
      Matrix in_place(rows, 2 * cols);
      for (int64_t t = 0; t < rows; ++t) {
        for (int64_t i = 0; i < 2 * cols; ++i) {
          x.at(t, i) = test::rounded(3.0f * x.at(t, i));
          in_place.at(t, i) = x.at(t, i);
        }
      }
      Matrix dy = Matrix::random(rows, cols, 4, cols + 2);
      Matrix y(rows, cols, cols + 1);
      Matrix dx(rows, 2 * cols);
      ThreadPool threads(2);
      Arena arena;
      Context ctx{.threads = &threads, .arena = &arena};
      test::attach_device(ctx);
      gated_activation_forward(ctx, c.f, x.view(), y.view());
      gated_activation_backward(ctx, c.f, x.view(), dy.view(), dx.view());
      gated_activation_backward(ctx, c.f, in_place.view(), dy.view(), in_place.view());
      test::finish_device();
      Doubles value, gradient;
      for (int64_t t = 0; t < rows; ++t) {
        for (int64_t i = 0; i < cols; ++i) {
          const reference::ValueAndSlope at = c.reference(static_cast<double>(x.at(t, i)));
          value.push_back(at.value * static_cast<double>(x.at(t, cols + i)));
        }
        for (int64_t i = 0; i < 2 * cols; ++i) {
          const reference::ValueAndSlope at = c.reference(static_cast<double>(x.at(t, i % cols)));
          const double factor =
              i < cols ? at.slope * static_cast<double>(x.at(t, cols + i)) : at.value;
          gradient.push_back(factor * static_cast<double>(dy.at(t, i % cols)));
        }
      }
      CHECK(y.guards_intact());
      CHECK(test::relative_error(y, value) < test::tolerance(test::Result::kElements, 3e-7));
      CHECK(test::relative_error(dx, gradient) < test::tolerance(test::Result::kElements, 3e-7));
      CHECK(in_place.bits() == dx.bits());
    }
  }
}

DEVICE_TEST_CASE("gated activations give the same bits everywhere") {
  Matrix x = Matrix::random(19, 602, 9);
  Matrix dy = Matrix::random(19, 301, 10);
  test::check_same_everywhere([&](int n_threads) {
    Matrix y(19, 301);
    Matrix dx(19, 602);
    run_planned(n_threads, [&](Context& ctx) {
      gated_activation_forward(ctx, Activation::kSilu, x.view(), y.view());
      gated_activation_backward(ctx, Activation::kSilu, x.view(), dy.view(), dx.view());
    });
    std::vector<uint32_t> bits = y.bits();
    test::append_bits(bits, dx);
    return bits;
  });
}

TEST_CASE("gated activations' contract") {
  Matrix x(3, 8);
  Matrix y(3, 5);
  CHECK(test::error_of([&] {
          run_planned(1, [&](Context& ctx) {
            gated_activation_forward(ctx, Activation::kGelu, x.view(), y.view());
          });
        }) == "gated_activation_forward: expected x of 3 x 10, got 3 x 8");
  CHECK(test::error_of([&] {
          run_planned(1, [&](Context& ctx) {
            gated_activation_forward(ctx, Activation::kGelu, x.view(), x.view().col_range(0, 4));
          });
        }) != "");
}

// Where nothing but rounding to the compute type may stand between them; beyond its range,
// infinite.
bool is_near(float found, double expected) {
  const float rounded = test::rounded(static_cast<float>(expected));
  if (std::isinf(rounded)) return found == rounded;
  const double tolerance = test::tolerance(test::Result::kElements, 3e-7);
  return std::abs(static_cast<double>(found) - expected) <= tolerance * std::abs(expected) + 1e-30;
}

DEVICE_TEST_CASE("activations far out, in place, and of NaN") {
  for (const Case& c : kCases) {
    Matrix x(1, 6);
    // The largest power of two of the compute type, about.
    const float huge = test::compute_type() == DType::kF16 ? 0x1p15f : 0x1p100f;
    const float far[6] = {-huge, -200.0f, -0.0f, 200.0f, huge, std::nanf("")};
    for (int64_t i = 0; i < 6; ++i) x.at(0, i) = far[i];
    Matrix dy(1, 6);
    for (int64_t i = 0; i < 6; ++i) dy.at(0, i) = 1.0f;
    Matrix y(1, 6);
    run_planned(1, [&](Context& ctx) {
      activation_backward(ctx, c.f, x.view(), dy.view(), dy.view());
      activation_forward(ctx, c.f, x.view(), y.view());
      activation_forward(ctx, c.f, x.view(), x.view());
    });
    for (int64_t i = 0; i < 5; ++i) {
      const int function = static_cast<int>(c.f);
      CAPTURE(function);
      CAPTURE(far[i]);
      // Planning made no launch, so dy was replaced once.
      const auto [value, slope] = c.reference(static_cast<double>(far[i]));
      CHECK(is_near(y.at(0, i), value));
      CHECK(is_near(dy.at(0, i), slope));
      CHECK(x.at(0, i) == y.at(0, i));
    }
    CHECK(std::isnan(y.at(0, 5)));
    CHECK(std::isnan(dy.at(0, 5)));
  }
}

DEVICE_TEST_CASE("activations give the same bits everywhere") {
  Matrix x = Matrix::random(19, 1003, 9);
  Matrix dy = Matrix::random(19, 1003, 10);
  for (const Case& c : kCases) {
    test::check_same_everywhere([&](int n_threads) {
      Matrix y(19, 1003);
      Matrix dx(19, 1003);
      run_planned(n_threads, [&](Context& ctx) {
        activation_forward(ctx, c.f, x.view(), y.view());
        activation_backward(ctx, c.f, x.view(), dy.view(), dx.view());
      });
      std::vector<uint32_t> bits;
      test::append_bits(bits, y);
      test::append_bits(bits, dx);
      return bits;
    });
  }
}

}  // namespace
}  // namespace qe
