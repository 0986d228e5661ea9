// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Sentencepiece's model files: a protobuf message of pieces, training settings (of which few
// matter) and a normalizer. Fields that are not listed here are skipped.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace qe {

struct SentencepieceModel {
  enum class PieceType { kNormal = 1, kUnknown, kControl, kUserDefined, kUnused, kByte };
  struct Piece {
    std::string text;
    float score = 0;
    PieceType type = PieceType::kNormal;
  };
  enum class ModelType { kUnigram = 1, kBpe, kWord, kChar };

  std::vector<Piece> pieces;  ///< by id
  // trainer_spec
  ModelType model_type = ModelType::kUnigram;
  bool byte_fallback = false;
  int32_t unk_id = 0;
  std::string unk_piece = "<unk>";
  // normalizer_spec
  std::string precompiled_charsmap;  ///< "": none
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  bool escape_whitespaces = true;

  /// Parses a file's bytes. `name` stands for the file in errors: a field that is cut short or has
  /// the wrong wire type, no pieces or too many, an unknown id outside of them, pieces that are not
  /// UTF-8, scores that are not finite, types that do not exist.
  static SentencepieceModel parse(std::string_view bytes, const std::string& name);
  /// Reads and parses a file of at most 256 MiB.
  static SentencepieceModel read(const std::string& path);
};

}  // namespace qe
