// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/decoder.h"

#include <doctest/doctest.h>

#include "tests/support/temporary_folder.h"

namespace qe {
namespace {

std::string decoded(const char* decoder, const std::vector<std::string_view>& tokens) {
  return make_decoder(Json::parse(decoder, "tokenizer.json"))->decode(tokens);
}

TEST_CASE("WordPiece decoding") {
  const char* const plain = R"({"type": "WordPiece", "prefix": "##", "cleanup": false})";
  const char* const clean = R"({"type": "WordPiece"})";
  CHECK(decoded(plain, {}) == "");
  CHECK(decoded(plain, {"##a", "##b", "c", "."}) == "##ab c .");
  CHECK(decoded(clean, {"a", ".", "?", "do", "n't", "##x"}) == "a.? don'tx");
  // Each token is cleaned by itself: the space of a lone apostrophe stays.
  CHECK(decoded(clean, {"it", "'", "s"}) == "it ' s");
  CHECK(decoded(clean, {"i", "do not"}) == "i don't");
}

TEST_CASE("without a decoder tokens are joined by spaces") {
  CHECK(decoded("null", {"a", "##b", "c"}) == "a ##b c");
  CHECK(decoded("null", {}) == "");
}

TEST_CASE("the whole text is cleaned up as transformers does") {
  CHECK(clean_up_tokenization("it ' s a . b , c ! d ? i 'm we 've you 're he 's do n't") ==
        "it's a. b, c! d? i'm we've you're he's don't");
  CHECK(clean_up_tokenization("i do not") == "i do not");
  CHECK(clean_up_tokenization(" . . ") == ".. ");
}

TEST_CASE("an unknown decoder is named") {
  CHECK(error_of([] { decoded(R"({"type": "Fuse"})", {}); }) ==
        "tokenizer.json: /type: decoder type \"Fuse\" is not supported (expected WordPiece or "
        "null)");
}

}  // namespace
}  // namespace qe
