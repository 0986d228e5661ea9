// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Elementary functions in double precision without libm, whose last bits differ by machine. Errors
// are a few units in the last place; rounded to fp32 they are the same everywhere.

namespace qe {

/// The natural logarithm of a positive finite number.
double portable_log(double x);
/// e^x for |x| <= 700.
double portable_exp(double x);

struct SineCosine {
  double sine, cosine;
};
/// Of an angle with |x| <= 2^30.
SineCosine portable_sine_cosine(double x);

}  // namespace qe
