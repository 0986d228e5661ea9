// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Activations and their slopes in fp32, for kernels that have one inside. Far out they are exact:
// no 0 * infinity.

#include "kernels/core/activation.h"

namespace qe::cuda {

__device__ inline float gelu_cdf(float x) { return fmaf(erff(x * 0.70710678f), 0.5f, 0.5f); }

__device__ inline float gelu_tanh_inner(float x) {
  return tanhf(x * 0.79788456f * fmaf(x * x, 0.044715f, 1.0f));
}

__device__ inline float logistic(float x) {
  const float e = expf(-fabsf(x));
  const float r = 1.0f / (1.0f + e);
  return x < 0.0f ? e * r : r;
}

// x logistic(scale x): SiLU and quick GELU.
__device__ inline float swish(float x, float scale) { return x * logistic(x * scale); }
__device__ inline float swish_slope(float x, float scale) {
  const float s = logistic(x * scale);
  const float curve = fmaf(-s, s, s) * scale;
  return curve == 0.0f ? s : fmaf(x, curve, s);
}

// With e = e^-|x|, tanh(log(1 + e^x)) is top / bottom of polynomials in e.
struct Mish {
  float e, decay, top, bottom;  // decay: how the slope's curve falls off, e or e^2

  __device__ explicit Mish(float x) : e(expf(-fabsf(x))), decay(x < 0.0f ? e : e * e) {
    top = x < 0.0f ? fmaf(e, e, e + e) : fmaf(e, 2.0f, 1.0f);
    bottom = top + (x < 0.0f ? 2.0f : 2.0f * e * e);
  }
  __device__ float slope(float x) const {
    const float t = top / bottom;
    const float curve = 4.0f * (1.0f + e) * decay / (bottom * bottom);
    return curve == 0.0f ? t : fmaf(x, curve, t);
  }
};

// Comparisons are such that NaN stays NaN.
__device__ inline float relu(float x) { return x <= 0.0f ? 0.0f : x; }
__device__ inline float one_of(float x) { return x == x ? 1.0f : x; }

__device__ inline float logistic_slope(float x) {
  const float e = expf(-fabsf(x));
  return e / ((1.0f + e) * (1.0f + e));
}

__device__ inline float activation_value(Activation f, float x) {
  switch (f) {
    case Activation::kGelu:
      return x * gelu_cdf(x);
    case Activation::kGeluTanh:
      return x * fmaf(gelu_tanh_inner(x), 0.5f, 0.5f);
    case Activation::kQuickGelu:
      return swish(x, 1.702f);
    case Activation::kSilu:
      return swish(x, 1.0f);
    case Activation::kMish: {
      const Mish parts(x);
      return x * (parts.top / parts.bottom);
    }
    case Activation::kHardSwish:
      return x <= -3.0f ? 0.0f : x < 3.0f ? x * (x + 3.0f) * (1.0f / 6.0f) : x;
    case Activation::kRelu:
      return relu(x);
    case Activation::kRelu2:
      return relu(x) * relu(x);
    case Activation::kRelu6:
      return x >= 6.0f ? 6.0f : relu(x);
    case Activation::kLeakyRelu:
      return x <= 0.0f ? x * 0.01f : x;
    case Activation::kTanh:
      return tanhf(x);
    case Activation::kSigmoid:
      return logistic(x);
    case Activation::kLinear:
      break;
  }
  return x;
}

__device__ inline float activation_slope(Activation f, float x) {
  switch (f) {
    case Activation::kGelu: {
      const float phi = gelu_cdf(x);
      const float density = expf(x * x * -0.5f) * 0.39894228f;
      return density == 0.0f ? phi : fmaf(x, density, phi);
    }
    case Activation::kGeluTanh: {
      const float t = gelu_tanh_inner(x);
      const float d_inner = 0.79788456f * fmaf(x * x, 3.0f * 0.044715f, 1.0f);
      const float curve = fmaf(-t, t, 1.0f);
      const float flat = fmaf(t, 0.5f, 0.5f);
      return curve == 0.0f ? flat : fmaf(x * 0.5f * curve, d_inner, flat);
    }
    case Activation::kQuickGelu:
      return swish_slope(x, 1.702f);
    case Activation::kSilu:
      return swish_slope(x, 1.0f);
    case Activation::kMish:
      return Mish(x).slope(x);
    case Activation::kHardSwish:
      return x <= -3.0f ? 0.0f : x >= 3.0f ? 1.0f : fmaf(x, 1.0f / 3.0f, 0.5f);
    case Activation::kRelu:
      return x <= 0.0f ? 0.0f : one_of(x);
    case Activation::kRelu2:
      return relu(x) + relu(x);
    case Activation::kRelu6:
      return x <= 0.0f || x >= 6.0f ? 0.0f : one_of(x);
    case Activation::kLeakyRelu:
      return x <= 0.0f ? 0.01f : one_of(x);
    case Activation::kTanh:
      return 4.0f * logistic_slope(x + x);
    case Activation::kSigmoid:
      return logistic_slope(x);
    case Activation::kLinear:
      break;
  }
  return one_of(x);
}

}  // namespace qe::cuda
