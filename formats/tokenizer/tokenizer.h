// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Text to token ids and back, as Hugging Face `tokenizers` does it.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "formats/tokenizer/truncation.h"

namespace qe {

/// One encoded text (or pair). All vectors have one entry per token.
struct Encoding {
  std::vector<int32_t> ids;
  std::vector<int32_t> type_ids;
  std::vector<std::pair<int32_t, int32_t>>
      offsets;  ///< [begin, end) in code points of the text; (0, 0) for added special tokens
  std::vector<uint8_t> special_tokens_mask;  ///< 1 for tokens the post-processor added
  std::vector<int32_t> word_ids;             ///< pre-tokenizer word index; -1 for special tokens
  int64_t n_replaced_bytes = 0;              ///< invalid UTF-8 sequences replaced by U+FFFD
};

/// Immutable after construction; any number of threads may encode.
class Tokenizer {
 public:
  /// Loads `folder`/tokenizer.json, else vocab.txt, vocab.json and merges.txt, or a sentencepiece
  /// model (vocab_files.h), with tokenizer_config.json and special_tokens_map.json where they
  /// matter. Throws Error naming file and place.
  static Tokenizer load(const std::string& folder);
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  struct EncodeOptions {
    bool add_special_tokens = true;
    int64_t max_length = 0;  ///< truncate to this many tokens, special tokens included; 0: no limit
    TruncationStrategy truncation = TruncationStrategy::kLongestFirst;  ///< of pairs
    /// Unset: tokenizer_config.json's truncation_side, else the right one.
    std::optional<TruncationSide> truncation_side;
  };
  /// Fills `out`, which keeps its memory: no allocation once it has held as many tokens. `pair`:
  /// null pointer for a single text.
  void encode(std::string_view text, const std::string_view* pair, const EncodeOptions& options,
              Encoding& out) const;
  Encoding encode(std::string_view text, const EncodeOptions& options) const;
  Encoding encode_pair(std::string_view text, std::string_view pair,
                       const EncodeOptions& options) const;
  Encoding encode(std::string_view text) const { return encode(text, EncodeOptions{}); }

  /// decode(ids): the decoder of the tokenizer, then tokenizer_config's
  /// clean_up_tokenization_spaces.
  std::string decode(const std::vector<int32_t>& ids, bool skip_special_tokens) const;
  /// The token's text in the vocabulary ("##ing"), or Error when the id is unknown.
  const std::string& token(int32_t id) const;
  /// The id of an exact vocabulary entry or added token.
  std::optional<int32_t> token_id(std::string_view token) const;

  /// Entries in vocabulary plus added tokens (Hugging Face's len(tokenizer)): random replacements
  /// draw from [0, size).
  int64_t size() const;
  bool is_special(int32_t id) const;  ///< among all_special_ids
  std::optional<int32_t> mask_id() const;
  std::optional<int32_t> pad_id() const;
  std::optional<int32_t> cls_id() const;
  std::optional<int32_t> sep_id() const;
  const std::string& mask_token() const;  ///< "" when there is none
  /// tokenizer_config.json's model_max_length; 0 when unset (or > 1e30).
  int64_t model_max_length() const;
  /// The tokenizer's files that exist in its folder (absolute paths), to be copied beside an
  /// adapter.
  const std::vector<std::string>& files() const;

 private:
  struct Impl;
  explicit Tokenizer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace qe
