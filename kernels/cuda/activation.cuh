// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Activations and their slopes in fp32, for kernels that have one inside. Far out they are exact:
// no 0 * infinity.

#include "kernels/ops/activation.h"

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

__device__ inline float activation_value(Activation f, float x) {
  switch (f) {
    case Activation::kGelu:
      return x * gelu_cdf(x);
    case Activation::kGeluTanh:
      return x * fmaf(gelu_tanh_inner(x), 0.5f, 0.5f);
    case Activation::kRelu:
      return x <= 0.0f ? 0.0f : x;
    case Activation::kSilu:
      return x * logistic(x);
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
    case Activation::kRelu:
      return x <= 0.0f ? 0.0f : x == x ? 1.0f : x;
    case Activation::kSilu: {
      const float s = logistic(x);
      const float curve = fmaf(-s, s, s);
      return curve == 0.0f ? s : fmaf(x, curve, s);
    }
  }
  return 1.0f;
}

}  // namespace qe::cuda
