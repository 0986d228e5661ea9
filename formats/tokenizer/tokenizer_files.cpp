// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/tokenizer_files.h"

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "formats/json.h"
#include "formats/tokenizer/bert_normalizer.h"
#include "formats/tokenizer/wordpiece.h"
#include "kernels/core/error.h"

namespace qe {
namespace {

namespace fs = std::filesystem;

constexpr std::array kFileNames = {"tokenizer.json",
                                   "tokenizer_config.json",
                                   "special_tokens_map.json",
                                   "added_tokens.json",
                                   "vocab.txt",
                                   "vocab.json",
                                   "merges.txt",
                                   "spiece.model",
                                   "spm.model",
                                   "sentencepiece.bpe.model"};

// Tokenizer classes whose vocab.txt is BERT's, without "Fast".
constexpr std::array kBertClasses = {
    "BertTokenizer",       "DistilBertTokenizer", "ElectraTokenizer",
    "MobileBertTokenizer", "ConvBertTokenizer",   "SqueezeBertTokenizer",
    "LayoutLMTokenizer",   "PreTrainedTokenizer", "MPNetTokenizer"};
// Model types (config.json) whose vocab.txt is not BERT's.
constexpr std::array kOtherVocabTypes = {"esm", "roberta", "xlm-roberta", "camembert"};

// Special tokens by role, for folders that do not name theirs; null: none.
using RoleNames = std::array<const char*, kRoleCount>;
constexpr RoleNames kBertRoles = {nullptr, nullptr, "[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"};
constexpr RoleNames kRobertaRoles = {"<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"};
constexpr RoleNames kMpnetRoles = {"<s>", "</s>", "[UNK]", "</s>", "<pad>", "<s>", "<mask>"};

/// The optional files beside the vocabulary; null where absent.
struct SideFiles {
  Json config;  // tokenizer_config.json
  Json roles;   // special_tokens_map.json; null when the config has added_tokens_decoder
  Json added;   // added_tokens.json; likewise
  Json model;   // config.json
  std::string tokenizer_class;  // without "Fast"; "" when unknown
};

const Json* find_value(const Json& json, std::string_view key) {
  const Json* member = json.is_object() ? json.find(key) : nullptr;
  return member == nullptr || member->is_null() ? nullptr : member;
}

Json parse_if_exists(const fs::path& path) {
  if (!fs::exists(path)) return {};
  Json json = Json::parse_file(path.string());
  QE_CHECK(json.is_object(), path.string(), ": expected a JSON object");
  return json;
}

SideFiles read_side_files(const fs::path& folder) {
  SideFiles files;
  files.config = parse_if_exists(folder / "tokenizer_config.json");
  files.model = parse_if_exists(folder / "config.json");
  if (find_value(files.config, "added_tokens_decoder") == nullptr) {
    files.roles = parse_if_exists(folder / "special_tokens_map.json");
    files.added = parse_if_exists(folder / "added_tokens.json");
  }
  if (const Json* name = find_value(files.config, "tokenizer_class")) {
    files.tokenizer_class = name->as_string();
    if (files.tokenizer_class.ends_with("Fast")) {
      files.tokenizer_class.resize(files.tokenizer_class.size() - 4);
    }
  }
  return files;
}

std::string model_type(const SideFiles& side) {
  const Json* type = find_value(side.model, "model_type");
  return type == nullptr ? "" : type->as_string();
}

bool is_mpnet(const SideFiles& side) {
  return side.tokenizer_class.empty() ? model_type(side) == "mpnet"
                                      : side.tokenizer_class == "MPNetTokenizer";
}

/// What the folder says about a role's token.
std::optional<AddedToken> declared_role(const SideFiles& side, size_t role) {
  for (const Json* file : {&side.roles, &side.config}) {
    if (const Json* value = find_value(*file, kRoleNames[role])) {
      AddedToken token = added_token_from_json(*value, /*special=*/true);
      token.special = true;
      return token;
    }
  }
  return std::nullopt;
}

/// The switches that tokenizer_config.json names replace those of tokenizer.json, as in
/// transformers, except for classes that know no such switches.
void apply_config(BertNormalizer::Options& options, const SideFiles& side) {
  if (side.tokenizer_class == "PreTrainedTokenizer" ||
      side.tokenizer_class == "TokenizersBackend" || !side.config.is_object()) {
    return;
  }
  if (const Json* flag = find_value(side.config, "do_lower_case")) {
    options.lowercase = flag->as_bool();
  }
  if (const Json* flag = find_value(side.config, "tokenize_chinese_chars")) {
    options.handle_chinese_chars = flag->as_bool();
  }
  if (const Json* flag = side.config.find("strip_accents")) {
    options.strip_accents = flag->is_null() ? std::nullopt : std::optional(flag->as_bool());
  }
}

std::unique_ptr<Normalizer> load_normalizer(const Json& json, const SideFiles& side) {
  const Json* type = find_value(json, "type");
  if (type == nullptr || type->as_string() != "BertNormalizer") return make_normalizer(json);
  BertNormalizer::Options options = BertNormalizer::options(json);
  apply_config(options, side);
  return std::make_unique<BertNormalizer>(options);
}

bool is_token(const TokenizerParts& parts, int32_t id) {
  return parts.added.find(id) != nullptr || parts.model->vocab().token(id) != nullptr;
}

/// Adds a token whose file says it has id `expected` (at `where`).
void add_with_id(TokenizerParts& parts, const AddedToken& token, int64_t expected,
                 const std::string& where) {
  QE_CHECK(!token.content.empty(), where, ": an added token is empty");
  const int32_t id = parts.added.add(token, parts.model->vocab());
  QE_CHECK(id == expected, where, ": added token \"", token.content, "\" has id ", expected,
           " here, but ", id, " by the vocabulary and the added tokens before it");
}

const Json& member_or_null(const Json& json, std::string_view key) {
  static const Json null;
  const Json* member = json.find(key);
  return member == nullptr ? null : *member;
}

void load_tokenizer_json(TokenizerParts& parts, const std::string& path, const SideFiles& side) {
  const Json json = Json::parse_file(path);
  QE_CHECK(json.is_object(), path, ": expected a JSON object");
  if (const Json* version = find_value(json, "version")) {
    QE_CHECK(version->as_string() == "1.0", version->where(), ": expected version 1.0, got \"",
             version->as_string(), "\"");
  }
  parts.model = make_model(json.at("model"));
  parts.normalizer = load_normalizer(member_or_null(json, "normalizer"), side);
  parts.pretokenizer = make_pretokenizer(member_or_null(json, "pre_tokenizer"));
  parts.decoder = make_decoder(member_or_null(json, "decoder"));
  if (const Json* tokens = find_value(json, "added_tokens")) {
    for (const Json& item : tokens->items()) {
      add_with_id(parts, added_token_from_json(item), token_id_from_json(item.at("id")),
                  item.where());
    }
  }
  parts.post_processor = PostProcessor::from_json(member_or_null(json, "post_processor"),
                                                  [&](int32_t id) { return is_token(parts, id); });
}

void check_vocab_txt_class(const std::string& path, const SideFiles& side) {
  const auto is_class = [&](const char* name) { return side.tokenizer_class == name; };
  QE_CHECK(side.tokenizer_class.empty() ||
               std::any_of(kBertClasses.begin(), kBertClasses.end(), is_class),
           path, ": a vocabulary of tokenizer class ", side.tokenizer_class,
           " is not supported without tokenizer.json (expected BertTokenizer or a relative)");
  const std::string type = model_type(side);
  const auto is_type = [&](const char* name) { return type == name; };
  QE_CHECK(!side.tokenizer_class.empty() ||
               std::none_of(kOtherVocabTypes.begin(), kOtherVocabTypes.end(), is_type),
           path, ": a vocabulary of model type ", type, " is not supported without tokenizer.json");
}

/// BERT from its vocabulary alone; MPNet likewise with its own special tokens.
void load_vocab_txt(TokenizerParts& parts, const std::string& path, const SideFiles& side) {
  check_vocab_txt_class(path, side);
  const RoleNames& names = is_mpnet(side) ? kMpnetRoles : kBertRoles;
  const auto content = [&](TokenRole role) {
    const size_t at = static_cast<size_t>(role);
    const std::optional<AddedToken> declared = declared_role(side, at);
    return declared ? declared->content : std::string(names[at]);
  };
  WordPiece::Options model;
  model.unk_token = content(TokenRole::kUnk);
  parts.model = std::make_unique<WordPiece>(Vocab::from_lines(path), model, path);
  BertNormalizer::Options normalizer;
  apply_config(normalizer, side);
  parts.normalizer = std::make_unique<BertNormalizer>(normalizer);
  parts.pretokenizer = std::make_unique<BertPreTokenizer>();
  parts.decoder = std::make_unique<WordPieceDecoder>("##", true);

  const auto id = [&](TokenRole role) {
    const std::string token = content(role);
    const std::optional<int32_t> found = parts.model->vocab().id(token);
    QE_CHECK(found.has_value(), path, ": the ", kRoleNames[static_cast<size_t>(role)], " \"", token,
             "\" is not in the vocabulary");
    return *found;
  };
  const int32_t cls = id(TokenRole::kCls), sep = id(TokenRole::kSep);
  parts.post_processor = is_mpnet(side) ? PostProcessor::roberta(cls, sep, /*trim_offsets=*/true,
                                                                 /*add_prefix_space=*/false)
                                        : PostProcessor::bert(cls, sep);
}

/// Tokens of tokenizer_config.json's added_tokens_decoder or of added_tokens.json, by id.
void add_side_tokens(TokenizerParts& parts, const SideFiles& side) {
  std::map<int64_t, std::pair<AddedToken, std::string>> tokens;
  if (const Json* decoder = find_value(side.config, "added_tokens_decoder")) {
    for (const auto& [key, value] : decoder->members()) {
      int64_t id = -1;
      const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
      QE_CHECK(
          error == std::errc() && end == key.data() + key.size() && id >= 0 && id < Vocab::kMaxIds,
          decoder->where(), ": expected token ids as keys, got \"", key, "\"");
      tokens[id] = {added_token_from_json(value), value.where()};
    }
  }
  if (side.added.is_object()) {
    for (const auto& [content, value] : side.added.members()) {
      if (parts.added.id(content)) continue;
      AddedToken token;
      token.content = content;
      tokens[token_id_from_json(value)] = {token, value.where()};
    }
  }
  for (const auto& [id, item] : tokens) add_with_id(parts, item.first, id, item.second);
}

/// Makes the token a special added one if it is no added token yet; returns its id.
int32_t add_special(TokenizerParts& parts, const AddedToken& token) {
  const std::optional<int32_t> id = parts.added.id(token.content);
  return id ? *id : parts.added.add(token, parts.model->vocab());
}

/// The role's token by convention, if the tokenizer has it.
std::optional<AddedToken> usual_role(const TokenizerParts& parts, const SideFiles& side,
                                     TokenRole role) {
  AddedToken token;
  token.special = true;
  token.normalized = false;
  const auto exists = [&](std::string_view content) {
    token.content = content;
    return parts.added.id(content) || parts.model->vocab().id(content);
  };
  if (role == TokenRole::kUnk)
    return exists(parts.model->unk_token()) ? std::optional(token) : std::nullopt;
  for (const RoleNames& names : {is_mpnet(side) ? kMpnetRoles : kBertRoles, kRobertaRoles}) {
    const char* name = names[static_cast<size_t>(role)];
    if (name == nullptr || !exists(name)) continue;
    token.lstrip = role == TokenRole::kMask && is_mpnet(side);
    return token;
  }
  return std::nullopt;
}

/// With `keep_added`, tokens that have a role by convention only do not become added tokens.
void load_roles(TokenizerParts& parts, const SideFiles& side, bool keep_added) {
  for (size_t role = 0; role < kRoleCount; ++role) {
    std::optional<AddedToken> token = declared_role(side, role);
    if (token) {
      QE_CHECK(!token->content.empty(), side.config.where(), ": ", kRoleNames[role], " is empty");
      parts.role_ids[role] = add_special(parts, *token);
    } else if ((token = usual_role(parts, side, static_cast<TokenRole>(role)))) {
      // What tokenizer.json does not cut out of the text stays part of it.
      const std::optional<int32_t> id = parts.model->vocab().id(token->content);
      parts.role_ids[role] = id && keep_added ? *id : add_special(parts, *token);
    } else {
      continue;
    }
    parts.special_ids.push_back(*parts.role_ids[role]);
  }
  for (const char* key : {"additional_special_tokens", "extra_special_tokens"}) {
    const Json* list = find_value(side.roles, key);
    if (list == nullptr) list = find_value(side.config, key);
    if (list == nullptr) continue;
    std::vector<const Json*> values;  // a list, or {"name": token}
    if (list->is_object()) {
      for (const auto& [name, value] : list->members()) values.push_back(&value);
    } else {
      for (const Json& value : list->items()) values.push_back(&value);
    }
    for (const Json* value : values) {
      AddedToken token = added_token_from_json(*value, /*special=*/true);
      token.special = true;
      QE_CHECK(!token.content.empty(), value->where(), ": the token is empty");
      parts.special_ids.push_back(add_special(parts, token));
    }
  }
  std::sort(parts.special_ids.begin(), parts.special_ids.end());
}

int64_t read_model_max_length(const SideFiles& side) {
  constexpr double kUnset = 1e20;  // "no limit" is written as 1e30
  const Json* value = find_value(side.config, "model_max_length");
  if (value == nullptr || value->as_double() > kUnset) return 0;
  const int64_t length = value->as_int();
  QE_CHECK(length > 0, value->where(), ": expected a positive length, got ", length);
  return length;
}

}  // namespace

TokenizerParts load_tokenizer_parts(const std::string& folder) {
  const fs::path base(folder);
  QE_CHECK(fs::is_directory(base), folder, ": expected a folder with a tokenizer");
  TokenizerParts parts;
  for (const char* name : kFileNames) {
    if (fs::exists(base / name)) parts.files.push_back(fs::absolute(base / name).string());
  }
  const SideFiles side = read_side_files(base);
  const bool has_json = fs::exists(base / "tokenizer.json");
  if (has_json) {
    load_tokenizer_json(parts, (base / "tokenizer.json").string(), side);
  } else if (fs::exists(base / "vocab.txt")) {
    load_vocab_txt(parts, (base / "vocab.txt").string(), side);
  } else {
    fail(folder, ": found neither tokenizer.json nor vocab.txt");
  }
  add_side_tokens(parts, side);
  load_roles(parts, side, has_json);
  parts.added.finish(parts.normalizer.get());
  parts.model_max_length = read_model_max_length(side);
  if (const Json* flag = find_value(side.config, "clean_up_tokenization_spaces")) {
    parts.clean_up_tokenization_spaces = flag->as_bool();
  }
  return parts;
}

}  // namespace qe
