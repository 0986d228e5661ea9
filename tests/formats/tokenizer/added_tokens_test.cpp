// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/added_tokens.h"

#include <doctest/doctest.h>

#include "formats/tokenizer/bert_normalizer.h"
#include "tests/support/temporary_folder.h"

namespace qe {
namespace {

AddedToken token(const std::string& content) {
  AddedToken result;
  result.content = content;
  return result;
}

/// "id[text]" of each piece, "-[text]" between.
std::string split(const AddedTokenMatcher& matcher, std::string_view text) {
  std::vector<AddedTokenMatcher::Piece> pieces;
  matcher.split(text, pieces);
  std::string result;
  for (const auto& piece : pieces) {
    result += (piece.id < 0 ? "-" : std::to_string(piece.id)) + "[" +
              std::string(text.substr(piece.begin, piece.end - piece.begin)) + "]";
  }
  return result;
}

TEST_CASE("the leftmost and then the longest token is found") {
  AddedTokenMatcher matcher;
  CHECK(split(matcher, "ab") == "-[ab]");
  matcher.add("ab", 1, token("ab"));
  matcher.add("abcd", 2, token("abcd"));
  matcher.add("bcd", 3, token("bcd"));
  matcher.add("ab", 4, token("ab"));  // the first stays
  matcher.add("", 5, token(""));      // never found
  CHECK(split(matcher, "") == "");
  CHECK(split(matcher, "xabcbcdabcdab") == "-[x]1[ab]-[c]3[bcd]2[abcd]1[ab]");
}

TEST_CASE("flags limit a token or widen it") {
  AddedTokenMatcher matcher;
  AddedToken single = token("one"), left = token("<l>"), right = token("<r>");
  single.single_word = true;
  left.lstrip = true;
  right.rstrip = true;
  matcher.add("one", 1, single);
  matcher.add("<l>", 2, left);
  matcher.add("<r>", 3, right);
  CHECK(split(matcher, "one,one onely éone") == "1[one]-[,]1[one]-[ onely éone]");
  CHECK(split(matcher, "a \u3000<l> b") == "-[a]2[ \u3000<l>]-[ b]");
  CHECK(split(matcher, "a <r> \n b") == "-[a ]3[<r> \n ]-[b]");
  CHECK(split(matcher, "<r>  <l>") == "3[<r>  ]2[<l>]");  // what is taken stays taken
}

TEST_CASE("ids come from the model, else from the end") {
  const Vocab vocab = Vocab::from_json(Json::parse(R"({"a": 0, "[X]": 1})", "t.json"));
  AddedVocab added;
  CHECK(added.add(token("[X]"), vocab) == 1);
  CHECK(added.add(token("new"), vocab) == 2);
  CHECK(added.add(token("newer"), vocab) == 3);
  AddedToken again = token("new");
  again.special = true;
  CHECK(added.add(again, vocab) == 2);  // new flags for the same token
  CHECK(added.find(2)->special);
  CHECK(added.n_new() == 2);
  CHECK(added.id("newer") == 3);
  CHECK(added.id("a") == std::nullopt);

  const Vocab holes = Vocab::from_json(Json::parse(R"({"a": 0, "b": 2})", "t.json"));
  AddedVocab colliding;
  CHECK(error_of([&] { colliding.add(token("c"), holes); }) ==
        "added token \"c\" would get id 2, which is that of \"b\"");
}

TEST_CASE("normalized tokens are found by their normalized content, and decoded as that") {
  const Vocab vocab = Vocab::from_json(Json::parse("{}", "t.json"));
  AddedVocab added;
  AddedToken raw = token("Raw");
  raw.normalized = false;
  added.add(raw, vocab);
  added.add(token("Né"), vocab);
  const BertNormalizer normalizer({});
  added.finish(&normalizer);
  CHECK(split(added.raw(), "Raw raw Né") == "0[Raw]-[ raw Né]");
  CHECK(split(added.normalized(), "raw ne Né") == "-[raw ]1[ne]-[ Né]");
  CHECK(*added.decoded(0) == "Raw");
  CHECK(*added.decoded(1) == "ne");
  CHECK(added.find(1)->content == "Né");
}

TEST_CASE("tokens come from JSON") {
  const auto parse = [](const char* text, bool special = false) {
    return added_token_from_json(Json::parse(text, "t.json"), special);
  };
  const AddedToken text = parse(R"("[X]")");
  CHECK(text.special);
  CHECK(!text.normalized);
  const AddedToken flags = parse(R"({"content": "x", "lstrip": true, "single_word": true})");
  CHECK(flags.lstrip);
  CHECK(flags.single_word);
  CHECK(!flags.rstrip);
  CHECK(!flags.special);
  CHECK(flags.normalized);
  CHECK(!parse(R"({"content": "x"})", true).normalized);
  CHECK(error_of([&] { parse(R"({"content": 3})"); }).find("t.json: /content") == 0);
  CHECK(error_of([&] { parse(R"({"content": "x", "special": 3})"); }).find("t.json: /special") ==
        0);
}

}  // namespace
}  // namespace qe
