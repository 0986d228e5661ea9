// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/train/optimizer.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "kernels/core/quant_codebook.h"
#include "kernels/ops/transfer.h"
#include "tests/support/golden.h"
#include "tests/support/op_context.h"

namespace qe {
namespace {

// Two Linears whose A have 32 * 200 = 6400 and 3072 values, and whose B 32 * 8 = 256 and 4096.
LoraAdapter make_adapter(Memory& memory) {
  AdapterConfig config;
  config.r = 32;
  config.target_modules = {"a", "b"};
  const AdaptedBase base{.sites = {{0, "a", 200, 8}, {1, "b", 96, 128}}, .n_linears = 2};
  LoraAdapter adapter(config, base, true, Context{}, memory);
  if (!memory.planning()) {
    adapter.initialize(3);
    test::Random random(4);
    for (float& g : adapter.gradients()) g = random.symmetric();
  }
  return adapter;
}

void step(const Optimizer& optimizer, int32_t step) {
  test::run_planned(2, StepState{.step = step, .learning_rate = 0.01f},
                    [&](Context& ctx) { optimizer.step(ctx); });
}

}  // namespace

TEST_CASE("optimizer: 8-bit states for matrices of 4096 values and more, fp32 for the others") {
  Memory memory(false);
  const LoraAdapter adapter = make_adapter(memory);
  const Optimizer optimizer({.name = "adamw_bnb_8bit"}, adapter, memory);
  const auto types = [&](int64_t begin) {
    std::vector<std::pair<std::string, int64_t>> found;
    for (const OptimizerState& s : optimizer.states(begin)) {
      CHECK((s.dtype == DType::kU8) ==
            (s.name.ends_with("avg") || s.name.ends_with("sq")) * (s.size >= 4096));
      found.push_back({s.name, s.size});
    }
    return found;
  };
  using States = std::vector<std::pair<std::string, int64_t>>;
  CHECK(types(0) == States{{"exp_avg", 6400},
                           {"exp_avg_scale", 25},
                           {"exp_avg_sq", 6400},
                           {"exp_avg_sq_scale", 25}});
  CHECK(types(6400) == States{{"exp_avg", 3072}, {"exp_avg_sq", 3072}});
  CHECK(types(9472) == States{{"exp_avg", 256}, {"exp_avg_sq", 256}});
  CHECK(types(9728) == States{{"exp_avg", 4096},
                              {"exp_avg_scale", 16},
                              {"exp_avg_sq", 4096},
                              {"exp_avg_sq_scale", 16}});
}

TEST_CASE(
    "optimizer: 8-bit states lead nearly where 32-bit ones lead, and small matrices exactly") {
  Memory memory(false);
  const LoraAdapter a = make_adapter(memory);
  const LoraAdapter b = make_adapter(memory);
  const Optimizer in_32({.name = "paged_adamw_32bit", .weight_decay = 0.01}, a, memory);
  const Optimizer in_8({.name = "paged_adamw_8bit", .weight_decay = 0.01}, b, memory);
  const std::vector<float> start(a.parameters().begin(), a.parameters().end());
  for (int32_t s = 0; s < 5; ++s) {
    step(in_32, s);
    step(in_8, s);
  }
  const auto part = [](const LoraAdapter& x, size_t begin, size_t n) {
    return x.parameters().subspan(begin, n);
  };
  CHECK(std::ranges::equal(part(a, 6400, 3328), part(b, 6400, 3328)));
  for (const auto& [begin, n] : {std::pair<size_t, size_t>{0, 6400}, {9728, 4096}}) {
    CHECK_FALSE(std::ranges::equal(part(a, begin, n), part(b, begin, n)));
    const double moved =
        test::relative_error(std::span(start).subspan(begin, n), part(a, begin, n));
    CHECK(test::relative_error(part(b, begin, n), part(a, begin, n)) < 0.05 * moved);
  }
}

TEST_CASE("optimizer: planned bytes are the requested ones, a quarter of fp32's") {
  for (const char* name : {"adamw_torch", "adamw_8bit", "paged_adamw_8bit"}) {
    Memory planning(true);
    const LoraAdapter planned = make_adapter(planning);
    const Optimizer plan({.name = name}, planned, planning);
    Memory memory(false);
    const LoraAdapter adapter = make_adapter(memory);
    const Optimizer optimizer({.name = name}, adapter, memory);
    REQUIRE(planning.rows().size() == memory.rows().size());
    for (size_t i = 0; i < memory.rows().size(); ++i) {
      CHECK(planning.rows()[i].name == memory.rows()[i].name);
      CHECK(planning.rows()[i].n_bytes == memory.rows()[i].n_bytes);
      CHECK(planning.rows()[i].kind == memory.rows()[i].kind);
    }
    const bool paged = std::string(name).starts_with("paged");
    const bool in_8bit = std::string(name).ends_with("8bit");
    const MemoryRow& row = memory.rows()[2];  // behind the adapter's
    CHECK(row.name == (paged ? "optimizer states (paged)" : "optimizer states"));
    CHECK(row.kind == (paged ? MemoryKind::kPaged : MemoryKind::kHost));
    // Of 8-bit states: 3328 values in fp32; 41 blocks of 512 code bytes and 2 scales.
    const size_t expected = in_8bit ? 3328 * 8 + 41 * (512 + 8) : 13824 * 8;
    CHECK(row.n_bytes >= expected);
    CHECK(row.n_bytes < expected + 6 * 256);
    REQUIRE(memory.rows().size() == (in_8bit ? 4 : 3));
    if (in_8bit) CHECK(memory.rows()[3].n_bytes == (41 * 16 + 63) / 64 * 64);
  }
}

// Chunks of a few blocks, also of one that ends inside a matrix, and of all.
DEVICE_TEST_CASE("optimizer: paged states give the bits of unpaged ones") {
  struct Found {
    std::vector<float> parameters;
    std::vector<char> states;
  };
  const auto run = [](const std::string& name, const PagingOptions& paging) {
    Context ctx;
    test::attach_device(ctx);
    Memory memory(ctx);
    AdapterConfig config;
    config.r = 32;
    config.target_modules = {"a", "b", "c"};
    const AdaptedBase base{.sites = {{0, "a", 200, 9}, {1, "b", 97, 128}, {2, "c", 131, 8}},
                           .n_linears = 3};
    LoraAdapter adapter(config, base, true, ctx, memory);
    adapter.initialize(3);
    const size_t n = adapter.parameters().size();
    std::vector<float> gradients(n);
    const Optimizer optimizer({.name = name, .weight_decay = 0.01, .paging = paging}, adapter,
                              memory);
    test::Random random(4);
    for (int32_t s = 0; s < 4; ++s) {
      for (float& g : gradients) g = random.symmetric();
      copy_bytes(ctx, adapter.gradients().data(), gradients.data(), n * sizeof(float));
      synchronize(ctx);
      step(optimizer, s);
    }
    Found found{std::vector<float>(n), {}};
    copy_bytes(ctx, found.parameters.data(), adapter.parameters().data(), n * sizeof(float));
    synchronize(ctx);
    for (const LoraPair& pair : adapter.pairs()) {
      for (const Tensor& matrix : {pair.a, pair.b}) {
        for (const OptimizerState& state :
             optimizer.states(matrix.f32() - adapter.parameters().data())) {
          const size_t at = found.states.size();
          found.states.resize(at + static_cast<size_t>(state.size) * dtype_size(state.dtype));
          optimizer.read_state(state, &found.states[at]);
        }
      }
    }
    return found;
  };
  for (const std::string bits : {"32", "8"}) {
    const Found expected = run("adamw_bnb_" + bits + "bit", {});
    CHECK(std::ranges::any_of(expected.states, [](char c) { return c != 0; }));
    for (const PagedSpace space : {PagedSpace::kManaged, PagedSpace::kPinned}) {
      for (const int64_t chunk_bytes : {1000, 5000, 70000, 1 << 25}) {
        CAPTURE(chunk_bytes);
        const Found found =
            run("paged_adamw_" + bits + "bit", {.chunk_bytes = chunk_bytes, .space = space});
        CHECK(found.parameters == expected.parameters);
        CHECK(found.states == expected.states);
      }
    }
  }
}

TEST_CASE("adamw8: bitsandbytes' own steps, each from the states it stored before") {
  const SafetensorsFile golden(test::golden_path("settings/adamw8.safetensors"));
  const auto floats = [&](const std::string& name) { return test::golden_tensor(golden, name); };
  const auto codes = [&](const std::string& name) {
    const auto bytes = golden.tensors().at(name).bytes;
    std::vector<uint8_t> padded(3 * kAdamw8Block, 0);
    for (size_t i = 0; i < bytes.size(); ++i) padded[i] = static_cast<uint8_t>(bytes[i]);
    return padded;
  };
  const std::vector<float> theirs[2] = {floats("signed_map"), floats("unsigned_map")};
  for (int i = 0; i < 256; ++i) {
    CHECK(theirs[0][i] == doctest::Approx(kSignedDynamicMap.value[i]).epsilon(2.5e-7));
    CHECK(theirs[1][i] == doctest::Approx(kUnsignedDynamicMap.value[i]).epsilon(2.5e-7));
  }
  const std::vector<Adamw8Block> blocks = {{0, 256}, {256, 256}, {512, 88}};
  int n_equal = 0;
  for (int t = 1; t <= 4; ++t) {
    const std::string before = "." + std::to_string(t - 1);
    const std::string now = "." + std::to_string(t);
    std::vector<float> p = floats("p" + before);
    const std::vector<float> g = floats("g" + now);
    std::vector<uint8_t> m(3 * kAdamw8Block, 0), v = m;
    std::vector<float> m_scale(3, 0.0f), v_scale = m_scale;
    if (t > 1) {
      m = codes("m" + before);
      v = codes("v" + before);
      m_scale = floats("m_scale" + before);
      v_scale = floats("v_scale" + before);
    }
    test::run_planned(1, StepState{.step = t - 1, .learning_rate = 1e-2f}, [&](Context& ctx) {
      adamw8_step(ctx, {.parameters = p,
                        .gradients = g,
                        .blocks = blocks,
                        .exp_avg = m,
                        .exp_avg_sq = v,
                        .exp_avg_scale = m_scale,
                        .exp_avg_sq_scale = v_scale});
    });
    CAPTURE(t);
    CHECK(test::relative_error(p, floats("p" + now)) < 1e-6);
    CHECK(test::relative_error(m_scale, floats("m_scale" + now)) < 1e-6);
    CHECK(test::relative_error(v_scale, floats("v_scale" + now)) < 1e-6);
    const std::vector<uint8_t> their_m = codes("m" + now);
    const std::vector<uint8_t> their_v = codes("v" + now);
    for (size_t i = 0; i < 600; ++i) {
      const bool at_rest = m_scale[i / 256] == 0.0f;  // any code will do
      n_equal += (at_rest || m[i] == their_m[i]) + (at_rest || v[i] == their_v[i]);
    }
  }
  CHECK(n_equal == 2 * 4 * 600);  // none is so near a border that rounding decides
}

}  // namespace qe
