// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// Tokenizer files made to harm: a clear error of one line, or an answer, in bounded time and
// memory.

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <random>

#include "formats/json.h"
#include "formats/tokenizer/string_table.h"
#include "formats/tokenizer/tokenizer.h"
#include "tests/support/bounded.h"

namespace qe {
namespace {

constexpr unsigned kMaxSeconds = 10;
constexpr int64_t kMiB = int64_t{1} << 20;

std::string repeated(const std::string& text, size_t n) {
  std::string out;
  out.reserve(n * text.size());
  for (size_t k = 0; k < n; ++k) out += text;
  return out;
}

/// `text` so many times, separated by commas.
std::string listed(const std::string& text, size_t n) { return text + repeated("," + text, n - 1); }

const char* const kWordPiece =
    R"({"type": "WordPiece", "vocab": {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "a": 3, "##a": 4}})";

/// A tokenizer.json of a model and other members (each followed by a comma).
std::string file_of(const std::string& model, const std::string& members = "") {
  return R"({"version": "1.0", )" + members + R"("model": )" + model + "}";
}

/// Loads the file, encodes and decodes.
void use(const std::string& tokenizer_json, const std::string& text) {
  const TemporaryFolder folder;
  folder.write("tokenizer.json", tokenizer_json);
  const Tokenizer tokenizer = Tokenizer::load(folder.path());
  const Encoding encoding = tokenizer.encode(text);
  tokenizer.decode(encoding.ids, false);
}

void check_line(const std::string& message) {
  CHECK(message.size() < 600);
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20; };
  CHECK(std::none_of(message.begin(), message.end(), is_control));
}

/// What using the file says, within the bounds; "" when it works.
std::string outcome(const std::string& tokenizer_json, const std::string& text = "aaa b",
                    int64_t max_bytes = 64 * kMiB) {
  // What the test itself holds is not counted; parsing takes some 30 times the file.
  const auto n_file = static_cast<int64_t>(tokenizer_json.size());
  const Outcome result = run_apart([&] { use(tokenizer_json, text); }, kMaxSeconds);
  CHECK(result.ended);
  CHECK(result.seconds < kMaxSeconds * (kSanitized ? 20 : 1));
  if (!kSanitized) CHECK(result.grown_bytes < max_bytes + 40 * n_file);
  check_line(result.error);
  const size_t place = result.error.find("/tokenizer.json: ");
  return place == std::string::npos ? result.error : result.error.substr(place + 1);
}

bool contains(const std::string& text, std::string_view part) {
  if (text.find(part) != std::string::npos) return true;
  MESSAGE(text);
  return false;
}

TEST_CASE("hostile vocabularies") {
  const auto vocab = [](const std::string& members) {
    return outcome(file_of(R"({"type": "WordPiece", "vocab": {)" + members + "}}"));
  };
  CHECK(
      vocab(R"("[UNK]": 0, "a": 16777215)") ==
      "tokenizer.json: /model/vocab: an id of 16777215 in a vocabulary of 2 tokens: expected less "
      "than 65544");
  CHECK(contains(vocab(R"("[UNK]": 0, "a": 16777216)"), "expected a token id from 0 to 16777215"));
  CHECK(contains(vocab(R"("[UNK]": -1)"), "/[UNK]: expected a token id from 0 to"));
  CHECK(contains(vocab(R"("[UNK]": 0.5)"), "expected a 64-bit integer, got 0.5"));
  CHECK(contains(vocab(R"("[UNK]": 1e300)"), "expected a 64-bit integer"));
  CHECK(contains(vocab(R"("[UNK]": 1e400)"), "number out of double's range"));
  CHECK(contains(vocab(R"("[UNK]": 0, "a": 0)"), "id 0 is already that of \"[UNK]\""));
  CHECK(contains(vocab(R"("[UNK]": 0, "[UNK]": 1)"), "duplicate key"));
  CHECK(contains(vocab(R"("a": 0)"), "the unknown token \"[UNK]\" is not in the vocabulary"));
  CHECK(contains(vocab(R"("[UNK]": 0, "a\n\u001b[31m": 0)"), R"(/a\n\u001b[31m: id 0)"));
  CHECK(contains(vocab("\"[UNK]\": 0, \"" + std::string(1 << 20, 'a') + "\": 1"),
                 "a token of 1048576 bytes: expected at most 1024"));
  CHECK(contains(vocab(R"("[UNK]": 0, "a": "1")"), "expected an integer"));

  // Tokens of one hash: each would be compared with all before it.
  std::string colliding = R"("[UNK]": 0)";
  int n = 0;
  for (int64_t k = 0; n < 4000; ++k) {
    const std::string token = std::to_string(k);
    if ((StringTable::hash(token) & 0x3FF) != 7) continue;
    colliding += ",\"" + token + "\": " + std::to_string(++n);
  }
  CHECK(contains(vocab(colliding), "more than 256 tokens or merge rules of one hash value"));

  std::string many = R"("[UNK]": 0)";
  for (int k = 1; k < 200000; ++k) many += ",\"t" + std::to_string(k) + "\":" + std::to_string(k);
  CHECK(vocab(many) == "");
}

TEST_CASE("hostile models") {
  const auto model = [](const std::string& text) { return outcome(file_of(text), "abc ab"); };
  CHECK(contains(model(R"({"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "?\r\n"})"),
                 R"(the unknown token "?\r\n" is not in the vocabulary)"));
  CHECK(contains(model(R"({"type": "BPE", "vocab": {"a": 0}, "merges": [], "unk_token": "?"})"),
                 "the unknown token \"?\" is not in the vocabulary"));
  CHECK(contains(model(R"({"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": ["a b"]})"),
                 "the vocabulary lacks \"ab\" of the merge rules"));
  CHECK(contains(model(R"({"type": "BPE", "vocab": {"a": 0}, "merges": ["a a a"]})"),
                 "expected a merge rule of two tokens, got \"a a a\""));
  CHECK(contains(model(R"({"type": "BPE", "vocab": {"a": 0}, "merges": [["a"]]})"),
                 "expected two tokens, got 1"));
  CHECK(contains(model(R"({"type": "BPE", "vocab": {"a": 0}, "merges": [],
                           "end_of_word_suffix": ")" +
                       std::string(2000, 'x') + "\"}"),
                 "a prefix or suffix of 2000 bytes: expected at most 1024"));
  // Rules that make what they are made of.
  CHECK(model(R"({"type": "BPE", "vocab": {"a": 0, "##a": 1, "b": 2, "##b": 3, "ab": 4, "c": 5},
                  "merges": ["a ##a", "a ##b"], "continuing_subword_prefix": "##"})") != "");
  const auto unigram = [&](const std::string& pieces, const std::string& unk_id) {
    return model(R"({"type": "Unigram", "vocab": [)" + pieces + R"(], "unk_id": )" + unk_id + "}");
  };
  CHECK(contains(unigram(R"(["a", -1])", "1"), "unk_id 1 is outside the vocabulary of 1"));
  CHECK(contains(unigram(R"(["a", -1])", "-1"), "expected a token id from 0"));
  CHECK(contains(unigram(R"(["a", -1])", "null"), "which has no unk_id"));
  CHECK(contains(unigram(R"(["a", NaN])", "0"), "not JSON"));
  CHECK(contains(unigram(R"(["a", -1e999])", "0"), "number out of double's range"));
  CHECK(contains(unigram(R"(["a", null])", "0"), "expected a number, got null"));
  CHECK(contains(unigram(R"(["a"])", "0"), "expected [piece, score], got 1 items"));
  CHECK(contains(unigram(R"(["a", -1], [")" + std::string(100000, 'a') + R"(", -1])", "0"),
                 "a token of 100000 bytes"));
  CHECK(unigram(R"(["a", -1e308], ["b", -1e308], ["?", -1e308])", "2") == "");
  CHECK(contains(model(R"({"type": "Nothing\u0000", "vocab": {}})"),
                 R"(model type "Nothing\u0000" is not supported)"));
}

TEST_CASE("long words") {
  const std::string token(1000, 'a');
  const std::string wordpiece = R"({"type": "WordPiece", "max_input_chars_per_word": 1000000000,
      "vocab": {"[UNK]": 0, "a": 1, "##a": 2, ")" +
                                token + R"(b": 3, "##)" + token + R"(b": 4}})";
  const std::string word(50000, 'a');
  CHECK(outcome(file_of(wordpiece), word) == "");
  const std::string unigram = R"({"type": "Unigram", "unk_id": 0, "vocab":
      [["?", 0], ["a", -1], [")" +
                              token + R"(b", -1]]})";
  CHECK(outcome(file_of(unigram), word) == "");
  std::string bpe = R"({"type": "BPE", "vocab": {"a": 0)", merges;
  std::string left = "a";
  for (int k = 1; k < 16; ++k) {
    merges += std::string(k > 1 ? "," : "") + "[\"" + left + "\",\"" + left + "\"]";
    left += left;
    bpe += ",\"" + left + "\":" + std::to_string(k);
  }
  CHECK(outcome(file_of(bpe + R"(}, "merges": [)" + merges + "]}"), std::string(300000, 'a')) ==
        "");
  // Marks that must be put in order.
  CHECK(outcome(file_of(kWordPiece, R"("normalizer": {"type": "NFC"},)"),
                "a" + repeated("\u0301\u0323", 100000), 256 * kMiB) == "");
}

TEST_CASE("rules that make text longer and longer") {
  const auto with = [](const std::string& member, const std::string& text = "aaa") {
    return outcome(file_of(kWordPiece, member + ","), text);
  };
  const std::string doubled = R"({"type": "Replace", "pattern": {"String": "a"}, "content": "aa"})";
  const std::string bytes = R"({"type": "ByteLevel"})";
  const std::string too_long = "the tokenizer's rules make the text too long: more than ";
  CHECK(contains(
      with(R"("normalizer": {"type": "Sequence", "normalizers": [)" + listed(doubled, 60) + "]}"),
      too_long));
  CHECK(contains(
      with(R"("normalizer": {"type": "Sequence", "normalizers": [)" + listed(bytes, 60) + "]}",
           "\u00E9"),
      too_long));
  CHECK(contains(with(R"("pre_tokenizer": {"type": "Sequence", "pretokenizers": [)" +
                          listed(R"({"type": "ByteLevel", "use_regex": false})", 60) + "]}",
                      "\u00E9"),
                 too_long));
  CHECK(contains(
      with(R"("decoder": {"type": "Sequence", "decoders": [)" + listed(doubled, 60) + "]}"),
      "the tokenizer's rules make the decoded text too long"));
  const std::string million(1 << 20, 'x');
  CHECK(contains(with(R"("normalizer": {"type": "Prepend", "prepend": ")" + million + "\"}"),
                 too_long));
  CHECK(
      contains(with(R"("normalizer": {"type": "Replace", "pattern": {"String": ""}, "content": ")" +
                        million + "\"}",
                    std::string(10000, 'a')),
               too_long));
  CHECK(contains(with(R"("decoder": {"type": "Replace", "pattern": {"Regex": ""}, "content": ")" +
                      million + "\"}"),
                 "make the decoded text too long"));
  const std::string cls = R"({"SpecialToken": {"id": "[CLS]", "type_id": 0}})";
  CHECK(contains(
      with(R"("post_processor": {"type": "TemplateProcessing", "single": [)" + listed(cls, 2000) +
           R"(], "pair": [], "special_tokens": {"[CLS]": {"ids": [)" + listed("1", 2000) + "]}}}"),
      "a template of more than 256 tokens"));
}

TEST_CASE("stages of many parts") {
  const auto with = [](const std::string& member) {
    return outcome(file_of(kWordPiece, member + ","));
  };
  const std::string lower = R"({"type": "Lowercase"})";
  CHECK(with(R"("normalizer": {"type": "Sequence", "normalizers": [)" + listed(lower, 255) +
             "]}") == "");
  CHECK(with(R"("normalizer": {"type": "Sequence", "normalizers": [)" + listed(lower, 50000) +
             "]}") == "tokenizer.json: /normalizer: 50001 parts, expected at most 256");
  const std::string nested =
      R"({"type": "Sequence", "processors": [)" + listed(R"({"type": "ByteLevel"})", 100) + "]}";
  CHECK(with(R"("post_processor": {"type": "Sequence", "processors": [)" + listed(nested, 3) +
             "]}") == "tokenizer.json: /post_processor: 304 parts, expected at most 256");
}

TEST_CASE("hostile patterns") {
  const auto split = [](const std::string& pattern, const std::string& text = "aaa b") {
    return outcome(file_of(kWordPiece, R"("pre_tokenizer": {"type": "Split", "behavior": "Isolated",
        "pattern": {"Regex": )" + Json(pattern).dump() +
                                           "}},"),
                   text, 128 * kMiB);
  };
  // Exponential for matchers that go back.
  CHECK(split("(a*)*b", std::string(100000, 'a')) == "");
  CHECK(split("(?:a|a)*$", std::string(100000, 'a') + "b") == "");
  CHECK(split("(a+)+b|\\w+", std::string(20000, 'a')) == "");
  CHECK(split("[" + repeated("\\w\\s\\p{L}", 30000) + "]+") == "");
  CHECK(split(repeated("\\p{Zl}", 3000)) == "");
  CHECK(split(repeated("\\p{Zl}?", 3000)) == "");
  // Linear for each match, but not for all.
  CHECK(split("a.*z|a", std::string(5000, 'a')) == "");
  CHECK(contains(split("a.*z|a", std::string(500000, 'a')),
                 "the tokenizer's pattern takes more than 3 s for a text of that length"));
  const auto refused = [&](const std::string& pattern, const char* reason) {
    const std::string message = split(pattern);
    CHECK(contains(message, "/pre_tokenizer/pattern/Regex: pattern \""));
    CHECK(contains(message, reason));
  };
  refused("((a{500}){500}){500}", "invalid repetition size");
  refused("(?:" + repeated("\\p{L}", 60) + "){900}", "");
  refused(repeated("\\p{L}", 1000), "too many classes");
  refused(repeated("(", 100000), "");
  refused(repeated("(", 300000) + "a" + repeated(")", 300000), "expected at most");
  CHECK(split(repeated("(?i:", 20000) + "a" + repeated(")", 20000)) == "");
  refused(std::string(1 << 20, 'a'), "1048576 bytes: expected at most 524288");
  refused("a(?=b)", "look-around");
  refused("(a)\\1", "cannot be matched");
  refused("a\n(?<=b)", "pattern \"a\\n(?<=b)\"");
}

TEST_CASE("hostile numbers, nesting and syntax") {
  CHECK(contains(outcome(repeated("[", 1000000)), "tokenizer.json"));
  CHECK(contains(outcome(repeated(R"({"a":)", 1000000)), "tokenizer.json"));
  const std::string nested = R"({"type": "Sequence", "normalizers": [)";
  CHECK(contains(outcome(file_of(kWordPiece, R"("normalizer": )" + repeated(nested, 1000) +
                                                 repeated("]}", 1000) + ",")),
                 "nested deeper than 64 levels"));
  CHECK(contains(outcome(""), "empty"));
  CHECK(contains(outcome("\xFF\xFE{}"), "invalid UTF-8"));
  CHECK(contains(outcome("[]"), "expected a JSON object"));
  CHECK(contains(outcome(R"({"version": "2\n"})"), R"(expected version 1.0, got "2\n")"));
  CHECK(contains(outcome(file_of(kWordPiece, R"("pre_tokenizer": {"type": "FixedLength",
                                                 "length": -9223372036854775808},)")),
                 "expected a positive length"));
  CHECK(outcome(file_of(kWordPiece, R"("pre_tokenizer": {"type": "FixedLength",
                                         "length": 9223372036854775807},)")) == "");
  CHECK(contains(outcome(file_of(R"({"type": "WordPiece", "vocab": {"[UNK]": 0},
                                     "max_input_chars_per_word": -1})")),
                 "expected at least 0"));
  // More values than are kept. Their places alone would take gigabytes.
  CHECK(contains(outcome("[" + listed("0", (1 << 23) + 10) + "]", "", 1000 * kMiB),
                 "more than 8388608 values"));
}

TEST_CASE("hostile added tokens") {
  const auto added = [](const std::string& tokens, const std::string& text = "aaa b") {
    return outcome(file_of(kWordPiece, R"("added_tokens": [)" + tokens + "],"), text);
  };
  CHECK(contains(added(R"({"id": 5, "content": ""})"), "an added token is empty"));
  CHECK(contains(added(R"({"id": 16777215, "content": "x"})"),
                 "added token \"x\" has id 16777215 here, but 5 by the vocabulary"));
  CHECK(contains(added(R"({"id": -5, "content": "x"})"), "expected a token id from 0"));
  CHECK(contains(added(R"({"id": 3, "content": "b\u0007"})"), R"(added token "b\u0007" has id 3)"));
  CHECK(contains(added(R"({"id": 5, "content": ")" + std::string(5 << 20, 'a') + "\"}"),
                 "a token of 5242880 bytes"));
  const std::string longest = std::string(1000, 'a') + "b";
  CHECK(added(R"({"id": 5, "content": ")" + longest + "\"}", std::string(50000, 'a')) == "");
}

std::string base64(const std::string& bytes) {
  static constexpr char kLetters[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t bits = 0;
    for (size_t k = i; k < i + 3; ++k) {
      bits = bits << 8 | (k < bytes.size() ? static_cast<unsigned char>(bytes[k]) : 0);
    }
    for (size_t k = 0; k < 4; ++k) {
      out += i + k > bytes.size() ? '=' : kLetters[bits >> (18 - 6 * k) & 63];
    }
  }
  return out;
}

TEST_CASE("hostile character maps") {
  const auto map =
      [](const std::string& text) {
        return outcome(file_of(kWordPiece, R"("normalizer": {"type": "Precompiled",
        "precompiled_charsmap": ")" + text + "\"},"),
                       repeated("abc\u00E9", 1000));
      };
  CHECK(contains(map("AAA"), "base64 of 3 characters: expected a multiple of 4"));
  CHECK(contains(map("AA=A"), "base64 with a bad character at 2"));
  CHECK(contains(map("AA A"), "base64 with a bad character at 2"));
  CHECK(contains(map("===="), "base64"));
  CHECK(contains(map("AB=="), "base64 with stray bits at its end"));
  CHECK(contains(map(""), "a character map of 0 bytes: expected at least 4"));
  CHECK(contains(map(base64(std::string("\0\0\0\0", 4))), "a trie of 0 bytes in 0"));
  CHECK(contains(map(base64("\xFF\xFF\xFF\xFF"
                            "abcd")),
                 "a trie of 4294967295 bytes in 4"));
  CHECK(contains(map(base64(std::string("\x04\0\0\0abcd\xFF", 9))), "texts that are not UTF-8"));
  // Units that lead outside, and to themselves.
  CHECK(map(base64(std::string("\x04\0\0\0\xFF\xFF\xFF\xFF", 8))) == "");
  CHECK(map(base64(std::string("\x04\0\0\0\0\x01\0\0", 8))) == "");
  // 'a' becomes a million characters.
  std::string units(512 * 4, '\0');
  const auto set = [&](size_t at, uint32_t unit) {
    for (size_t k = 0; k < 4; ++k) units[4 * at + k] = static_cast<char>(unit >> (8 * k) & 0xFF);
  };
  set(0, 256 << 10);
  set(256 ^ 'a', 'a' | 1 << 8 | ((256 ^ 'a') ^ 1) << 10);
  set(1, 0x80000000);
  const std::string header("\0\x08\0\0", 4);
  CHECK(map(base64(header + units + "x")) == "");
  CHECK(
      contains(map(base64(header + units + std::string(1 << 20, 'x'))), "make the text too long"));
}

using Files = std::vector<std::pair<std::string, std::string>>;

/// What loading a folder with these files and encoding says, without the folder's name.
std::string folder_outcome(const Files& files) {
  const TemporaryFolder folder;
  int64_t n_bytes = 0;
  for (const auto& [name, content] : files) {
    folder.write(name, content);
    n_bytes += static_cast<int64_t>(content.size());
  }
  const Outcome result = run_apart(
      [&] {
        const Tokenizer tokenizer = Tokenizer::load(folder.path());
        tokenizer.decode(tokenizer.encode("ab \u4E2D [MASK]<mask>").ids, false);
      },
      kMaxSeconds);
  CHECK(result.ended);
  if (!kSanitized) CHECK(result.grown_bytes < 64 * kMiB + 40 * n_bytes);
  check_line(result.error);
  const bool named = result.error.starts_with(folder.path() + "/");
  return named ? result.error.substr(folder.path().size() + 1) : result.error;
}

TEST_CASE("hostile files of tokenizers without tokenizer.json") {
  const std::string specials = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n";
  const auto vocab = [](const std::string& text) { return folder_outcome({{"vocab.txt", text}}); };
  CHECK(vocab(specials) == "");
  CHECK(contains(vocab(""), "vocab.txt: expected one token per line, the file is empty"));
  CHECK(contains(vocab("a\n"), "is not in the vocabulary"));
  CHECK(contains(vocab(specials + "\xE4\xB8\n"), "vocab.txt: invalid UTF-8 at byte 33, line 7"));
  CHECK(contains(vocab(specials + std::string(10 << 20, 'a')), "a token of 10485760 bytes"));
  CHECK(vocab(specials + std::string(1 << 20, '\n')) == "");

  const std::string json = R"({"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "<mask>": 4, "a": 5,
                               "b": 6, "ab": 7})";
  const auto merges = [&](const std::string& text) {
    return folder_outcome({{"vocab.json", json}, {"merges.txt", text}});
  };
  CHECK(merges("#version: 0.2\r\na b\r\n") == "");
  CHECK(contains(merges("a b\nab\n"), "merges.txt:2: expected a merge rule of two tokens"));
  CHECK(contains(merges("a b\n\na b"), "merges.txt:2: expected a merge rule of two tokens"));
  CHECK(contains(merges("a b c\n"), "merges.txt:1: expected a merge rule of two tokens"));
  CHECK(contains(merges("a \x1b[0m\n"), R"(the vocabulary lacks "\u001b[0m" of the merge rules)"));
  CHECK(contains(merges("a \xFF\n"), "merges.txt: invalid UTF-8 at byte 2"));
  CHECK(contains(merges("b a\n"), "the vocabulary lacks \"ba\" of the merge rules"));
  CHECK(contains(merges(std::string(1 << 20, 'a')), "merges.txt:1: expected a merge rule"));
  CHECK(folder_outcome({{"vocab.json", json}}) != "");

  const auto config = [&](const std::string& text) {
    return folder_outcome({{"vocab.txt", specials}, {"tokenizer_config.json", text}});
  };
  CHECK(contains(config(R"({"tokenizer_class": "Bert\u0007"})"), R"(tokenizer class Bert\u0007)"));
  CHECK(contains(config(R"({"added_tokens_decoder": {"x\n": {"content": "b"}}})"),
                 R"(expected token ids as keys, got "x\n")"));
  CHECK(contains(config(R"({"added_tokens_decoder": {"16777216": {"content": "b"}}})"),
                 "expected token ids as keys"));
  CHECK(contains(config(R"({"added_tokens_decoder": {"16777215": {"content": "b"}}})"),
                 "added token \"b\" has id 16777215 here, but 6 by the vocabulary"));
  CHECK(contains(config(R"({"model_max_length": -5})"), "expected a positive length, got -5"));
  CHECK(config(R"({"model_max_length": 1e30})") == "");
  CHECK(contains(config(R"({"mask_token": ""})"), "mask_token is empty"));
  CHECK(contains(config(R"({"mask_token": 7})"), "expected an object, got 7"));
  CHECK(contains(config(R"({"additional_special_tokens": 7})"), "expected an array, got 7"));
  CHECK(contains(config(R"({"do_lower_case": "no"})"), "expected true or false, got \"no\""));
}

TEST_CASE("files that are cut short or changed are refused or work") {
  const TemporaryFolder folder;
  std::mt19937 random(7);
  size_t n_errors = 0, n_loaded = 0;
  const auto check = [&](const std::string& content) {
    folder.write("tokenizer.json", content);
    const std::string message = error_of([&] {
      const Tokenizer tokenizer = Tokenizer::load(folder.path());
      ++n_loaded;
      const Encoding encoding = tokenizer.encode("N\u00E9 the [MASK]  days' 12 \u4E2D\uFB01<mask>");
      tokenizer.decode(encoding.ids, true);
    });
    n_errors += !message.empty();
    check_line(message);
  };
  for (const auto& entry :
       std::filesystem::directory_iterator(QE_SOURCE_DIR "/tests/fuzz/tokenizers")) {
    const std::string whole = content_of(entry.path().string());
    const size_t n_before = n_loaded;
    for (size_t n = 0; n < whole.size(); n += 11) check(whole.substr(0, n));
    CHECK(n_loaded == n_before);
    for (int k = 0; k < 150; ++k) {
      std::string changed = whole;
      changed[random() % changed.size()] = "09\"{}[],:aA\\\n\xC3"[random() % 14];
      check(changed);
    }
  }
  CHECK(n_errors > 1000);
  CHECK(n_loaded > 50);
}

}  // namespace
}  // namespace qe
