// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Sentencepiece's precompiled character map, as the Hugging Face library applies it: a grapheme
// cluster of less than 6 bytes that begins with a key becomes, as a whole, what the shortest such
// key maps to; in other clusters each character by itself does.
//
// The map is one block: the size in bytes of a double-array trie, its 32-bit little-endian units,
// then texts that each end with a zero byte. A unit holds a label (bits 0-7 and 31), whether a key
// ends here (bit 8), and the offset of its children (bits 10-31, 8 bits further left if bit 9 is
// set); the unit where a key ends holds the place of its text.

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "formats/tokenizer/normalizer.h"

namespace qe {

class Precompiled final : public Normalizer {
 public:
  /// `where` names the map in errors: a map that is cut short, leads outside itself or is not
  /// UTF-8.
  Precompiled(std::string_view map, const std::string& where);
  void normalize(NormalizedText& text) const override;

 private:
  int32_t shortest_key(std::string_view text) const;

  std::vector<uint32_t> units_;
  std::string texts_;
  std::array<bool, 128> changes_ascii_{};  // by first byte
};

/// Decodes standard base64 with padding. `where` names it in errors.
std::string decode_base64(std::string_view text, const std::string& where);

}  // namespace qe
