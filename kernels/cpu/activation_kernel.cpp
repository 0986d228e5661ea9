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

// x logistic(kScale x): SiLU and quick GELU.
template <int kThousandths>
struct Swish {
  static constexpr float kScale = static_cast<float>(kThousandths) / 1000.0f;
  QE_INLINE static Vec value(Vec x) { return x * logistic(x * set(kScale)); }
  QE_INLINE static Vec slope(Vec x) {
    const Vec s = logistic(x * set(kScale));
    const Vec curve = fnma(s, s, s) * set(kScale);
    return select(equal(curve, zero()), s, fma(x, curve, s));
  }
};

// With e = e^-|x|, tanh(log(1 + e^x)) is top / bottom of polynomials in e.
struct Mish {
  struct Parts {
    Vec e, decay, top, bottom;  // decay: how the slope's curve falls off, e or e^2
  };
  QE_INLINE static Parts parts(Vec x) {
    const Vec e = exp(-abs(x));
    const Mask negative = less(x, zero());
    const Vec top = select(negative, fma(e, e, e + e), fma(e, set(2.0f), set(1.0f)));
    const Vec rest = select(negative, set(2.0f), e * e * set(2.0f));
    return {e, select(negative, e, e * e), top, top + rest};
  }
  QE_INLINE static Vec value(Vec x) {
    const Parts p = parts(x);
    return x * (p.top / p.bottom);
  }
  QE_INLINE static Vec slope(Vec x) {
    const Parts p = parts(x);
    const Vec t = p.top / p.bottom;
    const Vec curve = set(4.0f) * (set(1.0f) + p.e) * p.decay / (p.bottom * p.bottom);
    return select(equal(curve, zero()), t, fma(x, curve, t));
  }
};

struct HardSwish {
  QE_INLINE static Vec value(Vec x) {
    const Vec middle = x * (x + set(3.0f)) * set(1.0f / 6.0f);
    return select(less_equal(x, set(-3.0f)), zero(), select(less(x, set(3.0f)), middle, x));
  }
  QE_INLINE static Vec slope(Vec x) {
    const Vec middle = fma(x, set(1.0f / 3.0f), set(0.5f));
    return select(less_equal(x, set(-3.0f)), zero(),
                  select(less_equal(set(3.0f), x), set(1.0f), middle));
  }
};

// 1, and NaN of NaN.
QE_INLINE Vec one_of(Vec x) { return select(equal(x, x), set(1.0f), x); }

// NaN stays NaN.
struct Relu {
  QE_INLINE static Vec value(Vec x) { return select(less_equal(x, zero()), zero(), x); }
  QE_INLINE static Vec slope(Vec x) { return select(less_equal(x, zero()), zero(), one_of(x)); }
};

struct Relu2 {
  QE_INLINE static Vec value(Vec x) { return Relu::value(x) * Relu::value(x); }
  QE_INLINE static Vec slope(Vec x) { return Relu::value(x) + Relu::value(x); }
};

struct Relu6 {
  QE_INLINE static Vec value(Vec x) {
    return select(less_equal(set(6.0f), x), set(6.0f), Relu::value(x));
  }
  QE_INLINE static Vec slope(Vec x) {
    return select(less_equal(set(6.0f), x), zero(), Relu::slope(x));
  }
};

struct LeakyRelu {
  static constexpr float kLeak = 0.01f;
  QE_INLINE static Vec value(Vec x) { return select(less_equal(x, zero()), x * set(kLeak), x); }
  QE_INLINE static Vec slope(Vec x) { return select(less_equal(x, zero()), set(kLeak), one_of(x)); }
};

QE_INLINE Vec logistic_slope(Vec x) {
  const Vec e = exp(-abs(x));
  const Vec sum = set(1.0f) + e;
  return e / (sum * sum);
}

struct Tanh {
  QE_INLINE static Vec value(Vec x) { return tanh(x); }
  QE_INLINE static Vec slope(Vec x) { return set(4.0f) * logistic_slope(x + x); }
};

struct Sigmoid {
  QE_INLINE static Vec value(Vec x) { return logistic(x); }
  QE_INLINE static Vec slope(Vec x) { return logistic_slope(x); }
};

struct Linear {
  QE_INLINE static Vec value(Vec x) { return x; }
  QE_INLINE static Vec slope(Vec x) { return one_of(x); }
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
QE_INLINE void with_function(Activation f, Body body) {
  switch (f) {
    case Activation::kGelu:
      return body(Gelu{});
    case Activation::kGeluTanh:
      return body(GeluTanh{});
    case Activation::kQuickGelu:
      return body(Swish<1702>{});
    case Activation::kSilu:
      return body(Swish<1000>{});
    case Activation::kMish:
      return body(Mish{});
    case Activation::kHardSwish:
      return body(HardSwish{});
    case Activation::kRelu:
      return body(Relu{});
    case Activation::kRelu2:
      return body(Relu2{});
    case Activation::kRelu6:
      return body(Relu6{});
    case Activation::kLeakyRelu:
      return body(LeakyRelu{});
    case Activation::kTanh:
      return body(Tanh{});
    case Activation::kSigmoid:
      return body(Sigmoid{});
    case Activation::kLinear:
      return body(Linear{});
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
