// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// What A and B were when they were taken out of the base: kept as long as the adapter is trained,
// so that it can be written for the base as it was, as [A; A0] and [B, -B0].

#include <map>
#include <span>
#include <string>

#include "engine/memory/memory.h"
#include "engine/model/lora_init.h"
#include "formats/adapter.h"

namespace qe {

class InitialValues {
 public:
  /// Room for a pair's values. Memory row: "LoRA initial values", on the host.
  void add(const std::string& module, int64_t r, int64_t in, int64_t out, Memory& memory);
  bool empty() const { return pairs_.empty(); }

  /// Throws Error when a pair's are not given.
  void keep(const GivenFactors& given);
  /// Adds them to a view of the pair's present values.
  void show(AdapterPairView& view) const;
  /// The present values of an adapter that was written with both. Throws Error, naming folder and
  /// module, when it has others as the initial ones.
  Adapter separated(Adapter written, const std::string& folder) const;

 private:
  struct Pair {
    int64_t r = 0, in = 0, out = 0;
    std::span<float> a, b;
  };
  std::map<std::string, Pair> pairs_;
};

}  // namespace qe
