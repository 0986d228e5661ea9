// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/side_files.h"

#include <algorithm>
#include <span>
#include <utility>

#include "formats/mapped_file.h"
#include "kernels/core/error.h"

namespace qe {
namespace {

using F = TokenizerFamily;
using NamedFamily = std::pair<const char*, TokenizerFamily>;

// Tokenizer classes, without "Fast".
constexpr std::array kClasses = {NamedFamily{"BertTokenizer", F::kBert},
                                 NamedFamily{"DistilBertTokenizer", F::kBert},
                                 NamedFamily{"ElectraTokenizer", F::kBert},
                                 NamedFamily{"MobileBertTokenizer", F::kBert},
                                 NamedFamily{"ConvBertTokenizer", F::kBert},
                                 NamedFamily{"SqueezeBertTokenizer", F::kBert},
                                 NamedFamily{"LayoutLMTokenizer", F::kBert},
                                 NamedFamily{"MPNetTokenizer", F::kMpnet},
                                 NamedFamily{"EsmTokenizer", F::kEsm},
                                 NamedFamily{"RobertaTokenizer", F::kRoberta},
                                 NamedFamily{"LongformerTokenizer", F::kRoberta},
                                 NamedFamily{"DebertaTokenizer", F::kDeberta},
                                 NamedFamily{"XLMRobertaTokenizer", F::kXlmRoberta},
                                 NamedFamily{"CamembertTokenizer", F::kCamembert},
                                 NamedFamily{"AlbertTokenizer", F::kAlbert},
                                 NamedFamily{"DebertaV2Tokenizer", F::kDebertaV2}};
// Classes that say nothing about the tokenizer.
constexpr std::array kGenericClasses = {"PreTrainedTokenizer", "TokenizersBackend"};

// Model types of config.json.
constexpr std::array kModelTypes = {
    NamedFamily{"bert", F::kBert},
    NamedFamily{"distilbert", F::kBert},
    NamedFamily{"electra", F::kBert},
    NamedFamily{"mobilebert", F::kBert},
    NamedFamily{"convbert", F::kBert},
    NamedFamily{"squeezebert", F::kBert},
    NamedFamily{"layoutlm", F::kBert},
    NamedFamily{"megatron-bert", F::kBert},
    NamedFamily{"nomic_bert", F::kBert},
    NamedFamily{"mpnet", F::kMpnet},
    NamedFamily{"esm", F::kEsm},
    NamedFamily{"roberta", F::kRoberta},
    NamedFamily{"roberta-prelayernorm", F::kRoberta},
    NamedFamily{"data2vec-text", F::kRoberta},
    NamedFamily{"longformer", F::kRoberta},
    NamedFamily{"deberta", F::kDeberta},
    NamedFamily{"xlm-roberta", F::kXlmRoberta},
    NamedFamily{"xlm-roberta-xl", F::kXlmRoberta},
    NamedFamily{"xmod", F::kXlmRoberta},
    NamedFamily{"camembert", F::kCamembert},
    NamedFamily{"albert", F::kAlbert},
    NamedFamily{"deberta-v2", F::kDebertaV2},
};

std::optional<TokenizerFamily> find_family(std::span<const NamedFamily> table,
                                           const std::string& name) {
  for (const auto& [known, family] : table) {
    if (name == known) return family;
  }
  return std::nullopt;
}

constexpr RoleNames kBertRoles = {nullptr, nullptr, "[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"};
constexpr RoleNames kRobertaRoles = {"<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"};
constexpr RoleNames kMpnetRoles = {"<s>", "</s>", "[UNK]", "</s>", "<pad>", "<s>", "<mask>"};
constexpr RoleNames kEsmRoles = {nullptr, "<eos>", "<unk>", nullptr, "<pad>", "<cls>", "<mask>"};
constexpr RoleNames kAlbertRoles = {"[CLS]", "[SEP]", "<unk>", "[SEP]", "<pad>", "[CLS]", "[MASK]"};
constexpr RoleNames kDebertaRoles = {"[CLS]", "[SEP]", "[UNK]", "[SEP]",
                                     "[PAD]", "[CLS]", "[MASK]"};

Json parse_if_exists(const std::string& path) {
  if (!file_exists(path)) return {};
  Json json = Json::parse_file(path);
  QE_CHECK(json.is_object(), path, ": expected a JSON object");
  return json;
}

}  // namespace

const Json* find_value(const Json& json, std::string_view key) {
  const Json* member = json.is_object() ? json.find(key) : nullptr;
  return member == nullptr || member->is_null() ? nullptr : member;
}

std::optional<bool> find_switch(const SideFiles& side, std::string_view key) {
  const Json* value = find_value(side.config, key);
  return value == nullptr ? std::nullopt : std::optional(value->as_bool());
}

SideFiles SideFiles::read(const std::string& folder) {
  SideFiles files;
  files.config = parse_if_exists(folder + "/tokenizer_config.json");
  files.model = parse_if_exists(folder + "/config.json");
  if (find_value(files.config, "added_tokens_decoder") == nullptr) {
    files.roles = parse_if_exists(folder + "/special_tokens_map.json");
    files.added = parse_if_exists(folder + "/added_tokens.json");
  }
  for (const Json* config : {&files.config, &files.model}) {
    const Json* name = find_value(*config, "tokenizer_class");
    if (name == nullptr) continue;
    files.tokenizer_class = name->as_string();
    if (files.tokenizer_class.ends_with("Fast")) {
      files.tokenizer_class.resize(files.tokenizer_class.size() - 4);
    }
    break;
  }
  if (const Json* type = find_value(files.model, "model_type")) {
    files.model_type = type->as_string();
  }
  return files;
}

bool SideFiles::is_generic() const {
  return tokenizer_class.empty() ||
         std::any_of(kGenericClasses.begin(), kGenericClasses.end(),
                     [&](const char* name) { return tokenizer_class == name; });
}

const FamilyTraits& traits_of(TokenizerFamily family) {
  static const std::array traits = {
      FamilyTraits{kBertRoles, false, "vocab.txt"},
      FamilyTraits{kMpnetRoles, true, "vocab.txt"},
      FamilyTraits{kEsmRoles, false, "vocab.txt"},
      FamilyTraits{kRobertaRoles, true, "vocab.json"},
      FamilyTraits{kDebertaRoles, true, "vocab.json"},
      FamilyTraits{kRobertaRoles, true, "sentencepiece.bpe.model"},
      FamilyTraits{kRobertaRoles, true, "sentencepiece.bpe.model"},
      FamilyTraits{kAlbertRoles, true, "spiece.model"},
      FamilyTraits{kDebertaRoles, false, "spm.model"},
      FamilyTraits{kRobertaRoles, false, "tokenizer.model"},
  };
  return traits[static_cast<size_t>(family)];
}

std::optional<TokenizerFamily> family_of(const SideFiles& side) {
  return side.is_generic() ? find_family(kModelTypes, side.model_type)
                           : find_family(kClasses, side.tokenizer_class);
}

std::optional<AddedToken> usual_role(TokenizerFamily family, size_t role) {
  const char* name = traits_of(family).roles[role];
  if (name == nullptr) return std::nullopt;
  AddedToken token;
  token.content = name;
  token.special = true;
  token.normalized = false;
  token.lstrip =
      static_cast<TokenRole>(role) == TokenRole::kMask && traits_of(family).mask_strips_left;
  return token;
}

std::optional<AddedToken> declared_role(const SideFiles& side, size_t role,
                                        std::optional<TokenizerFamily> family) {
  for (const Json* file : {&side.roles, &side.config}) {
    const Json* value = find_value(*file, kRoleNames[role]);
    if (value == nullptr) continue;
    AddedToken token = added_token_from_json(*value, /*special=*/true);
    token.special = true;
    if (value->is_string() && family) {
      token.lstrip =
          static_cast<TokenRole>(role) == TokenRole::kMask && traits_of(*family).mask_strips_left;
    }
    return token;
  }
  return std::nullopt;
}

}  // namespace qe
