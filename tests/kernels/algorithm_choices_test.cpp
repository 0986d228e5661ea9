// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/cuda/algorithm_choices.h"

#include <doctest/doctest.h>

#include "kernels/ops/backend.h"
#include "kernels/ops/gemm.h"
#include "tests/support/op_context.h"

namespace qe {
namespace {

using cuda::AlgorithmChoices;
using cuda::read_choices;

AlgorithmChoices some_choices() {
  AlgorithmChoices choices;
  choices[{1, -2, 3}] = {0, 1, ~uint64_t{0}, uint64_t{1} << 63};
  choices[{INT64_MAX, INT64_MIN}] = {0xabcdef, 2};
  return choices;
}

}  // namespace

TEST_CASE("algorithm choices: text carries them unchanged") {
  for (const AlgorithmChoices& choices : {some_choices(), AlgorithmChoices{}}) {
    const std::string text = cuda::choices_text("library 1, GPU", choices);
    AlgorithmChoices read{{{7}, {7}}};
    CHECK(read_choices(text, "library 1, GPU", read) == "");
    CHECK(read == choices);
  }
}

TEST_CASE("algorithm choices: another maker's or damaged ones are refused, and change nothing") {
  const std::string text = cuda::choices_text("one", some_choices());
  const AlgorithmChoices before{{{7}, {7}}};
  AlgorithmChoices read = before;
  CHECK(read_choices(text, "two", read) == "they were made by \"one\", this is \"two\"");
  CHECK(read_choices("", "two", read) == "they were made by \"\", this is \"two\"");
  CHECK(read_choices("one\n\n", "one", read) == "line 2 is damaged");
  // Any character missing, or another one in its place.
  size_t n_refused = 0;
  for (size_t i = 4; i < text.size(); ++i) {
    if (text[i] == '\n' && i + 1 == text.size()) continue;  // the last line needs no end
    std::string shorter = text, other = text;
    shorter.erase(i, 1);
    other[i] = 'x';
    n_refused += !read_choices(other, "one", read).empty();
    CHECK(read == before);
    // Without one digit or sign it may be another number.
    const bool digit = text[i] == '-' || std::isxdigit(static_cast<unsigned char>(text[i]));
    if (!digit) CHECK_FALSE(read_choices(shorter, "one", read).empty());
    read = before;
  }
  CHECK(n_refused == text.size() - 5);
  CHECK(read_choices(text.substr(0, text.size() - 2), "one", read) == "line 3 is damaged");
  CHECK(read_choices(text + "1", "one", read) == "line 4 is damaged");
  CHECK(read == before);
}

TEST_CASE("algorithm choices: a GPU's are of no use to the CPU, which has none") {
  const Backend backend(Device{}, false);
  Context ctx;
  CHECK(backend.choices() == "");
  CHECK(backend.adopt_choices(ctx, "") == "");
  CHECK(backend.adopt_choices(ctx, "a GPU\n") == "they were made on a GPU, this is the CPU");
}

DEVICE_TEST_CASE("algorithm choices: taken over, they give the bits of the run that made them") {
  if (!test::on_gpu()) return;
  test::Matrix a = test::Matrix::random(200, 768, 1), b = test::Matrix::random(512, 768, 2);
  const auto run = [&](const Backend& backend, int64_t m) {
    test::Matrix c(m, 512);
    Arena counting;
    Context ctx{.arena = &counting, .planning = true};
    backend.attach(ctx, test::compute_type());
    const Gemm product{.a = a.view().row_range(0, m), .b = b.view(), .c = c.view()};
    gemm(ctx, product);
    const test::Slab slab(counting.high_water());
    Arena arena(slab.data(), counting.high_water());
    ctx.arena = &arena;
    ctx.planning = false;
    gemm(ctx, product);
    cuda::synchronize(ctx.stream);
    return c.bits();
  };
  const auto open = [](bool deterministic) {
    Backend backend(test::device(), false);
    backend.set_deterministic(deterministic);
    return backend;
  };
  Context ctx;
  const Backend first = open(false);
  first.attach(ctx, test::compute_type());
  CHECK(first.adopt_choices(ctx, "").find("they were made by \"\"") == 0);
  const auto bits = run(first, 200);
  const std::string text = first.choices();
  CHECK(std::count(text.begin(), text.end(), '\n') == 2);
  // From here on new shapes are not timed: another run that has the text chooses alike.
  const auto later = run(first, 33);

  const Backend second = open(false);
  second.attach(ctx, test::compute_type());
  CHECK(second.adopt_choices(ctx, text) == "");
  CHECK(second.choices() == text);
  CHECK(run(second, 200) == bits);
  CHECK(run(second, 33) == later);
  CHECK(second.choices() == first.choices());

  const Backend untimed = open(true);
  untimed.attach(ctx, test::compute_type());
  CHECK(untimed.adopt_choices(ctx, text).find("they were made by") == 0);
  run(untimed, 200);
  const std::string of_untimed = untimed.choices();
  CHECK(std::count(of_untimed.begin(), of_untimed.end(), '\n') == 1);
  CHECK(untimed.adopt_choices(ctx, of_untimed) == "");
  CHECK(second.adopt_choices(ctx, of_untimed).find("they were made by") == 0);
}

}  // namespace qe
