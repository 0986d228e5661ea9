// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The files beside a tokenizer's vocabulary, and what they say about it: its family, its special
// tokens, switches.

#include <optional>
#include <string>
#include <string_view>

#include "formats/json.h"
#include "formats/tokenizer/tokenizer_parts.h"

namespace qe {

/// The optional files beside the vocabulary; null where absent.
struct SideFiles {
  Json config;  ///< tokenizer_config.json
  Json roles;   ///< special_tokens_map.json; null when the config has added_tokens_decoder
  Json added;   ///< added_tokens.json; likewise
  Json model;   ///< config.json
  std::string tokenizer_class;  ///< of either config, without "Fast"; "" when unknown
  std::string model_type;       ///< "" when unknown

  static SideFiles read(const std::string& folder);
  /// No class, or one that says nothing about the tokenizer.
  bool is_generic() const;
  /// Whether switches in tokenizer_config.json count: generic classes do not know them.
  bool has_switches() const { return tokenizer_class.empty() || !is_generic(); }
};

/// The member of an object unless it is missing or null; else a null pointer.
const Json* find_value(const Json& json, std::string_view key);
/// The value of a switch in tokenizer_config.json.
std::optional<bool> find_switch(const SideFiles& side, std::string_view key);

/// Special tokens by role; null: none.
using RoleNames = std::array<const char*, kRoleCount>;

/// How tokenizers of one kind work that have no tokenizer.json.
enum class TokenizerFamily {
  kBert,
  kMpnet,
  kEsm,
  kRoberta,
  kDeberta,
  kXlmRoberta,
  kCamembert,
  kAlbert,
  kDebertaV2,
  kSentencepiece  ///< any other sentencepiece model
};
struct FamilyTraits {
  RoleNames roles;        ///< special tokens by convention
  bool mask_strips_left;  ///< the mask token takes the white space before it
  const char* file;       ///< the vocabulary's name
};
const FamilyTraits& traits_of(TokenizerFamily family);

/// By tokenizer class, else by model type; none for generic and unknown ones.
std::optional<TokenizerFamily> family_of(const SideFiles& side);

/// What the folder declares as a role's token. A bare string has the flags of the convention.
std::optional<AddedToken> declared_role(const SideFiles& side, size_t role,
                                        std::optional<TokenizerFamily> family);
/// A role's token by the family's convention.
std::optional<AddedToken> usual_role(TokenizerFamily family, size_t role);

}  // namespace qe
