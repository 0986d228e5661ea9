// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// The JSON file that describes a run.

#include "formats/lora_config.h"
#include "formats/run_config.h"
#include "tests/fuzz/support.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace qe;
  const std::string_view content(reinterpret_cast<const char*>(data), size);
  fuzz::succeeds([&] {
    const std::string path = fuzz::folder().write("run.json", content);
    lora_config_of(read_run_config(path, {{"seed", "1"}}));
  });
  return 0;
}
