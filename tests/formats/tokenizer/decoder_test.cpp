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

TEST_CASE("byte-level decoding") {
  const char* const bytes = R"({"type": "ByteLevel"})";
  CHECK(decoded(bytes, {"a", "\u0120b\u00C3", "\u00A9"}) == "a b\u00E9");
  CHECK(decoded(bytes, {"\u00C3", "a"}) == "\uFFFDa");
  CHECK(decoded(bytes, {"\u4E2D", "\u0120"}) == "\u4E2D ");  // no characters of bytes: as it is
}

TEST_CASE("other decoders") {
  CHECK(decoded(R"({"type": "Metaspace"})", {"\u2581a", "\u2581b"}) == "a b");
  CHECK(decoded(R"({"type": "Metaspace", "prepend_scheme": "never"})", {"\u2581a"}) == " a");
  CHECK(decoded(R"({"type": "BPEDecoder"})", {"a</w>", "b</w>"}) == "a b");
  CHECK(decoded(R"({"type": "ByteFallback"})", {"x", "<0xC3>", "<0xA9>", "<0xC3>", "y"}) ==
        "x\uFFFD\uFFFD\uFFFDy");
  CHECK(decoded(R"({"type": "ByteFallback"})", {"<0xC3>", "<0xA9>", "<0xGG>"}) == "\u00E9<0xGG>");
  CHECK(decoded(R"({"type": "Sequence", "decoders": [
                 {"type": "Replace", "pattern": {"String": "_"}, "content": " "},
                 {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 2}]})",
                {"__a", "_b_"}) == " a b");
  CHECK(decoded(R"({"type": "CTC"})", {"<pad>", "h", "h", "<pad>", "i", "|", "."}) == "hi .");
}

TEST_CASE("an unknown decoder is named") {
  CHECK(error_of([] {
          decoded(R"({"type": "Word"})", {});
        }).find("tokenizer.json: /type: decoder type \"Word\" is not supported") == 0);
}

}  // namespace
}  // namespace qe
