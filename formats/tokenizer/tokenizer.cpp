// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/tokenizer.h"

#include <algorithm>

#include "formats/tokenizer/tokenizer_files.h"
#include "formats/tokenizer/utf8.h"
#include "kernels/core/error.h"

namespace qe {

struct Tokenizer::Impl {
  explicit Impl(TokenizerParts loaded) : parts(std::move(loaded)) {}
  TokenizerParts parts;
  std::string mask;

  const std::string* find_token(int32_t id) const {
    const AddedToken* added = parts.added.find(id);
    return added != nullptr ? &added->content : parts.model->vocab().token(id);
  }
  std::optional<int32_t> role(TokenRole role) const {
    return parts.role_ids[static_cast<size_t>(role)];
  }
};

namespace {

/// Encodes one text up to post-processing. Holds the buffers of a call.
class SequenceEncoder {
 public:
  /// No further words are encoded once there are `limit` tokens (0: no limit).
  SequenceEncoder(const TokenizerParts& parts, size_t limit) : parts_(parts), limit_(limit) {}

  TokenSequence encode(std::string_view text, int64_t& n_replaced) {
    std::string repaired;
    if (!is_ascii(text) && valid_utf8_prefix_length(text) != text.size()) {
      repaired = replace_invalid_utf8(text, n_replaced);
      text = repaired;
    }
    QE_CHECK(text.size() <= INT32_MAX, "text of ", text.size(), " bytes: expected at most ",
             INT32_MAX);
    std::vector<AddedTokenMatcher::Piece> pieces;
    parts_.added.raw().split(text, pieces);
    int32_t begin = 0;  // code points before the piece
    for (const AddedTokenMatcher::Piece& piece : pieces) {
      const std::string_view content = text.substr(piece.begin, piece.end - piece.begin);
      const auto end = begin + static_cast<int32_t>(count_code_points(content));
      if (piece.id >= 0) {
        add_token(piece.id, {begin, end}, content);
      } else if (!full_) {
        encode_piece(content, begin);
      }
      if (full_) break;
      begin = end;
    }
    return std::move(out_);
  }

 private:
  void push(int32_t id, Span span, std::string_view value) {
    out_.offsets.push_back(parts_.post_processor.trimmed(span, value, out_.ids.empty()));
    out_.ids.push_back(id);
    out_.word_ids.push_back(n_words_);
  }

  void add_token(int32_t id, Span span, std::string_view value) {
    push(id, span, value);
    ++n_words_;
  }

  void encode_piece(std::string_view piece, int32_t first) {
    text_.assign(piece, first);
    if (parts_.normalizer) parts_.normalizer->normalize(text_);
    std::vector<AddedTokenMatcher::Piece> pieces;
    parts_.added.normalized().split(text_.text, pieces);
    if (pieces.size() == 1 && pieces[0].id < 0) return encode_words(text_);
    for (const AddedTokenMatcher::Piece& part : pieces) {
      if (full_) return;
      if (part.id >= 0) {
        add_token(part.id, text_.span_of(part.begin, part.end),
                  std::string_view(text_.text).substr(part.begin, part.end - part.begin));
        continue;
      }
      NormalizedText between;
      between.text = text_.text.substr(part.begin, part.end - part.begin);
      between.spans.assign(text_.spans.begin() + static_cast<ptrdiff_t>(part.begin),
                           text_.spans.begin() + static_cast<ptrdiff_t>(part.end));
      encode_words(between);
    }
  }

  void encode_words(NormalizedText& text) {
    words_.assign(1, {0, text.text.size()});
    if (parts_.pretokenizer) parts_.pretokenizer->split(text, words_);
    const std::string_view view = text.text;
    for (const ByteRange word : words_) {
      tokens_.clear();
      parts_.model->tokenize(view.substr(word.begin, word.end - word.begin), tokens_);
      for (const WordToken& token : tokens_) {
        const size_t begin = word.begin + token.begin, end = word.begin + token.end;
        push(token.id, text.span_of(begin, end), view.substr(begin, end - begin));
      }
      ++n_words_;
      full_ = limit_ > 0 && out_.size() >= limit_;
      if (full_) return;
    }
  }

  const TokenizerParts& parts_;
  size_t limit_;
  bool full_ = false;
  int32_t n_words_ = 0;
  TokenSequence out_;
  NormalizedText text_;
  std::vector<ByteRange> words_;
  std::vector<WordToken> tokens_;
};

Encoding encode_texts(const TokenizerParts& parts, std::string_view text,
                      const std::string_view* pair, const Tokenizer::EncodeOptions& options) {
  const int64_t n_added =
      options.add_special_tokens ? parts.post_processor.n_added(pair != nullptr) : 0;
  QE_CHECK(options.max_length >= 0, "max_length: expected at least 0, got ", options.max_length);
  QE_CHECK(options.max_length == 0 || options.max_length >= n_added, "max_length ",
           options.max_length, " leaves no room for the ", n_added, " special tokens");
  // Of a pair both lengths must be known before cutting.
  const auto limit = pair == nullptr ? static_cast<size_t>(options.max_length) : size_t{0};
  int64_t n_replaced = 0;
  TokenSequence first = SequenceEncoder(parts, limit).encode(text, n_replaced);
  TokenSequence second;
  if (pair != nullptr) second = SequenceEncoder(parts, 0).encode(*pair, n_replaced);
  TokenSequence* const other = pair != nullptr ? &second : nullptr;
  if (options.max_length > 0) truncate_longest_first(first, other, options.max_length - n_added);
  Encoding out = parts.post_processor.process(first, other, options.add_special_tokens);
  out.n_replaced_bytes = n_replaced;
  return out;
}

}  // namespace

Tokenizer::Tokenizer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Tokenizer Tokenizer::load(const std::string& folder) {
  auto impl = std::make_unique<Impl>(load_tokenizer_parts(folder));
  if (const auto id = impl->role(TokenRole::kMask)) impl->mask = *impl->find_token(*id);
  return Tokenizer(std::move(impl));
}

Encoding Tokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  return encode_texts(impl_->parts, text, nullptr, options);
}

Encoding Tokenizer::encode_pair(std::string_view text, std::string_view pair,
                                const EncodeOptions& options) const {
  return encode_texts(impl_->parts, text, &pair, options);
}

std::string Tokenizer::decode(const std::vector<int32_t>& ids, bool skip_special_tokens) const {
  const TokenizerParts& parts = impl_->parts;
  std::vector<std::string_view> tokens;
  tokens.reserve(ids.size());
  for (const int32_t id : ids) {
    const AddedToken* added = parts.added.find(id);
    if (added != nullptr && added->special && skip_special_tokens) continue;
    const std::string* token =
        added != nullptr ? parts.added.decoded(id) : parts.model->vocab().token(id);
    if (token != nullptr) tokens.push_back(*token);
  }
  std::string text = parts.decoder->decode(tokens);
  return parts.clean_up_tokenization_spaces ? clean_up_tokenization(std::move(text)) : text;
}

const std::string& Tokenizer::token(int32_t id) const {
  const std::string* token = impl_->find_token(id);
  QE_CHECK(token != nullptr, "there is no token of id ", id);
  return *token;
}

std::optional<int32_t> Tokenizer::token_id(std::string_view token) const {
  const std::optional<int32_t> id = impl_->parts.added.id(token);
  return id ? id : impl_->parts.model->vocab().id(token);
}

int64_t Tokenizer::size() const {
  return impl_->parts.model->vocab().size() + impl_->parts.added.n_new();
}

bool Tokenizer::is_special(int32_t id) const {
  const std::vector<int32_t>& ids = impl_->parts.special_ids;
  return std::binary_search(ids.begin(), ids.end(), id);
}

std::optional<int32_t> Tokenizer::mask_id() const { return impl_->role(TokenRole::kMask); }
std::optional<int32_t> Tokenizer::pad_id() const { return impl_->role(TokenRole::kPad); }
std::optional<int32_t> Tokenizer::cls_id() const { return impl_->role(TokenRole::kCls); }
std::optional<int32_t> Tokenizer::sep_id() const { return impl_->role(TokenRole::kSep); }
const std::string& Tokenizer::mask_token() const { return impl_->mask; }
int64_t Tokenizer::model_max_length() const { return impl_->parts.model_max_length; }
const std::vector<std::string>& Tokenizer::files() const { return impl_->parts.files; }

}  // namespace qe
