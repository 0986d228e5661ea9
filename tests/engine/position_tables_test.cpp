// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/model/position_tables.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/model/portable_math.h"
#include "tests/support/golden.h"

namespace qe {
namespace {

TEST_CASE("portable functions agree with libm to a few units in the last place") {
  for (double x = 1e-3; x < 1e7; x *= 1.37) {
    CAPTURE(x);
    CHECK(std::fabs(portable_log(x) - std::log(x)) < 1e-15 * (1.0 + std::fabs(std::log(x))));
    for (const double sign : {1.0, -1.0}) {
      const SineCosine turned = portable_sine_cosine(sign * x);
      CHECK(std::fabs(turned.sine - std::sin(sign * x)) < 1e-15);
      CHECK(std::fabs(turned.cosine - std::cos(sign * x)) < 1e-15);
    }
  }
  for (double x = -30.0; x < 30.0; x += 0.37) {
    CAPTURE(x);
    CHECK(std::fabs(portable_exp(x) / std::exp(x) - 1.0) < 2e-15);
  }
}

TEST_CASE("rotary tables hold cosines, then sines") {
  const std::vector<float> table = rotary_table(300, 8, {.theta = 10000.0});
  REQUIRE(table.size() == 300 * 8);
  for (int64_t p = 0; p < 300; p += 23) {
    for (int64_t j = 0; j < 4; ++j) {
      const double angle = static_cast<double>(p) * std::pow(10000.0, -static_cast<double>(j) / 4);
      const size_t at = static_cast<size_t>(p * 8 + j);
      CHECK(std::fabs(static_cast<double>(table[at]) - std::cos(angle)) < 3e-5);
      CHECK(std::fabs(static_cast<double>(table[at + 4]) - std::sin(angle)) < 3e-5);
    }
  }
}

// Found (rows of a table) against the golden's rows.
void check_rotary(const EncoderConfig& config, const Rotary& rotary, const Json& positions,
                  const Json& expected) {
  const std::vector<float> table = rotary_table(config.max_positions, config.head_dim, rotary);
  for (size_t i = 0; i < positions.items().size(); ++i) {
    const int64_t position = positions.items()[i].as_int();
    const std::vector<Json>& row = expected.items()[i].items();
    REQUIRE(static_cast<int64_t>(row.size()) == config.head_dim);
    // An angle's own rounding, in fp32.
    const double allowed = 3e-7 * static_cast<double>(1 + position);
    for (size_t j = 0; j < row.size(); ++j) {
      const float found = table[static_cast<size_t>(position * config.head_dim) + j];
      CAPTURE(position);
      CAPTURE(j);
      CHECK(std::fabs(static_cast<double>(found) - row[j].as_double()) < allowed);
    }
  }
}

TEST_CASE("rotary positions of every kind are transformers'") {
  const Json golden = Json::parse_file(test::golden_path("rope.json"));
  for (const Json& c : golden.at("cases").items()) {
    const std::string text = c.at("config").dump();
    CAPTURE(text);
    const EncoderConfig config = family_of(c.at("model_type").as_string()).read(c.at("config"));
    check_rotary(config, config.rotary, golden.at("positions"), c.at("rotary"));
    if (const Json* local = c.find("local_rotary")) {
      check_rotary(config, config.local_rotary, golden.at("positions"), *local);
    }
  }
}

TEST_CASE("buckets of distances: exact near by, then by logarithm, the two sides apart") {
  for (int64_t d = 0; d < 8; ++d) {
    CHECK(relative_bucket(-d, 32) == d);
    if (d > 0) CHECK(relative_bucket(d, 32) == 16 + d);
  }
  const std::vector<std::pair<int64_t, int64_t>> known = {
      {8, 8},   {11, 8},  {12, 9},  {15, 9},  {16, 10}, {22, 10}, {23, 11},  {31, 11},  {32, 12},
      {45, 12}, {46, 13}, {63, 13}, {64, 14}, {90, 14}, {91, 15}, {127, 15}, {128, 15}, {500, 15}};
  for (const auto& [distance, bucket] : known) {
    CAPTURE(distance);
    CHECK(relative_bucket(-distance, 32) == bucket);
    CHECK(relative_bucket(distance, 32) == 16 + bucket);
  }
}

TEST_CASE("the bias of query - key stands in its column") {
  std::vector<float> buckets;
  for (int i = 0; i < 32 * 2; ++i) buckets.push_back(static_cast<float>(i));
  const std::vector<float> table = relative_bias_table(buckets, 32, 2, 10);
  REQUIRE(table.size() == 2 * 19);
  CHECK(table[9] == 0.0f);                             // head 0, the token itself
  CHECK(table[10] == 2.0f);                            // query - key = 1: bucket 1
  CHECK(table[8] == 2.0f * 17);                        // query - key = -1: bucket 17
  CHECK(table[static_cast<size_t>(19 + 10)] == 3.0f);  // head 1
}

TEST_CASE("rows of distances: exact near by, then by logarithm, then the last one") {
  // deberta-v3-base: 256 buckets, 512 positions.
  const auto row = [](int64_t distance) { return distance_row(distance, 512, 256, 512); };
  CHECK(row(0) == 256);
  for (const int64_t d : {1, 64, 127, 128}) {
    CHECK(row(d) == 256 + d);
    CHECK(row(-d) == 256 - d);
  }
  CHECK(row(129) == 256 + 129);
  CHECK(row(511) == 511);
  CHECK(row(-511) == 1);
  for (int64_t d = 1; d < 511; ++d) CHECK(row(d) <= row(d + 1));
  // Without buckets every distance has a row, up to the span.
  CHECK(distance_row(39, 80, 0, 40) == 79);
  CHECK(distance_row(100, 80, 0, 40) == 79);
  CHECK(distance_row(-100, 80, 0, 40) == 0);
  const std::vector<int32_t> columns = distance_columns(3, 80, 0, 40);
  CHECK(columns == std::vector<int32_t>{38, 39, 40, 41, 42});
}

}  // namespace
}  // namespace qe
