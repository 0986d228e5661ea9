// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/tokenizer.h"

#include <doctest/doctest.h>

#include <fstream>
#include <thread>

#include "formats/json.h"
#include "tests/support/sha256.h"
#include "tests/support/temporary_folder.h"

namespace qe {
namespace {

const std::string kExamples = QE_SOURCE_DIR "/examples/";

const Tokenizer& example() {
  static const Tokenizer tokenizer = Tokenizer::load(kExamples + "tiny-mlm");
  return tokenizer;
}

std::vector<std::string> lines_of(const std::string& path) {
  std::ifstream file(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

/// The message of loading a folder with these files.
std::string load_error(const std::vector<std::pair<std::string, std::string>>& files) {
  const TemporaryFolder folder;
  for (const auto& [name, content] : files) folder.write(name, content);
  std::string message = error_of([&] { Tokenizer::load(folder.path()); });
  if (message.starts_with(folder.path())) message.erase(0, folder.path().size());
  return message;
}

const char* const kVocab = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n";

std::string tokenizer_json(const std::string& more) {
  return R"({"version": "1.0", "model": {"type": "WordPiece", "vocab":
             {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "a": 3}})" +
         more + "}";
}

TEST_CASE("the example's facts") {
  const Tokenizer& tokenizer = example();
  CHECK(tokenizer.size() == 8192);
  CHECK(tokenizer.pad_id() == 0);
  CHECK(tokenizer.cls_id() == 2);
  CHECK(tokenizer.sep_id() == 3);
  CHECK(tokenizer.mask_id() == 4);
  CHECK(tokenizer.mask_token() == "[MASK]");
  CHECK(tokenizer.model_max_length() == 512);
  for (int32_t id = -1; id < 8; ++id) CHECK(tokenizer.is_special(id) == (id >= 0 && id < 5));
  CHECK(tokenizer.token(8191) == "##ema");
  CHECK(tokenizer.token_id("##ema") == 8191);
  CHECK(tokenizer.token_id("[MASK]") == 4);
  CHECK(tokenizer.token_id("no such token") == std::nullopt);
  CHECK(error_of([&] { tokenizer.token(8192); }) == "there is no token of id 8192");
  REQUIRE(tokenizer.files().size() == 4);
  CHECK(tokenizer.files()[0].ends_with("/examples/tiny-mlm/tokenizer.json"));
  CHECK(tokenizer.files()[3].ends_with("/examples/tiny-mlm/vocab.txt"));
}

TEST_CASE("the King James Bible has the reference's ids") {
  const Json golden = Json::parse_file(kExamples + "tiny-mlm/golden.json").at("kjv_valid_every7");
  std::string bytes;
  for (const std::string& line : lines_of(kExamples + "kjv/valid.txt")) {
    for (const int32_t id : example().encode(line, {.add_special_tokens = false}).ids) {
      bytes += static_cast<char>(id & 0xFF);
      bytes += static_cast<char>(id >> 8);
    }
  }
  CHECK(static_cast<int64_t>(bytes.size() / 2) == golden.at("tokens_in_file").as_int());
  CHECK(test::sha256(bytes) == golden.at("ids_sha256_uint16_le").as_string());
}

TEST_CASE("vocab.txt alone gives the ids of tokenizer.json") {
  const TemporaryFolder folder;
  folder.write("vocab.txt", content_of(kExamples + "tiny-mlm/vocab.txt"));
  const Tokenizer tokenizer = Tokenizer::load(folder.path());
  CHECK(tokenizer.size() == 8192);
  CHECK(tokenizer.model_max_length() == 0);
  const std::vector<std::string> lines = lines_of(kExamples + "kjv/valid.txt");
  for (size_t k = 0; k < lines.size(); k += 10) {
    const std::string text = lines[k] + " [MASK]É[SEP]";
    REQUIRE(tokenizer.encode(text).ids == example().encode(text).ids);
  }
}

TEST_CASE("any number of threads may encode") {
  const std::vector<std::string> lines = lines_of(kExamples + "kjv/valid.txt");
  std::vector<std::vector<int32_t>> expected;
  for (size_t k = 0; k < 200; ++k) expected.push_back(example().encode(lines[k] + "é").ids);
  std::vector<size_t> n_equal(4, 0);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < n_equal.size(); ++t) {
    threads.emplace_back([&, t] {
      for (size_t k = 0; k < expected.size(); ++k) {
        n_equal[t] += example().encode(lines[k] + "é").ids == expected[k];
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const size_t n : n_equal) CHECK(n == expected.size());
}

TEST_CASE("invalid bytes are replaced, counted, and dropped by BERT's cleaning") {
  const Encoding encoding = example().encode(
      "a\xFF \xE4\xB8"
      "b [MASK]\xC3");
  CHECK(encoding.ids == std::vector<int32_t>{2, 32, 33, 4, 3});
  CHECK(encoding.n_replaced_bytes == 3);
  // Places count the replacements, one code point each.
  const std::vector<std::pair<int32_t, int32_t>> offsets = {
      {0, 0}, {0, 1}, {4, 5}, {6, 12}, {0, 0}};
  CHECK(encoding.offsets == offsets);
  CHECK(example().encode("a\xEF\xBF\xBD").n_replaced_bytes == 0);  // a real U+FFFD
  CHECK(example().encode_pair("\x80", "\x80\x80", {}).n_replaced_bytes == 3);
}

TEST_CASE("texts are cut to max_length, special tokens included") {
  const Tokenizer& tokenizer = example();
  const auto ids = [&](int64_t max_length, bool specials) {
    return tokenizer.encode("the capital of france", {specials, max_length}).ids;
  };
  CHECK(ids(0, true).size() == 6);
  CHECK(ids(6, true).size() == 6);
  CHECK(ids(4, true) == std::vector<int32_t>{2, 184, 847, 3});
  CHECK(ids(2, true) == std::vector<int32_t>{2, 3});
  CHECK(ids(1, false) == std::vector<int32_t>{184});
  CHECK(error_of([&] { ids(1, true); }) == "max_length 1 leaves no room for the 2 special tokens");
  CHECK(error_of([&] { ids(-1, true); }) == "max_length: expected at least 0, got -1");
  CHECK(error_of([&] {
          tokenizer.encode_pair("a", "b", {true, 2});
        }) == "max_length 2 leaves no room for the 3 special tokens");
}

TEST_CASE("the side that texts are cut at may be the tokenizer's") {
  const TemporaryFolder folder;
  folder.write("vocab.txt", kVocab);
  const std::string config =
      folder.write("tokenizer_config.json", R"({"truncation_side": "left"})");
  const Tokenizer tokenizer = Tokenizer::load(folder.path());
  CHECK(tokenizer.encode("a a b", {.max_length = 3}).ids == std::vector<int32_t>{2, 6, 3});
  CHECK(
      tokenizer.encode("a a b", {.max_length = 3, .truncation_side = TruncationSide::kRight}).ids ==
      std::vector<int32_t>{2, 5, 3});
  folder.write("tokenizer_config.json", R"({"truncation_side": "top"})");
  CHECK(error_of([&] { Tokenizer::load(folder.path()); }) ==
        config + ": /truncation_side: expected left or right, got \"top\"");
}

TEST_CASE("decoding leaves out special tokens and unknown ids") {
  const std::vector<int32_t> ids = {2, 184, 847, 4, 16, 8192, -1, 3};
  CHECK(example().decode(ids, true) == "the capital.");
  CHECK(example().decode(ids, false) == "[CLS] the capital [MASK]. [SEP]");
  CHECK(example().decode({}, true) == "");
}

TEST_CASE("what a folder says about roles") {
  const TemporaryFolder folder;
  folder.write("vocab.txt", kVocab);
  folder.write("special_tokens_map.json",
               R"({"mask_token": {"content": "<m>", "lstrip": true}, "unk_token": "[UNK]"})");
  folder.write("tokenizer_config.json",
               R"({"mask_token": "[MASK]", "model_max_length": 1e30,
                   "additional_special_tokens": ["<e>", {"content": "b"}]})");
  const Tokenizer tokenizer = Tokenizer::load(folder.path());
  // The older map wins over the config; a token that the vocabulary lacks is added.
  CHECK(tokenizer.mask_token() == "<m>");
  CHECK(tokenizer.mask_id() == 7);
  CHECK(tokenizer.size() == 9);
  CHECK(tokenizer.token(8) == "<e>");
  CHECK(tokenizer.model_max_length() == 0);
  CHECK(tokenizer.encode("A  <m>[MASK]b").ids == std::vector<int32_t>{2, 5, 7, 1, 1, 1, 6, 3});
  CHECK(tokenizer.is_special(6));
  CHECK(tokenizer.is_special(8));
  CHECK(!tokenizer.is_special(4));
  CHECK(!tokenizer.is_special(5));
}

TEST_CASE("a tokenizer may have no mask token") {
  const TemporaryFolder folder;
  folder.write("vocab.txt", "[UNK]\n[CLS]\n[SEP]\na\n");
  const Tokenizer tokenizer = Tokenizer::load(folder.path());
  CHECK(tokenizer.mask_id() == std::nullopt);
  CHECK(tokenizer.pad_id() == std::nullopt);
  CHECK(tokenizer.mask_token() == "");
  CHECK(tokenizer.encode("a").ids == std::vector<int32_t>{1, 3, 2});
}

TEST_CASE("tokens that only convention names stay text where tokenizer.json does not list them") {
  const TemporaryFolder folder;
  folder.write("tokenizer.json",
               tokenizer_json(R"(, "pre_tokenizer": {"type": "BertPreTokenizer"})"));
  const Tokenizer tokenizer = Tokenizer::load(folder.path());
  CHECK(tokenizer.cls_id() == 1);
  CHECK(tokenizer.is_special(1));
  CHECK(tokenizer.encode("a[CLS]").ids == std::vector<int32_t>{3, 0, 0, 0});
}

TEST_CASE("older added_tokens.json") {
  const TemporaryFolder folder;
  folder.write("vocab.txt", kVocab);
  folder.write("added_tokens.json", R"({"<y>": 8, "<x>": 7, "<M>": 9})");
  folder.write("special_tokens_map.json", R"({"mask_token": "<M>"})");
  const Tokenizer tokenizer = Tokenizer::load(folder.path());
  CHECK(tokenizer.encode("<X><y>").ids == std::vector<int32_t>{2, 7, 8, 3});
  CHECK(tokenizer.encode("<M>").ids == std::vector<int32_t>{2, 9, 3});  // special: as it is
  CHECK(tokenizer.encode("<m>").ids != std::vector<int32_t>{2, 9, 3});
  CHECK(tokenizer.decode({7, 9}, true) == "<x>");
  CHECK(tokenizer.size() == 10);
}

TEST_CASE("bad folders are refused with file and place") {
  CHECK(error_of([] { Tokenizer::load("/no/such/folder"); }) ==
        "/no/such/folder: expected a folder with a tokenizer");
  CHECK(load_error({}).find(": found no tokenizer (tokenizer.json, vocab.txt, ") == 0);
  CHECK(load_error({{"vocab.txt", "a\nb\n"}}) ==
        "/vocab.txt: the unknown token \"[UNK]\" is not in the vocabulary");
  CHECK(load_error({{"vocab.txt", "[UNK]\n[CL"}}) ==
        "/vocab.txt: the cls_token \"[CLS]\" is not in the vocabulary");
  const auto with_config = [](const char* config) {
    return load_error({{"vocab.txt", kVocab}, {"tokenizer_config.json", config}});
  };
  CHECK(with_config("[]") == "/tokenizer_config.json: expected a JSON object");
  CHECK(with_config(R"({"tokenizer_class": "PhobertTokenizer"})") ==
        "/vocab.txt: a vocabulary of tokenizer class PhobertTokenizer is not supported without "
        "tokenizer.json");
  CHECK(with_config(R"({"tokenizer_class": "RobertaTokenizerFast"})") ==
        ": found neither tokenizer.json nor vocab.json");
  CHECK(with_config(R"({"do_lower_case": 1})").find("/tokenizer_config.json: /do_lower_case") == 0);
  CHECK(with_config(R"({"model_max_length": -1})") ==
        "/tokenizer_config.json: /model_max_length: expected a positive length, got -1");
  CHECK(with_config(R"({"added_tokens_decoder": {"x": "y"}})") ==
        "/tokenizer_config.json: /added_tokens_decoder: expected token ids as keys, got \"x\"");
  CHECK(with_config(R"({"added_tokens_decoder": {"9": {"content": "y"}}})") ==
        "/tokenizer_config.json: /added_tokens_decoder/9: added token \"y\" has id 9 here, but 7 "
        "by the vocabulary and the added tokens before it");
  CHECK(load_error({{"vocab.txt", kVocab}, {"config.json", R"({"model_type": "roformer"})"}})
            .find("/vocab.txt: a vocabulary of model type roformer") == 0);
  CHECK(load_error({{"vocab.txt", kVocab}, {"config.json", R"({"model_type": "esm"})"}}) ==
        "/vocab.txt: the unk_token \"<unk>\" is not in the vocabulary");
  CHECK(load_error({{"vocab.json", "{}"}}).find("/merges.txt: ") == 0);
  CHECK(load_error({{"vocab.json", R"({"a": 0})"}, {"merges.txt", "a b c\n"}}) ==
        "/merges.txt:1: expected a merge rule of two tokens, got \"a b c\"");
  CHECK(load_error({{"vocab.json", R"({"a": 0})"}, {"merges.txt", "a a\n"}}) ==
        "/merges.txt: the vocabulary lacks \"aa\" of the merge rules");
  CHECK(load_error({{"vocab.json", R"({"a": 0})"}, {"merges.txt", "\xFF"}}) ==
        "/merges.txt: invalid UTF-8 at byte 0");
  CHECK(load_error({{"vocab.json", R"({"a": 0})"}, {"merges.txt", ""}}) ==
        "/vocab.json: the cls_token \"<s>\" is not in the vocabulary");
  CHECK(load_error({{"spm.model", "x"}}).find("/spm.model: at byte 1: ") == 0);
}

TEST_CASE("bad tokenizer.json files are refused with their place") {
  const auto error = [](const std::string& more) {
    return load_error({{"tokenizer.json", tokenizer_json(more)}});
  };
  CHECK(error("") == "");
  CHECK(load_error({{"tokenizer.json", "{}"}}).find("/tokenizer.json") == 0);
  CHECK(load_error({{"tokenizer.json", "[]"}}) == "/tokenizer.json: expected a JSON object");
  CHECK(load_error({{"tokenizer.json", R"({"version": "2.0"})"}}) ==
        "/tokenizer.json: /version: expected version 1.0, got \"2.0\"");
  CHECK(error(R"(, "normalizer": {"type": "NFX"})")
            .find("/tokenizer.json: /normalizer/type: normalizer type \"NFX\" is not supported") ==
        0);
  CHECK(error(R"(, "pre_tokenizer": {"type": "Space"})")
            .find("/tokenizer.json: /pre_tokenizer/type: pre-tokenizer type \"Space\"") == 0);
  CHECK(error(R"(, "added_tokens": [{"id": 3, "content": "z"}])") ==
        "/tokenizer.json: /added_tokens/0: added token \"z\" has id 3 here, but 4 by the "
        "vocabulary and the added tokens before it");
  CHECK(error(R"(, "added_tokens": [{"id": -3, "content": "z"}])")
            .find("/tokenizer.json: /added_tokens/0/id: expected a token id") == 0);
  CHECK(error(R"(, "added_tokens": [{"id": 4, "content": ""}])") ==
        "/tokenizer.json: /added_tokens/0: an added token is empty");
}

}  // namespace
}  // namespace qe
