// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/sentencepiece_model.h"

#include <doctest/doctest.h>

#include <bit>
#include <limits>

#include "formats/tokenizer/sentencepiece_files.h"
#include "tests/support/temporary_folder.h"

namespace qe {
namespace {

using Type = SentencepieceModel::PieceType;

// Protobuf, written by hand: key, then the value.
std::string varint(uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(0x80 | (value & 0x7F));
  return out + static_cast<char>(value);
}
std::string number(int field, uint64_t value) {
  return varint(static_cast<uint64_t>(field) << 3) + varint(value);
}
std::string bytes(int field, const std::string& value) {
  return varint(static_cast<uint64_t>(field) << 3 | 2) + varint(value.size()) + value;
}
std::string real(int field, float value) {
  std::string out = varint(static_cast<uint64_t>(field) << 3 | 5);
  for (int k = 0; k < 4; ++k) {
    out += static_cast<char>(std::bit_cast<uint32_t>(value) >> (8 * k) & 0xFF);
  }
  return out;
}
std::string piece(const std::string& text, float score, Type type = Type::kNormal) {
  return bytes(1, bytes(1, text) + real(2, score) + number(3, static_cast<uint64_t>(type)));
}

std::string error(const std::string& model) {
  return error_of([&] { SentencepieceModel::parse(model, "m"); });
}

TEST_CASE("a sentencepiece model's fields") {
  const std::string trainer = number(3, 2) + number(35, 1) + number(40, 1) + bytes(45, "?") +
                              bytes(1, "skipped") + real(7, 2) + number(2000, 7) +
                              varint(100 << 3 | 1) + std::string(8, 'x');
  const std::string normalizer =
      bytes(1, "name") + bytes(2, std::string("\0\xFF", 2)) + number(3, 0) + number(4, 0);
  const std::string text = piece("a", -1.5f) + bytes(2, trainer) + piece("?", 0, Type::kUnknown) +
                           bytes(3, normalizer) + bytes(4, "self test") + bytes(1, bytes(1, "b"));
  const SentencepieceModel model = SentencepieceModel::parse(text, "m");
  REQUIRE(model.pieces.size() == 3);
  CHECK(model.pieces[0].text == "a");
  CHECK(model.pieces[0].score == -1.5f);
  CHECK(model.pieces[1].type == Type::kUnknown);
  CHECK(model.pieces[2].type == Type::kNormal);
  CHECK(model.pieces[2].score == 0);
  CHECK(model.model_type == SentencepieceModel::ModelType::kBpe);
  CHECK(model.byte_fallback);
  CHECK(model.unk_id == 1);
  CHECK(model.unk_piece == "?");
  CHECK(model.precompiled_charsmap == std::string("\0\xFF", 2));
  CHECK(!model.add_dummy_prefix);
  CHECK(!model.remove_extra_whitespaces);
  CHECK(model.escape_whitespaces);
  // Cut anywhere, it is whole fields or refused.
  for (size_t n = 0; n < text.size(); ++n) {
    const std::string message = error(text.substr(0, n));
    CHECK((message.empty() || message.starts_with("m: ")));
  }
}

TEST_CASE("bad sentencepiece models are refused with their place") {
  CHECK(error("") == "m: expected a sentencepiece model, found no pieces");
  CHECK(error("\x0A") == "m: at byte 1: a number is cut short");
  CHECK(error("\x0A\x05"
              "ab") == "m: at byte 2: field 1 of 5 bytes where 2 are left");
  CHECK(error(varint(1 << 3 | 2) + varint(UINT64_MAX)).find("m: at byte 11: field 1 of 1844674") ==
        0);
  CHECK(error(std::string(11, '\xFF')) == "m: at byte 10: a number of more than 10 bytes");
  CHECK(error(std::string("\0\0", 2)) == "m: at byte 1: field number 0");
  CHECK(error("\x0B") == "m: at byte 1: wire type 3 of field 1");
  CHECK(error(number(1, 5)) == "m: at byte 2: field 1 has wire type 0, expected 2");
  CHECK(error(bytes(1, number(1, 5))) == "m: at byte 4: field 1 has wire type 0, expected 2");
  CHECK(error(bytes(1, bytes(1, "\xFF"))) == "m: at byte 5: a text that is not UTF-8");
  CHECK(error(piece("a", std::numeric_limits<float>::infinity()))
            .find("a score that is not finite") != std::string::npos);
  CHECK(error(piece("a", 0, static_cast<Type>(7))).find("piece type 7: expected 1 to 6") !=
        std::string::npos);
  CHECK(error(piece("a", 0) + bytes(2, number(3, 9))).find("model type 9: expected 1 to 4") !=
        std::string::npos);
  CHECK(error(piece("a", 0) + bytes(2, number(40, 1))) ==
        "m: the unknown piece's id is 1 of 1 pieces");
  CHECK(error(piece("a", 0) + bytes(2, number(40, UINT64_MAX))) ==
        "m: the unknown piece's id is -1 of 1 pieces");
}

TEST_CASE("merge rules of a model that has only scores") {
  SentencepieceModel model;
  const auto add = [&](const char* text, float score, Type type = Type::kNormal) {
    model.pieces.push_back({text, score, type});
  };
  add("<unk>", 0, Type::kUnknown);
  add("", -9);
  add("abc", -1);
  add("ab", -2);
  add("bc", -2);
  add("a", -3);
  add("b", -4);
  add("c", -5);
  add("é", -6);
  add("éa", -1);
  add("ac", 0, Type::kUserDefined);
  const Bpe::Merges expected = {{"a", "bc"}, {"ab", "c"}, {"é", "a"}, {"a", "b"}, {"b", "c"}};
  CHECK(sentencepiece_merges(model, "m") == expected);
  add(std::string(257, 'a').c_str(), 0);
  CHECK(error_of([&] { sentencepiece_merges(model, "m"); }) ==
        "m: piece 11 has 257 bytes: expected at most 256 in a BPE model");
}

}  // namespace
}  // namespace qe
