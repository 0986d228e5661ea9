// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// What a tokenizer consists of once its files are read.

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "formats/tokenizer/added_tokens.h"
#include "formats/tokenizer/decoder.h"
#include "formats/tokenizer/model.h"
#include "formats/tokenizer/normalizer.h"
#include "formats/tokenizer/post_processor.h"
#include "formats/tokenizer/pretokenizer.h"
#include "formats/tokenizer/truncation.h"

namespace qe {

/// The tokens that have a role, in the order of kRoleNames.
enum class TokenRole { kBos, kEos, kUnk, kSep, kPad, kCls, kMask };
inline constexpr std::array kRoleNames = {"bos_token", "eos_token", "unk_token", "sep_token",
                                          "pad_token", "cls_token", "mask_token"};
inline constexpr size_t kRoleCount = kRoleNames.size();

/// Everything a tokenizer consists of.
struct TokenizerParts {
  std::unique_ptr<Normalizer> normalizer;      ///< null: none
  std::unique_ptr<PreTokenizer> pretokenizer;  ///< null: none
  std::unique_ptr<Model> model;
  AddedVocab added;
  PostProcessor post_processor;
  std::unique_ptr<Decoder> decoder;

  std::array<std::optional<int32_t>, kRoleCount> role_ids;
  std::vector<int32_t> special_ids;  ///< sorted: the roles' and the additional special tokens
  int64_t model_max_length = 0;      ///< 0: unset
  TruncationSide truncation_side = TruncationSide::kRight;
  bool clean_up_tokenization_spaces = false;
  std::vector<std::string> files;  ///< those that exist, absolute
};

}  // namespace qe
