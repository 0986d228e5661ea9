// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/wordpiece.h"

#include <doctest/doctest.h>

#include "tests/support/temporary_folder.h"

namespace qe {
namespace {

/// A model over these tokens, numbered from 0.
WordPiece model(const std::vector<std::string>& tokens, WordPiece::Options options = {}) {
  Json vocab = Json::object();
  for (const std::string& token : tokens) {
    vocab.set(token, Json(static_cast<int64_t>(vocab.members().size())));
  }
  return WordPiece(Vocab::from_json(vocab), std::move(options), "test");
}

std::string pieces(const WordPiece& wordpiece, const std::string& word) {
  std::vector<WordToken> tokens;
  wordpiece.tokenize(word, tokens);
  std::string text;
  for (const WordToken& token : tokens) {
    text += *wordpiece.vocab().token(token.id) + "@" + std::to_string(token.begin) + "-" +
            std::to_string(token.end) + " ";
  }
  return text;
}

TEST_CASE("words are cut greedily, longest first") {
  const WordPiece wordpiece =
      model({"[UNK]", "un", "unw", "##want", "##a", "##ant", "##able", "é", "##é", "##"});
  CHECK(pieces(wordpiece, "un") == "un@0-2 ");
  CHECK(pieces(wordpiece, "unwantable") == "unw@0-3 ##ant@3-6 ##able@6-10 ");
  CHECK(pieces(wordpiece, "unwant") == "unw@0-3 ##ant@3-6 ");
  CHECK(pieces(wordpiece, "unaable") == "un@0-2 ##a@2-3 ##able@3-7 ");
  CHECK(pieces(wordpiece, "éé") == "é@0-2 ##é@2-4 ");
  CHECK(pieces(wordpiece, "want") == "[UNK]@0-4 ");
  CHECK(pieces(wordpiece, "##want") == "##want@0-6 ");  // as a word of its own
}

TEST_CASE("a longest match is never taken back") {
  const WordPiece wordpiece = model({"[UNK]", "ab", "abc", "##cd"});
  CHECK(pieces(wordpiece, "abcd") == "[UNK]@0-4 ");
}

TEST_CASE("tokens already there stay when a word is unknown") {
  const WordPiece wordpiece = model({"[UNK]", "a"});
  std::vector<WordToken> tokens;
  wordpiece.tokenize("a", tokens);
  wordpiece.tokenize("ab", tokens);
  REQUIRE(tokens.size() == 2);
  CHECK(tokens[0].id == 1);
  CHECK(tokens[1].id == 0);
}

TEST_CASE("words of too many characters are unknown") {
  const WordPiece wordpiece = model({"<unk>", "é", "@@é"}, {"<unk>", "@@", 3});
  CHECK(pieces(wordpiece, "ééé") == "é@0-2 @@é@2-4 @@é@4-6 ");
  CHECK(pieces(wordpiece, "éééé") == "<unk>@0-8 ");
}

TEST_CASE("tokens longer than the table of prefix hashes are found") {
  const std::string first(200, 'x'), second(130, 'y');
  WordPiece::Options options;
  options.max_input_chars_per_word = 1000;
  const WordPiece wordpiece = model({"[UNK]", first, "##" + second, "##z"}, options);
  CHECK(pieces(wordpiece, first + second + "z") ==
        first + "@0-200 ##" + second + "@200-330 ##z@330-331 ");
}

TEST_CASE("the model comes from JSON, with defaults and errors") {
  const auto parse = [](const std::string& text) {
    return make_model(Json::parse(text, "tokenizer.json"));
  };
  const auto typed = parse(R"({"type": "WordPiece", "vocab": {"[UNK]": 0}})");
  CHECK(typed->unk_token() == "[UNK]");
  // Old files have no type.
  const auto old = parse(R"({"unk_token": "?", "continuing_subword_prefix": "##",
                             "max_input_chars_per_word": 100, "vocab": {"?": 0}})");
  CHECK(old->unk_token() == "?");
  const auto error = [&](const std::string& text) { return error_of([&] { parse(text); }); };
  CHECK(error(R"({"type": "WordPiece", "vocab": {"a": 0}})") ==
        "tokenizer.json: /vocab: the unknown token \"[UNK]\" is not in the vocabulary");
  CHECK(error(R"({"type": "Words"})")
            .find("tokenizer.json: /type: model type \"Words\" is not supported") == 0);
  CHECK(error(R"({"type": "WordPiece"})").find("vocab") != std::string::npos);
  CHECK(error(R"({"type": "WordPiece", "max_input_chars_per_word": -1, "vocab": {"[UNK]": 0}})") ==
        "tokenizer.json: /max_input_chars_per_word: expected at least 0, got -1");
}

}  // namespace
}  // namespace qe
