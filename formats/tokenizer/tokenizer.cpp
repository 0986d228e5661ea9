// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/tokenizer.h"

#include <algorithm>
#include <atomic>
#include <span>

#include "formats/tokenizer/tokenizer_files.h"
#include "formats/tokenizer/word_cache.h"
#include "formats/utf8.h"
#include "kernels/core/error.h"

namespace qe {

struct Tokenizer::Impl {
  explicit Impl(TokenizerParts loaded) : parts(std::move(loaded)) {}
  TokenizerParts parts;
  std::string mask;
  const uint64_t number = next_number();  // of no other tokenizer of the process

  static uint64_t next_number() {
    static std::atomic<uint64_t> last{0};
    return ++last;
  }

  const std::string* find_token(int32_t id) const {
    const AddedToken* added = parts.added.find(id);
    return added != nullptr ? &added->content : parts.model->vocab().token(id);
  }
  std::optional<int32_t> role(TokenRole role) const {
    return parts.role_ids[static_cast<size_t>(role)];
  }
};

namespace {

constexpr size_t kMaxTextBytes = size_t{1} << 28;

/// Encodes texts up to post-processing. Belongs to a thread and keeps its buffers.
class SequenceEncoder {
 public:
  /// No further words are encoded once there are `limit` tokens (0: no limit).
  void encode(const TokenizerParts& parts, uint64_t owner, std::string_view text, size_t limit,
              TokenSequence& out, int64_t& n_replaced) {
    parts_ = &parts;
    limit_ = limit;
    full_ = false;
    n_words_ = 0;
    out_ = &out;
    out.clear();
    cache_.own(owner);
    if (!is_ascii(text) && valid_utf8_prefix_length(text) != text.size()) {
      repaired_ = replace_invalid_utf8(text, n_replaced);
      text = repaired_;
    }
    QE_CHECK(text.size() <= kMaxTextBytes, "text of ", text.size(), " bytes: expected at most ",
             kMaxTextBytes);
    encode_text(text);
  }

 private:
  void encode_text(std::string_view text) {
    parts_->added.raw().split(text, raw_pieces_);
    int32_t begin = 0;  // code points before the piece
    for (const AddedTokenMatcher::Piece& piece : raw_pieces_) {
      const std::string_view content = text.substr(piece.begin, piece.end - piece.begin);
      const bool last = piece.end == text.size() && piece.id < 0;
      const auto end = last ? begin : begin + static_cast<int32_t>(count_code_points(content));
      if (piece.id >= 0) {
        add_token(piece.id, {begin, end}, content);
      } else {
        encode_piece(content, begin);
      }
      if (full_) break;
      begin = end;
    }
  }

  void push(int32_t id, Span span) {
    out_->offsets.push_back(span);
    out_->ids.push_back(id);
    out_->word_ids.push_back(n_words_);
  }

  void add_token(int32_t id, Span span, std::string_view value) {
    push(id, span);
    if (parts_->post_processor.trims()) out_->blanks.push_back(blanks_of(value));
    ++n_words_;
  }

  void encode_piece(std::string_view piece, int32_t first) {
    text_.assign(piece, first);
    if (parts_->normalizer) parts_->normalizer->normalize(text_);
    parts_->added.normalized().split(text_.text, pieces_);
    if (pieces_.size() == 1 && pieces_[0].id < 0) return encode_words(text_);
    for (const AddedTokenMatcher::Piece& part : pieces_) {
      if (full_) return;
      if (part.id >= 0) {
        add_token(part.id, text_.span_of(part.begin, part.end),
                  std::string_view(text_.text).substr(part.begin, part.end - part.begin));
        continue;
      }
      between_.assign(text_, part.begin, part.end);
      encode_words(between_);
    }
  }

  void encode_words(NormalizedText& text) {
    words_.assign(1, {0, text.text.size()});
    if (parts_->pretokenizer) parts_->pretokenizer->split(text, words_);
    const bool trims = parts_->post_processor.trims();
    for (const ByteRange word : words_) {
      const std::string_view value =
          std::string_view(text.text).substr(word.begin, word.end - word.begin);
      const std::span<const WordToken> tokens = tokens_of(value);
      for (const WordToken& token : tokens) {
        // A fallback to bytes may count bytes that the word does not have.
        const size_t end = word.begin + std::min<size_t>(token.end, value.size());
        const size_t begin = std::min<size_t>(word.begin + token.begin, end - 1);
        push(token.id, text.span_of(begin, end));
        if (trims) out_->blanks.push_back(blanks_of(shown(token, value)));
      }
      ++n_words_;
      full_ = limit_ > 0 && out_->size() >= limit_;
      if (full_) return;
    }
  }

  /// The token as the reference's offset trimming sees it.
  std::string_view shown(const WordToken& token, std::string_view word) const {
    if (parts_->model->tokens_are_text()) return word.substr(token.begin, token.end - token.begin);
    return *parts_->model->vocab().token(token.id);
  }

  std::span<const WordToken> tokens_of(std::string_view word) {
    const uint64_t hash = WordCache::hash(word);
    size_t n_tokens = 0;
    if (const WordToken* found = cache_.find(word, hash, n_tokens)) return {found, n_tokens};
    tokens_.clear();
    parts_->model->tokenize(word, tokens_);
    cache_.insert(word, hash, tokens_);
    return tokens_;
  }

  const TokenizerParts* parts_ = nullptr;
  TokenSequence* out_ = nullptr;
  size_t limit_ = 0;
  bool full_ = false;
  int32_t n_words_ = 0;
  std::string repaired_;
  NormalizedText text_, between_;
  std::vector<AddedTokenMatcher::Piece> raw_pieces_, pieces_;
  std::vector<ByteRange> words_;
  std::vector<WordToken> tokens_;
  WordCache cache_;
};

void encode_texts(const TokenizerParts& parts, uint64_t owner, std::string_view text,
                  const std::string_view* pair, const Tokenizer::EncodeOptions& options,
                  Encoding& out) {
  static thread_local SequenceEncoder encoder;
  static thread_local TokenSequence first, second;
  const int64_t n_added =
      options.add_special_tokens ? parts.post_processor.n_added(pair != nullptr) : 0;
  QE_CHECK(options.max_length >= 0, "max_length: expected at least 0, got ", options.max_length);
  QE_CHECK(options.max_length == 0 || options.max_length >= n_added, "max_length ",
           options.max_length, " leaves no room for the ", n_added, " special tokens");
  // To cut pairs or the left side, the lengths must be known.
  const TruncationSide side = options.truncation_side.value_or(parts.truncation_side);
  const bool may_stop = pair == nullptr && side == TruncationSide::kRight;
  int64_t n_replaced = 0;
  encoder.encode(parts, owner, text, may_stop ? static_cast<size_t>(options.max_length) : 0, first,
                 n_replaced);
  if (pair != nullptr) encoder.encode(parts, owner, *pair, 0, second, n_replaced);
  TokenSequence* const other = pair != nullptr ? &second : nullptr;
  if (options.max_length > 0) {
    truncate(first, other, options.max_length - n_added, options.truncation, side);
  }
  parts.post_processor.process(first, other, options.add_special_tokens, out);
  out.n_replaced_bytes = n_replaced;
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

void Tokenizer::encode(std::string_view text, const std::string_view* pair,
                       const EncodeOptions& options, Encoding& out) const {
  encode_texts(impl_->parts, impl_->number, text, pair, options, out);
}

Encoding Tokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  Encoding out;
  encode(text, nullptr, options, out);
  return out;
}

Encoding Tokenizer::encode_pair(std::string_view text, std::string_view pair,
                                const EncodeOptions& options) const {
  Encoding out;
  encode(text, &pair, options, out);
  return out;
}

std::string Tokenizer::decode(const std::vector<int32_t>& ids, bool skip_special_tokens) const {
  const TokenizerParts& parts = impl_->parts;
  std::vector<std::string_view> tokens;
  tokens.reserve(ids.size());
  for (const int32_t id : ids) {
    const std::string* token =
        parts.added.find(id) != nullptr ? parts.added.decoded(id) : parts.model->vocab().token(id);
    if (token == nullptr || (skip_special_tokens && parts.added.is_special(*token))) continue;
    tokens.push_back(*token);
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
