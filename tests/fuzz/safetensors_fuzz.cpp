// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// A safetensors file, and the 4-bit weights it may hold. Half of the inputs are a header alone: its
// length is put before it.

#include <cstring>

#include "formats/quant4_file.h"
#include "formats/safetensors.h"
#include "tests/fuzz/support.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace qe;
  fuzz::Input input(data, size);
  const bool header_alone = input.byte() & 1;
  std::string content(input.rest());
  if (header_alone) {
    const std::string_view header = input.part();
    const uint64_t length = header.size();
    content.resize(sizeof length);
    std::memcpy(content.data(), &length, sizeof length);
    content += header;
    content += input.rest();
  }
  const std::string path = fuzz::folder().write("model.safetensors", content);
  fuzz::succeeds([&] {
    const SafetensorsFile file(path);
    const auto find = [&](const std::string& name) -> const StoredTensor* {
      const auto at = file.tensors().find(name);
      return at == file.tensors().end() ? nullptr : &at->second;
    };
    unsigned sum = 0;
    for (const auto& entry : file.tensors()) {
      const StoredTensor& tensor = entry.second;
      for (const std::byte byte : tensor.bytes) sum += static_cast<unsigned>(byte);
      fuzz::succeeds([&] { tensor.to_f32(); });
      fuzz::succeeds([&] {
        const std::optional<StoredQuant4> quant = find_quant4(find, tensor.name);
        if (!quant) return;
        for (const auto& part : {quant->codes, quant->absmax, quant->absmax_u8,
                                 quant->nested_absmax, quant->nested_map}) {
          for (const std::byte byte : part) sum += static_cast<unsigned>(byte);
        }
      });
    }
    fuzz::require(sum <= 5 * 255 * content.size(), "more bytes than the file has");
  });
  return 0;
}
