// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/model/position_tables.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "engine/model/portable_math.h"

namespace qe {

namespace {

constexpr double kPi = 3.14159265358979323846;

// All below in fp32 where transformers computes in fp32.

// theta^(2j/D).
float wavelength_factor(const Rotary& rotary, int64_t j, int64_t head_dim) {
  const float exponent = static_cast<float>(2 * j) / static_cast<float>(head_dim);
  return static_cast<float>(
      portable_exp(static_cast<double>(exponent) * portable_log(rotary.theta)));
}

float llama3_frequency(const Rotary& rotary, float plain) {
  const auto factor = static_cast<float>(rotary.factor);
  const float scaled = plain / factor;
  const auto wavelength = static_cast<float>(2.0 * kPi) / plain;
  const auto length = static_cast<double>(rotary.original_positions);
  if (wavelength < static_cast<float>(length / rotary.high_factor)) return plain;
  if (wavelength > static_cast<float>(length / rotary.low_factor)) return scaled;
  const float share =
      (static_cast<float>(length) / wavelength - static_cast<float>(rotary.low_factor)) /
      static_cast<float>(rotary.high_factor - rotary.low_factor);
  return (1.0f - share) * plain / factor + share * plain;
}

// The column, in halves of columns of a head, whose angle makes `turns` turns in
// original_positions.
double column_of_turns(const Rotary& rotary, double turns, int64_t head_dim) {
  const double positions = static_cast<double>(rotary.original_positions);
  return static_cast<double>(head_dim) * portable_log(positions / (turns * 2.0 * kPi)) /
         (2.0 * portable_log(rotary.theta));
}

float yarn_frequency(const Rotary& rotary, float wavelength, int64_t j, int64_t head_dim) {
  double low = column_of_turns(rotary, rotary.fast_turns, head_dim);
  double high = column_of_turns(rotary, rotary.slow_turns, head_dim);
  if (rotary.whole_columns) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, static_cast<double>(head_dim - 1));
  if (low == high) high += 0.001;
  const float ramp =
      (static_cast<float>(j) - static_cast<float>(low)) / static_cast<float>(high - low);
  const float plain_share = 1.0f - std::clamp(ramp, 0.0f, 1.0f);
  const float scaled = 1.0f / (static_cast<float>(rotary.factor) * wavelength);
  return scaled * (1.0f - plain_share) + 1.0f / wavelength * plain_share;
}

float frequency(const Rotary& rotary, int64_t j, int64_t head_dim) {
  const float wavelength = wavelength_factor(rotary, j, head_dim);
  switch (rotary.scaling) {
    case Rotary::Scaling::kNone:
      break;
    case Rotary::Scaling::kLinear:
      return 1.0f / wavelength / static_cast<float>(rotary.factor);
    case Rotary::Scaling::kLlama3:
      return llama3_frequency(rotary, 1.0f / wavelength);
    case Rotary::Scaling::kYarn:
      return yarn_frequency(rotary, wavelength, j, head_dim);
    case Rotary::Scaling::kLongRope:
      return 1.0f / (static_cast<float>(rotary.divisors[static_cast<size_t>(j)]) * wavelength);
  }
  return 1.0f / wavelength;
}

double yarn_scale(double factor, double mscale) {
  return factor <= 1.0 ? 1.0 : 0.1 * mscale * portable_log(factor) + 1.0;
}

// Of cosines and sines.
double attention_factor(const Rotary& rotary) {
  if (rotary.attention_factor > 0.0) return rotary.attention_factor;
  if (rotary.scaling == Rotary::Scaling::kYarn) {
    return rotary.mscale > 0.0 && rotary.mscale_all_dim > 0.0
               ? yarn_scale(rotary.factor, rotary.mscale) /
                     yarn_scale(rotary.factor, rotary.mscale_all_dim)
               : yarn_scale(rotary.factor, 1.0);
  }
  if (rotary.factor <= 1.0) return 1.0;
  const auto positions = static_cast<double>(rotary.original_positions);
  return std::sqrt(1.0 + portable_log(rotary.factor) / portable_log(positions));
}

}  // namespace

std::vector<float> rotary_table(int64_t n_positions, int64_t head_dim, const Rotary& rotary) {
  const int64_t half = head_dim / 2;
  std::vector<float> frequencies;
  for (int64_t j = 0; j < half; ++j) frequencies.push_back(frequency(rotary, j, head_dim));
  const auto scale = static_cast<float>(attention_factor(rotary));
  std::vector<float> table(static_cast<size_t>(n_positions * head_dim));
  for (int64_t p = 0; p < n_positions; ++p) {
    float* row = table.data() + p * head_dim;
    for (int64_t j = 0; j < half; ++j) {
      const float angle = static_cast<float>(p) * frequencies[static_cast<size_t>(j)];
      const SineCosine turned = portable_sine_cosine(static_cast<double>(angle));
      row[j] = static_cast<float>(turned.cosine) * scale;
      row[half + j] = static_cast<float>(turned.sine) * scale;
    }
  }
  return table;
}

int64_t relative_bucket(int64_t distance, int64_t n_buckets) {
  constexpr double kFarthest = 128.0;
  const int64_t per_side = n_buckets / 2;
  const int64_t exact = per_side / 2;
  const int64_t side = distance > 0 ? per_side : 0;
  const int64_t n = std::abs(distance);
  if (n < exact) return side + n;
  // In fp32, as the tables were trained with.
  const auto logarithm = [](double x) { return static_cast<float>(portable_log(x)); };
  const float ratio = logarithm(static_cast<double>(n) / static_cast<double>(exact)) /
                      logarithm(kFarthest / static_cast<double>(exact));
  const auto steps = static_cast<int64_t>(ratio * static_cast<float>(per_side - exact));
  return side + std::min(per_side - 1, exact + steps);
}

std::vector<float> relative_bias_table(std::span<const float> buckets, int64_t n_buckets,
                                       int64_t n_heads, int64_t reach) {
  const int64_t cols = 2 * reach - 1;
  std::vector<float> table(static_cast<size_t>(n_heads * cols));
  for (int64_t column = 0; column < cols; ++column) {
    // Columns count query - key.
    const int64_t bucket = relative_bucket(reach - 1 - column, n_buckets);
    for (int64_t head = 0; head < n_heads; ++head) {
      table[static_cast<size_t>(head * cols + column)] =
          buckets[static_cast<size_t>(bucket * n_heads + head)];
    }
  }
  return table;
}

int64_t distance_row(int64_t distance, int64_t n_rows, int64_t n_buckets, int64_t max_distance) {
  const int64_t span = n_rows / 2;
  int64_t bucket = distance;
  const int64_t mid = n_buckets / 2;
  const int64_t n = std::abs(distance);
  if (n_buckets > 0 && n > mid) {
    // In fp32, as the tables were trained with.
    const auto logarithm = [](float x) {
      return static_cast<float>(portable_log(static_cast<double>(x)));
    };
    const float ratio = static_cast<float>(n) / static_cast<float>(mid);
    const auto farthest =
        static_cast<float>(static_cast<double>(max_distance - 1) / static_cast<double>(mid));
    const float steps = logarithm(ratio) / logarithm(farthest) * static_cast<float>(mid - 1);
    bucket = static_cast<int64_t>(std::ceil(steps)) + mid;
    if (distance < 0) bucket = -bucket;
  }
  return std::clamp<int64_t>(bucket + span, 0, n_rows - 1);
}

std::vector<int32_t> distance_columns(int64_t reach, int64_t n_rows, int64_t n_buckets,
                                      int64_t max_distance) {
  std::vector<int32_t> columns;
  for (int64_t distance = 1 - reach; distance < reach; ++distance) {
    columns.push_back(
        static_cast<int32_t>(distance_row(distance, n_rows, n_buckets, max_distance)));
  }
  return columns;
}

void normalize_rows(std::span<float> x, std::span<const float> gamma, std::span<const float> beta,
                    float epsilon) {
  const size_t cols = gamma.size();
  const auto n = static_cast<double>(cols);
  for (size_t row = 0; row + cols <= x.size(); row += cols) {
    double mean = 0.0;
    for (size_t c = 0; c < cols; ++c) mean += static_cast<double>(x[row + c]) / n;
    double variance = 0.0;
    for (size_t c = 0; c < cols; ++c) {
      const double centred = static_cast<double>(x[row + c]) - mean;
      variance += centred * centred / n;
    }
    const double scale = 1.0 / std::sqrt(variance + static_cast<double>(epsilon));
    for (size_t c = 0; c < cols; ++c) {
      const double xhat = (static_cast<double>(x[row + c]) - mean) * scale;
      x[row + c] =
          static_cast<float>(xhat * static_cast<double>(gamma[c]) + static_cast<double>(beta[c]));
    }
  }
}

}  // namespace qe
