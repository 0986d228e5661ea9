// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/model/portable_math.h"

#include <cmath>

namespace qe {

// x = m 2^e with m near 1, log m = 2 atanh((m - 1) / (m + 1)) as a series that is exact to double
// precision.
double portable_log(double x) {
  int exponent = 0;
  double m = std::frexp(x, &exponent);
  if (m < 0.70710678118654752440) {
    m *= 2.0;
    --exponent;
  }
  const double z = (m - 1.0) / (m + 1.0);
  double term = z;
  double sum = 0.0;
  for (int k = 1; k < 40; k += 2) {
    sum += term / k;
    term *= z * z;
  }
  return 2.0 * sum + 0.69314718055994530942 * exponent;
}

// x = n ln 2 + r with |r| <= ln 2 / 2, e^r by Taylor's series.
double portable_exp(double x) {
  const double n = std::nearbyint(x * 1.4426950408889634074);
  const double r = std::fma(-n, 1.9082149292705877e-10, std::fma(-n, 0.693147180369123816490, x));
  double term = 1.0;
  double sum = 1.0;
  for (int k = 1; k < 20; ++k) {
    term *= r / k;
    sum += term;
  }
  return std::ldexp(sum, static_cast<int>(n));
}

// x = n pi / 2 + r with |r| <= pi / 4, pi / 2 in two parts, then Taylor's series.
SineCosine portable_sine_cosine(double x) {
  const double n = std::nearbyint(x * 0.63661977236758134308);
  double r = std::fma(-n, 1.57079632679489661923, x);
  r = std::fma(-n, 6.123233995736766036e-17, r);
  double sine_term = r;
  double cosine_term = 1.0;
  double sine = r;
  double cosine = 1.0;
  for (int k = 2; k < 20; k += 2) {
    cosine_term *= -r * r / ((k - 1) * k);
    sine_term *= -r * r / (k * (k + 1));
    cosine += cosine_term;
    sine += sine_term;
  }
  switch (static_cast<long long>(n) & 3) {
    case 0:
      return {sine, cosine};
    case 1:
      return {cosine, -sine};
    case 2:
      return {-sine, -cosine};
    default:
      return {-cosine, sine};
  }
}

}  // namespace qe
