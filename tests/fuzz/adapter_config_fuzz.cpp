// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// An adapter folder: adapter_config.json beside good weights of a rank, or beside weights that are
// hostile, too.

#include "formats/adapter.h"
#include "formats/safetensors.h"
#include "tests/fuzz/support.h"

namespace {

constexpr const char* kModules[] = {"bert.encoder.layer.3.attention.self.query",
                                    "bert.encoder.layer.11.output.dense",
                                    "cls.predictions.transform.dense"};

void write_good_weights(const std::string& path, int64_t r) {
  const std::vector<float> values(static_cast<size_t>(r) * 8, 0.5f);
  std::vector<qe::TensorToWrite> tensors;
  for (const std::string module : kModules) {
    const std::string begin = "base_model.model." + module;
    tensors.push_back({begin + ".lora_A.weight", qe::DType::kF32, {r, 8}, values.data()});
    tensors.push_back({begin + ".lora_B.weight", qe::DType::kF32, {8, r}, values.data()});
  }
  qe::write_safetensors(path, std::move(tensors));
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace qe;
  fuzz::Input input(data, size);
  const unsigned r = input.byte() % 17;
  const std::string_view content = input.part();
  fuzz::succeeds([&] {
    const AdapterConfig config = read_lora_config(Json::parse(content, "adapter_config.json"));
    const LoraTargets targets(config);
    for (const std::string module : kModules) {
      targets.matches(module);
      targets.scale(module);
      fuzz::require(targets.rank(module) > 0, "a rank of 0");
    }
  });
  fuzz::succeeds([&] {
    fuzz::folder().write("adapter_config.json", content);
    const std::string path = fuzz::folder().path() + "/adapter_model.safetensors";
    if (r > 0) {
      write_good_weights(path, r);
    } else {
      fuzz::folder().write("adapter_model.safetensors", input.rest());
    }
    const Adapter adapter = read_adapter(fuzz::folder().path());
    for (const AdapterPair& pair : adapter.pairs) {
      fuzz::require(pair.a.size() == static_cast<size_t>(pair.r * pair.in), "A of another size");
      fuzz::require(pair.b.size() == static_cast<size_t>(pair.r * pair.out), "B of another size");
    }
  });
  return 0;
}
