// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/decoder.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "formats/quote.h"
#include "formats/tokenizer/byte_level.h"
#include "formats/tokenizer/metaspace.h"
#include "formats/tokenizer/normalized_text.h"
#include "formats/tokenizer/replace.h"
#include "formats/utf8.h"
#include "kernels/core/error.h"

namespace qe {
namespace {

struct Replacement {
  std::string_view from, to;
};
// Applied one after the other. The decoder of the `tokenizers` library has one rule more than
// transformers' own function, in this place.
constexpr std::array<Replacement, 7> kCleanupBefore = {{{" .", "."},
                                                        {" ?", "?"},
                                                        {" !", "!"},
                                                        {" ,", ","},
                                                        {" ' ", "'"},
                                                        {" n't", "n't"},
                                                        {" 'm", "'m"}}};
constexpr Replacement kDoNot = {" do not", " don't"};
constexpr std::array<Replacement, 3> kCleanupAfter = {
    {{" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}}};

void replace_all(std::string& text, const Replacement& rule) {
  size_t at = text.find(rule.from);
  if (at == std::string::npos) return;
  std::string out;
  size_t done = 0;
  for (; at != std::string::npos; at = text.find(rule.from, done)) {
    out.append(text, done, at - done);
    out.append(rule.to);
    done = at + rule.from.size();
  }
  out.append(text, done);
  text.swap(out);
}

constexpr const char* kTooLong = "the tokenizer's rules make the decoded text too long: more than ";

size_t bytes_of(const std::vector<std::string>& tokens) {
  size_t n = 0;
  for (const std::string& token : tokens) n += token.size();
  return n;
}

/// The cleanup of the `tokenizers` library.
void clean_up_token(std::string& token) {
  for (const Replacement& rule : kCleanupBefore) replace_all(token, rule);
  replace_all(token, kDoNot);
  for (const Replacement& rule : kCleanupAfter) replace_all(token, rule);
}

class SpaceDecoder final : public Decoder {
 public:
  void apply(std::vector<std::string>& tokens, size_t) const override {
    for (size_t k = 1; k < tokens.size(); ++k) tokens[k].insert(0, " ");
  }
};

class DecoderSequence final : public Decoder {
 public:
  explicit DecoderSequence(std::vector<std::unique_ptr<Decoder>> parts)
      : parts_(std::move(parts)) {}
  void apply(std::vector<std::string>& tokens, size_t max_bytes) const override {
    for (const auto& part : parts_) {
      part->apply(tokens, max_bytes);
      QE_CHECK(bytes_of(tokens) <= max_bytes, kTooLong, max_bytes, " bytes");
    }
  }

 private:
  std::vector<std::unique_ptr<Decoder>> parts_;
};

/// Characters that stand for bytes become these bytes; a token with others stays as it is.
class ByteLevelDecoder final : public Decoder {
 public:
  void apply(std::vector<std::string>& tokens, size_t) const override {
    std::string bytes, token_bytes;
    for (const std::string& token : tokens) {
      token_bytes.clear();
      bool all = true;
      for (size_t i = 0; all && i < token.size();) {
        const std::optional<unsigned char> byte = byte_of_char(next_code_point(token, i));
        all = byte.has_value();
        if (all) token_bytes += static_cast<char>(*byte);
      }
      bytes += all ? token_bytes : token;
    }
    int64_t n_replaced = 0;
    tokens.assign(1, replace_invalid_utf8(bytes, n_replaced));
  }
};

class MetaspaceDecoder final : public Decoder {
 public:
  explicit MetaspaceDecoder(Metaspace::Options options) : options_(std::move(options)) {}
  void apply(std::vector<std::string>& tokens, size_t) const override {
    for (size_t k = 0; k < tokens.size(); ++k) {
      const bool drops = k == 0 && options_.prepend != Metaspace::Prepend::kNever;
      replace_all(tokens[k], {options_.replacement, drops ? "" : " "});
    }
  }

 private:
  Metaspace::Options options_;
};

/// The suffix of a word's last token becomes a space, except in the last token.
class BpeDecoder final : public Decoder {
 public:
  explicit BpeDecoder(std::string suffix) : suffix_(std::move(suffix)) {}
  void apply(std::vector<std::string>& tokens, size_t) const override {
    for (size_t k = 0; k < tokens.size() && !suffix_.empty(); ++k) {
      replace_all(tokens[k], {suffix_, k + 1 == tokens.size() ? "" : " "});
    }
  }

 private:
  std::string suffix_;
};

class ReplaceDecoder final : public Decoder {
 public:
  explicit ReplaceDecoder(Replace replace) : replace_(std::move(replace)) {}
  void apply(std::vector<std::string>& tokens, size_t max_bytes) const override {
    size_t room = max_bytes;
    for (std::string& token : tokens) {
      token = replace_.replaced(token, room);
      room -= token.size();
    }
  }

 private:
  Replace replace_;
};

/// Runs of "<0x41>" become the text of these bytes, or a U+FFFD for each of them.
class ByteFallbackDecoder final : public Decoder {
 public:
  void apply(std::vector<std::string>& tokens, size_t) const override {
    std::vector<std::string> out;
    std::string bytes;
    const auto flush = [&] {
      if (bytes.empty()) return;
      if (valid_utf8_prefix_length(bytes) == bytes.size()) {
        out.push_back(bytes);
      } else {
        out.insert(out.end(), bytes.size(), "\uFFFD");
      }
      bytes.clear();
    };
    for (std::string& token : tokens) {
      if (const std::optional<unsigned char> byte = byte_of(token)) {
        bytes += static_cast<char>(*byte);
        continue;
      }
      flush();
      out.push_back(std::move(token));
    }
    flush();
    tokens = std::move(out);
  }

 private:
  static std::optional<unsigned char> byte_of(std::string_view token) {
    if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return std::nullopt;
    // The reference's number parser takes a plus sign.
    const char* begin = token.data() + (token[3] == '+' ? 4 : 3);
    unsigned value = 0;
    const auto [end, error] = std::from_chars(begin, token.data() + 5, value, 16);
    if (error != std::errc() || end != token.data() + 5) return std::nullopt;
    return static_cast<unsigned char>(value);
  }
};

class FuseDecoder final : public Decoder {
 public:
  void apply(std::vector<std::string>& tokens, size_t) const override {
    std::string all;
    for (const std::string& token : tokens) all += token;
    tokens.assign(1, std::move(all));
  }
};

/// Cuts up to so many of one character from the ends of every token.
class StripDecoder final : public Decoder {
 public:
  StripDecoder(std::string content, int64_t start, int64_t stop)
      : content_(std::move(content)), start_(start), stop_(stop) {}
  void apply(std::vector<std::string>& tokens, size_t) const override {
    for (std::string& token : tokens) {
      size_t begin = 0, end = token.size();
      for (int64_t n = 0; n < start_ && token.compare(begin, content_.size(), content_) == 0; ++n) {
        begin += content_.size();
      }
      for (int64_t n = 0; n < stop_ && end >= begin + content_.size() &&
                          token.compare(end - content_.size(), content_.size(), content_) == 0;
           ++n) {
        end -= content_.size();
      }
      token = token.substr(begin, end - begin);
    }
  }

 private:
  std::string content_;
  int64_t start_, stop_;
};

/// Connectionist temporal classification: repetitions and padding dropped.
class CtcDecoder final : public Decoder {
 public:
  CtcDecoder(std::string pad, std::string delimiter, bool cleanup)
      : pad_(std::move(pad)), delimiter_(std::move(delimiter)), cleanup_(cleanup) {}
  void apply(std::vector<std::string>& tokens, size_t) const override {
    tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
    for (std::string& token : tokens) {
      if (!pad_.empty()) replace_all(token, {pad_, ""});
      if (!cleanup_) continue;
      clean_up_token(token);
      if (!delimiter_.empty()) replace_all(token, {delimiter_, " "});
    }
    std::erase(tokens, "");
  }

 private:
  std::string pad_, delimiter_;
  bool cleanup_;
};

}  // namespace

std::string Decoder::decode(const std::vector<std::string_view>& tokens) const {
  std::vector<std::string> parts(tokens.begin(), tokens.end());
  apply(parts, max_rewritten_bytes(bytes_of(parts)));
  std::string text;
  for (const std::string& part : parts) text += part;
  return text;
}

std::unique_ptr<Decoder> make_decoder(const Json& json) {
  if (json.is_null()) return std::make_unique<SpaceDecoder>();
  const Json& type = json.at("type");
  const std::string& name = type.as_string();
  const auto text = [&](const char* key, const char* fallback) {
    const Json* member = json.find(key);
    return member != nullptr ? member->as_string() : std::string(fallback);
  };
  const Json* cleanup_member = json.find("cleanup");
  const bool cleanup = cleanup_member == nullptr || cleanup_member->as_bool();
  if (name == "WordPiece") return std::make_unique<WordPieceDecoder>(text("prefix", "##"), cleanup);
  if (name == "ByteLevel") return std::make_unique<ByteLevelDecoder>();
  if (name == "Metaspace") return std::make_unique<MetaspaceDecoder>(Metaspace::options(json));
  if (name == "BPEDecoder") return std::make_unique<BpeDecoder>(text("suffix", "</w>"));
  if (name == "Sequence") {
    std::vector<std::unique_ptr<Decoder>> parts;
    for (const Json& part : json.at("decoders").items()) {
      QE_CHECK(!part.is_null(), part.where(), ": expected a decoder, got null");
      parts.push_back(make_decoder(part));
    }
    return std::make_unique<DecoderSequence>(std::move(parts));
  }
  if (name == "Replace") {
    return std::make_unique<ReplaceDecoder>(
        Replace(Pattern::from_json(json.at("pattern")), json.at("content").as_string()));
  }
  if (name == "ByteFallback") return std::make_unique<ByteFallbackDecoder>();
  if (name == "Fuse") return std::make_unique<FuseDecoder>();
  if (name == "Strip") {
    const Json& content = json.at("content");
    QE_CHECK(count_code_points(content.as_string()) == 1, content.where(),
             ": expected one character, got ", quote(content.as_string()));
    return std::make_unique<StripDecoder>(content.as_string(), json.at("start").as_int(),
                                          json.at("stop").as_int());
  }
  if (name == "CTC") {
    return std::make_unique<CtcDecoder>(text("pad_token", "<pad>"),
                                        text("word_delimiter_token", "|"), cleanup);
  }
  fail(type.where(), ": decoder type ", quote(name),
       " is not supported (expected WordPiece, ByteLevel, Metaspace, BPEDecoder, Sequence, "
       "Replace, ByteFallback, Fuse, Strip, CTC or null)");
}

void WordPieceDecoder::apply(std::vector<std::string>& tokens, size_t) const {
  for (size_t k = 0; k < tokens.size(); ++k) {
    std::string& token = tokens[k];
    if (k > 0) {
      if (token.starts_with(prefix_)) {
        token.erase(0, prefix_.size());
      } else {
        token.insert(0, " ");
      }
    }
    if (cleanup_) clean_up_token(token);
  }
}

std::string clean_up_tokenization(std::string text) {
  for (const Replacement& rule : kCleanupBefore) replace_all(text, rule);
  for (const Replacement& rule : kCleanupAfter) replace_all(text, rule);
  return text;
}

}  // namespace qe
