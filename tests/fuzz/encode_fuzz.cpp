// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// Any text through a small tokenizer of each family: places in order and within the text, ids that
// depend on nothing but the text, and truncation that keeps a part of the whole.

#include <filesystem>

#include "tests/fuzz/tokenizer_checks.h"

namespace {
using namespace qe;

struct Family {
  std::string name;
  Tokenizer tokenizer;
};

const std::vector<Family>& families() {
  static const std::vector<Family> list = [] {
    std::vector<Family> families;
    const std::filesystem::path folder = QE_SOURCE_DIR "/tests/fuzz/tokenizers";
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      const std::string path = entry.path().string();
      fuzz::folder().write("tokenizer.json", content_of(path));
      families.push_back({entry.path().stem().string(), Tokenizer::load(fuzz::folder().path())});
    }
    std::sort(families.begin(), families.end(),
              [](const Family& a, const Family& b) { return a.name < b.name; });
    return families;
  }();
  return list;
}

/// Tokens of one text stand in its order.
void check_order(const Encoding& encoding) {
  int32_t begin = 0, end = 0, word = 0;
  for (size_t k = 0; k < encoding.ids.size(); ++k) {
    const auto [b, e] = encoding.offsets[k];
    fuzz::require(begin <= b && end <= e, "places in disorder");
    fuzz::require(word <= encoding.word_ids[k], "words in disorder");
    begin = b;
    end = e;
    word = encoding.word_ids[k];
  }
}

template <class T>
bool starts_with(const std::vector<T>& whole, const std::vector<T>& part) {
  return part.size() <= whole.size() && std::equal(part.begin(), part.end(), whole.begin());
}

void check_truncation(const Tokenizer& tokenizer, std::string_view text, const Encoding& whole,
                      int64_t max_length) {
  const Encoding part =
      tokenizer.encode(text, {.add_special_tokens = false, .max_length = max_length});
  fuzz::require(part.ids.size() == std::min<size_t>(whole.ids.size(), max_length), "cut wrongly");
  if (!starts_with(whole.ids, part.ids)) {
    std::string ids;
    for (const Encoding* encoding : {&whole, &part}) {
      for (const int32_t id : encoding->ids) ids += std::to_string(id) + " ";
      ids += encoding == &whole ? "became " : "";
    }
    fuzz::finding("truncation changes what it keeps: " + ids);
  }
  fuzz::require(starts_with(whole.word_ids, part.word_ids), "truncation changes words");
}
}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input input(data, size);
  const Family& family = families()[input.byte() % families().size()];
  const unsigned flags = input.byte();
  const std::string_view text = input.part();
  const std::string_view pair = input.rest();
  const Tokenizer& tokenizer = family.tokenizer;

  Tokenizer::EncodeOptions options;
  options.add_special_tokens = flags & 1;
  options.max_length = flags & 2 ? 4 + (flags >> 6) * 7 : 0;
  options.truncation_side = flags & 4 ? TruncationSide::kLeft : TruncationSide::kRight;
  options.truncation = flags & 8    ? TruncationStrategy::kOnlyFirst
                       : flags & 16 ? TruncationStrategy::kOnlySecond
                                    : TruncationStrategy::kLongestFirst;
  fuzz::check_round(tokenizer, text, flags & 32 ? &pair : nullptr, options);

  const Encoding plain = tokenizer.encode(text, {.add_special_tokens = false});
  check_order(plain);
  check_truncation(tokenizer, text, plain, 1 + (flags >> 6));
  std::vector<int32_t> ids;
  for (const char c : pair) ids.push_back(static_cast<unsigned char>(c));  // some do not exist
  const std::string decoded = tokenizer.decode(ids, flags & 1);
  fuzz::require(valid_utf8_prefix_length(decoded) == decoded.size(), "decoded to invalid UTF-8");
  if (family.name.starts_with("exact")) {  // a tokenizer that loses nothing
    fuzz::require(plain.n_replaced_bytes > 0 || tokenizer.decode(plain.ids, false) == text,
                  "decoded to another text");
  }
  return 0;
}
