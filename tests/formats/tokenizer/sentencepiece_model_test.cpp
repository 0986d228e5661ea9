// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/sentencepiece_model.h"

#include <doctest/doctest.h>

#include <limits>

#include "formats/tokenizer/sentencepiece_files.h"
#include "tests/support/sentencepiece_bytes.h"
#include "tests/support/temporary_folder.h"

namespace qe {
namespace {

using Type = SentencepieceModel::PieceType;

using test::bytes_field;
using test::number_field;
using test::piece_field;
using test::varint;

std::string error(const std::string& model) {
  return error_of([&] { SentencepieceModel::parse(model, "m"); });
}

TEST_CASE("a sentencepiece model's fields") {
  const std::string trainer = number_field(3, 2) + number_field(35, 1) + number_field(40, 1) +
                              bytes_field(45, "?") + bytes_field(1, "skipped") +
                              test::float_field(7, 2) + number_field(2000, 7) +
                              varint(100 << 3 | 1) + std::string(8, 'x');
  const std::string normalizer = bytes_field(1, "name") + bytes_field(2, std::string("\0\xFF", 2)) +
                                 number_field(3, 0) + number_field(4, 0);
  const std::string text = piece_field("a", -1.5f) + bytes_field(2, trainer) +
                           piece_field("?", 0, Type::kUnknown) + bytes_field(3, normalizer) +
                           bytes_field(4, "self test") + bytes_field(1, bytes_field(1, "b"));
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
  CHECK(error(number_field(1, 5)) == "m: at byte 2: field 1 has wire type 0, expected 2");
  CHECK(error(bytes_field(1, number_field(1, 5))) ==
        "m: at byte 4: field 1 has wire type 0, expected 2");
  CHECK(error(bytes_field(1, bytes_field(1, "\xFF"))) == "m: at byte 5: a text that is not UTF-8");
  CHECK(error(piece_field("a", std::numeric_limits<float>::infinity()))
            .find("a score that is not finite") != std::string::npos);
  CHECK(error(piece_field("a", 0, static_cast<Type>(7))).find("piece type 7: expected 1 to 6") !=
        std::string::npos);
  CHECK(error(piece_field("a", 0) + bytes_field(2, number_field(3, 9)))
            .find("model type 9: expected 1 to 4") != std::string::npos);
  CHECK(error(piece_field("a", 0) + bytes_field(2, number_field(40, 1))) ==
        "m: the unknown piece's id is 1 of 1 pieces");
  CHECK(error(piece_field("a", 0) + bytes_field(2, number_field(40, UINT64_MAX))) ==
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
