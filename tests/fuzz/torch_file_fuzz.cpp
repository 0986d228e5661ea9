// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// A file of torch.save: as it is, or a pickle that gets its archive (two storages of what follows
// it) or its legacy file.

#include "formats/torch_file.h"
#include "tests/fuzz/support.h"
#include "tests/support/torch_writer.h"

namespace {

std::string content_of(unsigned kind, qe::fuzz::Input& input) {
  if (kind == 0) return std::string(input.rest());
  std::string pickle(input.part());
  if (kind == 1) {
    const std::string_view rest = input.rest();
    const size_t half = rest.size() / 2;
    return qe::test::zip_of(qe::test::torch_entries(
        pickle, {std::string(rest.substr(0, half)), std::string(rest.substr(half))}));
  }
  using namespace std::string_literals;
  const std::string head =
      "\x80\x02\x8a\nl\xfc\x9c\x46\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}."s;
  return head + pickle + std::string(input.rest());
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace qe;
  fuzz::Input input(data, size);
  const std::string content = content_of(input.byte() % 3, input);
  const std::string path = fuzz::folder().write("pytorch_model.bin", content);
  fuzz::succeeds([&] {
    const TorchFile file(path);
    for (const auto& entry : file.tensors()) {
      const StoredTensor& tensor = entry.second;
      int64_t n_bytes = 0;
      fuzz::require(size_of(tensor.shape, tensor.dtype, &n_bytes), "a size that overflows");
      fuzz::require(static_cast<size_t>(n_bytes) == tensor.bytes.size(),
                    "a tensor of another size");
      fuzz::require(tensor.bytes.size() <= content.size(), "more bytes than the file has");
      // Every byte is there to be read.
      unsigned sum = 0;
      for (const std::byte byte : tensor.bytes) sum += static_cast<unsigned>(byte);
      fuzz::require(sum <= 255 * tensor.bytes.size(), "an impossible sum");
      fuzz::succeeds([&] { tensor.to_f32(); });
    }
  });
  return 0;
}
