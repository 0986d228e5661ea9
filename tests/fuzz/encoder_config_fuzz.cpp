// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// A config.json, as the family that it names or as any other, with names of tensors; what is
// accepted is planned as a model.

#include "engine/memory/memory.h"
#include "engine/model/weight_loader.h"
#include "tests/fuzz/support.h"

namespace {

// Every size can be computed, and no table is made of what a file merely says.
void plan(const qe::EncoderConfig& config) {
  using namespace qe;
  fuzz::require(config.max_length() >= 1, "no position");
  fuzz::require(config.n_heads * config.head_dim > 0, "no head");
  static ThreadPool threads(1);
  const Context ctx{.threads = &threads, .planning = true};
  for (const int64_t bits : {4, 32}) {
    Memory memory(true);
    const MaskedLm model = random_masked_lm(config, 1, {.bits = bits}, ctx, memory);
    fuzz::require(model.n_parameters > 0, "a model without parameters");
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace qe;
  fuzz::Input input(data, size);
  const size_t chosen = input.byte();
  const std::string_view content = input.part();
  const std::string name(input.part());
  const bool by_name = chosen >= families().size();
  if (!by_name) fuzz::succeeds([&] { plan(families()[chosen].read(Json::parse(content, "c"))); });
  fuzz::succeeds([&] {
    fuzz::folder().write("config.json", content);
    const EncoderConfig config = read_encoder_config(fuzz::folder().path());
    if (by_name) plan(config);
  });
  for (const Family& family : families()) {
    const std::string canonical = family.canonical_name(name);
    fuzz::require(canonical.size() <= name.size() + 200, "a name that grows");
    split_name(canonical);
  }
  return 0;
}
