// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/tokenizer_files.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <map>

#include "formats/json.h"
#include "formats/quote.h"
#include "formats/tokenizer/bert_normalizer.h"
#include "formats/tokenizer/byte_level.h"
#include "formats/tokenizer/side_files.h"
#include "formats/tokenizer/vocab_files.h"
#include "kernels/core/error.h"

namespace qe {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxParts = 256;  // of a stage; every text and added token goes through all

constexpr std::array kFileNames = {"tokenizer.json",
                                   "tokenizer_config.json",
                                   "special_tokens_map.json",
                                   "added_tokens.json",
                                   "vocab.txt",
                                   "vocab.json",
                                   "merges.txt",
                                   "spiece.model",
                                   "spm.model",
                                   "sentencepiece.bpe.model",
                                   "tokenizer.model"};

/// BERT's switches in tokenizer_config.json replace those of the file.
std::unique_ptr<Normalizer> load_normalizer(const Json& json, const SideFiles& side) {
  const Json* type = find_value(json, "type");
  if (type == nullptr || type->as_string() != "BertNormalizer") return make_normalizer(json);
  BertNormalizer::Options options = BertNormalizer::options(json);
  apply_switches(options, side);
  return std::make_unique<BertNormalizer>(options);
}

/// A byte-level pre-tokenizer or RoBERTa's processing with the config's add_prefix_space and
/// trim_offsets in place of its own.
Json with_switches(const Json& json, std::string_view type_name, const SideFiles& side) {
  const Json* type = find_value(json, "type");
  if (!side.has_switches() || type == nullptr || type->as_string() != type_name) return json;
  Json changed = json;
  for (const char* name : {"add_prefix_space", "trim_offsets"}) {
    if (const auto flag = find_switch(side, name)) changed.set(name, *flag);
  }
  return changed;
}

bool is_token(const TokenizerParts& parts, int32_t id) {
  return parts.added.find(id) != nullptr || parts.model->vocab().token(id) != nullptr;
}

/// Adds a token whose file says it has id `expected` (at `where`).
void add_with_id(TokenizerParts& parts, const AddedToken& token, int64_t expected,
                 const std::string& where) {
  QE_CHECK(!token.content.empty(), where, ": an added token is empty");
  const int32_t id = parts.added.add(token, parts.model->vocab());
  QE_CHECK(id == expected, where, ": added token ", quote(token.content), " has id ", expected,
           " here, but ", id, " by the vocabulary and the added tokens before it");
}

/// A stage and the parts of its sequences.
size_t count_parts(const Json& json) {
  size_t n = 1;
  for (const char* key : {"normalizers", "pretokenizers", "processors", "decoders"}) {
    const Json* parts = find_value(json, key);
    if (parts == nullptr) continue;
    for (const Json& part : parts->items()) n += count_parts(part);
  }
  return n;
}

/// The member of that name, or null.
const Json& stage(const Json& json, std::string_view key) {
  static const Json null;
  const Json* member = json.find(key);
  if (member == nullptr) return null;
  const size_t n = count_parts(*member);
  QE_CHECK(n <= kMaxParts, member->where(), ": ", n, " parts, expected at most ", kMaxParts);
  return *member;
}

void load_tokenizer_json(TokenizerParts& parts, const std::string& path, const SideFiles& side) {
  const Json json = Json::parse_file(path);
  QE_CHECK(json.is_object(), path, ": expected a JSON object");
  if (const Json* version = find_value(json, "version")) {
    QE_CHECK(version->as_string() == "1.0", version->where(), ": expected version 1.0, got ",
             quote(version->as_string()));
  }
  parts.model = make_model(json.at("model"));
  parts.normalizer = load_normalizer(stage(json, "normalizer"), side);
  parts.pretokenizer =
      make_pretokenizer(with_switches(stage(json, "pre_tokenizer"), "ByteLevel", side));
  parts.decoder = make_decoder(stage(json, "decoder"));
  if (const Json* tokens = find_value(json, "added_tokens")) {
    for (const Json& item : tokens->items()) {
      add_with_id(parts, added_token_from_json(item), token_id_from_json(item.at("id")),
                  item.where());
    }
  }
  parts.post_processor = PostProcessor::from_json(
      with_switches(stage(json, "post_processor"), "RobertaProcessing", side),
      [&](int32_t id) { return is_token(parts, id); });
}

/// Tokens of tokenizer_config.json's added_tokens_decoder or of added_tokens.json, by id.
void add_side_tokens(TokenizerParts& parts, const SideFiles& side) {
  const auto is_declared = [&](const std::string& content) {
    for (size_t role = 0; role < kRoleCount; ++role) {
      const std::optional<AddedToken> token = declared_role(side, role, std::nullopt);
      if (token && token->content == content) return true;
    }
    return false;
  };
  std::map<int64_t, std::pair<AddedToken, std::string>> tokens;
  if (const Json* decoder = find_value(side.config, "added_tokens_decoder")) {
    for (const auto& [key, value] : decoder->members()) {
      int64_t id = -1;
      const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
      QE_CHECK(
          error == std::errc() && end == key.data() + key.size() && id >= 0 && id < Vocab::kMaxIds,
          decoder->where(), ": expected token ids as keys, got ", quote(key));
      tokens[id] = {added_token_from_json(value), value.where()};
    }
  }
  if (side.added.is_object()) {
    for (const auto& [content, value] : side.added.members()) {
      if (parts.added.id(content)) continue;
      AddedToken token;
      token.content = content;
      token.special = is_declared(content);
      token.normalized = !token.special;
      tokens[token_id_from_json(value)] = {token, value.where()};
    }
  }
  for (const auto& [id, item] : tokens) add_with_id(parts, item.first, id, item.second);
}

/// Adds the token if it is no added token yet; returns its id.
int32_t add_missing(TokenizerParts& parts, const AddedToken& token) {
  const std::optional<int32_t> id = parts.added.id(token.content);
  return id ? *id : parts.added.add(token, parts.model->vocab());
}

/// The role's token by convention, if the tokenizer has it.
std::optional<AddedToken> existing_role(const TokenizerParts& parts,
                                        std::optional<TokenizerFamily> family, size_t role) {
  const auto exists = [&](std::string_view content) {
    return parts.added.id(content) || parts.model->vocab().id(content);
  };
  if (static_cast<TokenRole>(role) == TokenRole::kUnk && exists(parts.model->unk_token())) {
    AddedToken token;
    token.content = parts.model->unk_token();
    token.special = true;
    token.normalized = false;
    return token;
  }
  for (const auto convention : {family.value_or(TokenizerFamily::kBert), TokenizerFamily::kBert,
                                TokenizerFamily::kRoberta}) {
    const std::optional<AddedToken> token = usual_role(convention, role);
    if (token && exists(token->content)) return token;
  }
  return std::nullopt;
}

/// With `keep_added`, tokens that have a role by convention only do not become added tokens.
void load_roles(TokenizerParts& parts, const SideFiles& side, std::optional<TokenizerFamily> family,
                bool keep_added) {
  for (size_t role = 0; role < kRoleCount; ++role) {
    std::optional<AddedToken> token = declared_role(side, role, family);
    if (token) {
      QE_CHECK(!token->content.empty(), side.config.where(), ": ", kRoleNames[role], " is empty");
      parts.role_ids[role] = add_missing(parts, *token);
    } else if (!keep_added && family == TokenizerFamily::kDebertaV2 &&
               static_cast<TokenRole>(role) == TokenRole::kMask) {
      // Not among the model's pieces: the first id after them.
      parts.role_ids[role] = add_missing(parts, *usual_role(*family, role));
    } else if ((token = existing_role(parts, family, role))) {
      // What tokenizer.json does not cut out of the text stays part of it.
      const std::optional<int32_t> id = parts.model->vocab().id(token->content);
      parts.role_ids[role] = id && keep_added ? *id : add_missing(parts, *token);
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
      parts.special_ids.push_back(add_missing(parts, token));
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

TruncationSide read_truncation_side(const SideFiles& side) {
  const Json* value = find_value(side.config, "truncation_side");
  if (value == nullptr || value->as_string() == "right") return TruncationSide::kRight;
  QE_CHECK(value->as_string() == "left", value->where(), ": expected left or right, got ",
           quote(value->as_string()));
  return TruncationSide::kLeft;
}

}  // namespace

TokenizerParts load_tokenizer_parts(const std::string& folder) {
  const fs::path base(folder);
  QE_CHECK(fs::is_directory(base), folder, ": expected a folder with a tokenizer");
  TokenizerParts parts;
  for (const char* name : kFileNames) {
    if (fs::exists(base / name)) parts.files.push_back(fs::absolute(base / name).string());
  }
  const SideFiles side = SideFiles::read(folder);
  if (fs::exists(base / "tokenizer.json")) {
    load_tokenizer_json(parts, (base / "tokenizer.json").string(), side);
    add_side_tokens(parts, side);
    load_roles(parts, side, family_of(side), /*keep_added=*/true);
  } else {
    const LoadedVocab loaded = load_vocab_files(parts, folder, side);
    add_side_tokens(parts, side);
    load_roles(parts, side, loaded.family, /*keep_added=*/false);
    for (const AddedToken& token : loaded.added) add_missing(parts, token);
  }
  parts.added.finish(parts.normalizer.get());
  parts.model_max_length = read_model_max_length(side);
  parts.truncation_side = read_truncation_side(side);
  if (const Json* flag = find_value(side.config, "clean_up_tokenization_spaces")) {
    parts.clean_up_tokenization_spaces = flag->as_bool();
  }
  return parts;
}

}  // namespace qe
