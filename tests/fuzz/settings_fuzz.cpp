// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// The JSON files that describe a run, a model and an adapter.

#include "formats/adapter.h"
#include "formats/encoder_config.h"
#include "formats/run_config.h"
#include "tests/fuzz/support.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace qe;
  fuzz::Input input(data, size);
  const unsigned kind = input.byte() % 3;
  const std::string_view content = input.part();
  fuzz::succeeds([&] {
    if (kind == 0) {
      const std::string path = fuzz::folder().write("run.json", content);
      lora_config_of(read_run_config(path, {{"seed", "1"}}));
    } else if (kind == 1) {
      fuzz::folder().write("config.json", content);
      read_encoder_config(fuzz::folder().path());
    } else {
      fuzz::folder().write("adapter_config.json", content);
      fuzz::folder().write("adapter_model.safetensors", input.rest());
      const AdapterConfig config = read_lora_config(Json::parse(content, "adapter_config.json"));
      const LoraTargets targets(config);
      targets.matches("bert.encoder.layer.3.attention.self.query");
      targets.rank("bert.encoder.layer.3.attention.self.query");
      read_adapter(fuzz::folder().path());
    }
  });
  return 0;
}
