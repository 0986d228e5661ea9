// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// Compiled once per instruction set (see simd.h for the rules of such files).

#include "kernels/cpu/activation_kernel.h"

#include "kernels/cpu/lane_loop.h"
#include "kernels/cpu/vecmath.h"

namespace qe::cpu::QE_ISA {
namespace {

constexpr float kSqrtHalf = 0.70710678f;        // sqrt(1 / 2)
constexpr float kInverseSqrt2Pi = 0.39894228f;  // 1 / sqrt(2 pi)
constexpr float kSqrt2OverPi = 0.79788456f;     // sqrt(2 / pi)
constexpr float kTanhCubic = 0.044715f;

struct Gelu {
  // Phi(x), the normal distribution function.
  QE_INLINE static Vec cdf(Vec x) { return fma(erf(x * set(kSqrtHalf)), set(0.5f), set(0.5f)); }
  QE_INLINE static Vec value(Vec x) { return x * cdf(x); }
  QE_INLINE static Vec slope(Vec x) {
    const Vec phi = cdf(x);
    const Vec density = exp(x * x * set(-0.5f)) * set(kInverseSqrt2Pi);
    // 0 times an infinite x is not wanted: the density is 0 long before.
    return select(equal(density, zero()), phi, fma(x, density, phi));
  }
};

struct GeluTanh {
  QE_INLINE static Vec inner_tanh(Vec x) {
    return tanh(x * set(kSqrt2OverPi) * fma(x * x, set(kTanhCubic), set(1.0f)));
  }
  QE_INLINE static Vec value(Vec x) { return x * fma(inner_tanh(x), set(0.5f), set(0.5f)); }
  QE_INLINE static Vec slope(Vec x) {
    const Vec t = inner_tanh(x);
    const Vec d_inner = set(kSqrt2OverPi) * fma(x * x, set(3.0f * kTanhCubic), set(1.0f));
    const Vec curve = fnma(t, t, set(1.0f));
    const Vec flat = fma(t, set(0.5f), set(0.5f));
    return select(equal(curve, zero()), flat, fma(x * set(0.5f) * curve, d_inner, flat));
  }
};

struct Relu {
  // NaN stays NaN.
  QE_INLINE static Vec value(Vec x) { return select(less_equal(x, zero()), zero(), x); }
  QE_INLINE static Vec slope(Vec x) {
    return select(less_equal(x, zero()), zero(), select(equal(x, x), set(1.0f), x));
  }
};

struct Silu {
  QE_INLINE static Vec value(Vec x) { return x * logistic(x); }
  QE_INLINE static Vec slope(Vec x) {
    const Vec s = logistic(x);
    const Vec curve = fnma(s, s, s);
    return select(equal(curve, zero()), s, fma(x, curve, s));
  }
};

template <class Function>
void forward(const ActivationRows& args, int64_t begin, int64_t end) {
  for (int64_t t = begin; t < end; ++t) {
    const float* x = args.x + t * args.x_stride;
    float* y = args.y + t * args.y_stride;
    for_lanes(args.cols, [&](int64_t i, auto part) {
      store(y + i, Function::value(load(x + i, part)), part);
    });
  }
}

template <class Function>
void backward(const ActivationRows& args, int64_t begin, int64_t end) {
  for (int64_t t = begin; t < end; ++t) {
    const float* x = args.x + t * args.x_stride;
    const float* dy = args.dy + t * args.dy_stride;
    float* dx = args.y + t * args.y_stride;
    for_lanes(args.cols, [&](int64_t i, auto part) {
      store(dx + i, Function::slope(load(x + i, part)) * load(dy + i, part), part);
    });
  }
}

template <class Function>
void gated_forward(const ActivationRows& args, int64_t begin, int64_t end) {
  for (int64_t t = begin; t < end; ++t) {
    const float* a = args.x + t * args.x_stride;
    const float* g = a + args.cols;
    float* y = args.y + t * args.y_stride;
    for_lanes(args.cols, [&](int64_t i, auto part) {
      store(y + i, Function::value(load(a + i, part)) * load(g + i, part), part);
    });
  }
}

template <class Function>
void gated_backward(const ActivationRows& args, int64_t begin, int64_t end) {
  for (int64_t t = begin; t < end; ++t) {
    const float* a = args.x + t * args.x_stride;
    const float* g = a + args.cols;
    const float* dy = args.dy + t * args.dy_stride;
    float* da = args.y + t * args.y_stride;
    float* dg = da + args.cols;
    for_lanes(args.cols, [&](int64_t i, auto part) {
      const Vec x = load(a + i, part);
      const Vec gradient = load(dy + i, part);
      const Vec gate = load(g + i, part);
      store(da + i, Function::slope(x) * gate * gradient, part);
      store(dg + i, Function::value(x) * gradient, part);
    });
  }
}

// Calls body with the function as a type of its own.
template <class Body>
QE_INLINE void with_function(ActivationFunction f, Body body) {
  switch (f) {
    case ActivationFunction::kGelu:
      return body(Gelu{});
    case ActivationFunction::kGeluTanh:
      return body(GeluTanh{});
    case ActivationFunction::kRelu:
      return body(Relu{});
    case ActivationFunction::kSilu:
      return body(Silu{});
  }
}

}  // namespace

void activation_forward_rows(const ActivationRows& args, int64_t begin, int64_t end) {
  with_function(args.function, [&](auto f) { forward<decltype(f)>(args, begin, end); });
}

void activation_backward_rows(const ActivationRows& args, int64_t begin, int64_t end) {
  with_function(args.function, [&](auto f) { backward<decltype(f)>(args, begin, end); });
}

void gated_activation_forward_rows(const ActivationRows& args, int64_t begin, int64_t end) {
  with_function(args.function, [&](auto f) { gated_forward<decltype(f)>(args, begin, end); });
}

void gated_activation_backward_rows(const ActivationRows& args, int64_t begin, int64_t end) {
  with_function(args.function, [&](auto f) { gated_backward<decltype(f)>(args, begin, end); });
}

}  // namespace qe::cpu::QE_ISA
