// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/normal_forms.h"

#include <doctest/doctest.h>

#include <array>

#include "formats/json.h"
#include "formats/tokenizer/unicode.h"
#include "formats/utf8.h"
#include "tests/support/normalized.h"
#include "tests/support/sha256.h"

namespace qe {
namespace {

using Form = NormalForm::Form;
using test::utf8;

constexpr std::array kForms = {std::pair{"NFC", Form::kC}, std::pair{"NFD", Form::kD},
                               std::pair{"NFKC", Form::kKC}, std::pair{"NFKD", Form::kKD}};

std::string formed(const std::string& text, Form form) {
  NormalizedText result;
  result.assign(text, 0);
  NormalForm(form).normalize(result);
  return result.text;
}

const Json& golden() {
  static const Json golden = Json::parse_file(QE_SOURCE_DIR "/tests/golden/normalizers.json");
  return golden;
}

std::string digest(const std::string& text) { return test::sha256(text).substr(0, 16); }

template <class Do>
void for_all_code_points(Do action) {
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c < 0xD800 || c >= 0xE000) action(c);
  }
}

/// The texts of scripts/make_normalizer_goldens.py.
std::vector<std::string> sequences(size_t n) {
  std::vector<std::string> chars;
  const std::string& pool = golden().at("pool").as_string();
  for (size_t i = 0; i < pool.size();) {
    const size_t begin = i;
    next_code_point(pool, i);
    chars.push_back(pool.substr(begin, i - begin));
  }
  uint32_t state = 1;
  const auto draw = [&](size_t n_choices) {
    state = 1664525 * state + 1013904223;
    return (state >> 16) % n_choices;
  };
  std::vector<std::string> texts(n);
  for (std::string& text : texts) {
    for (size_t k = 1 + draw(6); k > 0; --k) text += chars[draw(chars.size())];
  }
  return texts;
}

TEST_CASE("normalizers do to every code point what the reference's do") {
  constexpr char32_t kBlock = 4096;
  for (const Json::Member& member : golden().at("blocks").members()) {
    const std::string& name = member.first;
    const Json& blocks = member.second;
    CAPTURE(name);
    const auto normalizer = make_normalizer(Json::object({{"type", name}}));
    NormalizedText text;
    for (char32_t first = 0; first < 0x110000; first += kBlock) {
      std::string before, after;
      for (char32_t c = first; c < first + kBlock; ++c) {
        if (c >= 0xD800 && c < 0xE000) continue;
        text.assign(utf8(c), 0);
        normalizer->normalize(text);
        after += text.text + "\n";
        before += utf8(c) + "\n";
      }
      char key[8];
      std::snprintf(key, sizeof key, "%X", static_cast<unsigned>(first));
      CAPTURE(key);
      const Json* expected = blocks.find(key);
      CHECK((after == before) == (expected == nullptr));
      if (expected != nullptr) CHECK(digest(after) == expected->as_string());
    }
  }
}

TEST_CASE("combining sequences are normalized as the reference does") {
  constexpr size_t kGroup = 1000;
  for (const auto& entry : kForms) {
    const char* const name = entry.first;
    const Form form = entry.second;
    CAPTURE(name);
    const std::vector<Json>& digests = golden().at("sequences").at(name).items();
    const std::vector<std::string> texts = sequences(kGroup * digests.size());
    for (size_t group = 0; group < digests.size(); ++group) {
      std::string all;
      for (size_t k = 0; k < kGroup; ++k) all += formed(texts[group * kGroup + k], form) + "\n";
      CHECK(digest(all) == digests[group].as_string());
    }
  }
}

/// What Unicode promises of the forms of any text.
bool forms_agree(const std::string& text) {
  const std::string c = formed(text, Form::kC), d = formed(text, Form::kD);
  const std::string kc = formed(text, Form::kKC), kd = formed(text, Form::kKD);
  return formed(c, Form::kC) == c && formed(d, Form::kD) == d && formed(kc, Form::kKC) == kc &&
         formed(kd, Form::kKD) == kd && formed(d, Form::kC) == c && formed(c, Form::kD) == d &&
         formed(kd, Form::kKC) == kc && formed(kc, Form::kKD) == kd && formed(d, Form::kKD) == kd &&
         formed(kd, Form::kC) == kc;
}

TEST_CASE("forms of forms are themselves") {
  size_t n_wrong = 0;
  for_all_code_points([&](char32_t c) {
    const uint16_t flags = unicode::CharTable::get().flags(c);
    if (!(flags & (unicode::kDecomposes | unicode::kDecomposesCompat | unicode::kCombining)))
      return;
    n_wrong += !forms_agree(utf8(c));
    // A starter before and marks after: what composes, and what must be put in order.
    n_wrong += !forms_agree("a" + utf8(c) + "\u0301\u0323" + utf8(c));
  });
  CHECK(n_wrong == 0);
  for (const std::string& text : sequences(20000)) {
    CAPTURE(text);
    REQUIRE(forms_agree(text));
  }
}

TEST_CASE("every syllable of Hangul comes apart and together") {
  for (char32_t lead = 0; lead < 19; ++lead) {
    for (char32_t vowel = 0; vowel < 21; ++vowel) {
      for (char32_t trail = 0; trail < 28; ++trail) {
        const std::string open = utf8(0xAC00 + (lead * 21 + vowel) * 28);
        const std::string whole = utf8(0xAC00 + (lead * 21 + vowel) * 28 + trail);
        const std::string last = trail == 0 ? "" : utf8(0x11A7 + trail);
        const std::string parts = utf8(0x1100 + lead) + utf8(0x1161 + vowel) + last;
        REQUIRE(formed(whole, Form::kD) == parts);
        REQUIRE(formed(parts, Form::kC) == whole);
        REQUIRE(formed(open + last, Form::kC) == whole);
      }
    }
  }
  CHECK(formed("\uAC00\u11A7", Form::kC) == "\uAC00\u11A7");  // no trailing consonant
  CHECK(formed("\uAC01\u11A8", Form::kC) == "\uAC01\u11A8");  // has one
  CHECK(formed("\u1113\u1161", Form::kC) == "\u1113\u1161");  // an old one
}

TEST_CASE("canonical order") {
  CHECK(formed("a\u0301\u0323", Form::kD) == "a\u0323\u0301");
  CHECK(formed("a\u0301\u0323", Form::kC) == "\u1EA1\u0301");
  CHECK(formed("a\u0301\u0300", Form::kD) == "a\u0301\u0300");  // of one class: as they were
  CHECK(formed("a\u0300\u0345\u0323b", Form::kD) == "a\u0323\u0300\u0345b");
  CHECK(formed("\u0301\u0323", Form::kC) == "\u0323\u0301");    // without a starter
  CHECK(formed("\u0344", Form::kC) == "\u0308\u0301");          // never composed
  CHECK(formed("a\u034F\u0301", Form::kC) == "a\u034F\u0301");  // a starter between
  CHECK(formed("\u0041\u030A\u0301", Form::kC) == "\u01FA");
  CHECK(formed("\u1E9B\u0323", Form::kKC) == "\u1E69");
  // Put in order, they compose with what is before, though not with what was next to them.
  CHECK(formed("q\u0307\u0323", Form::kC) == "q\u0323\u0307");
  CHECK(formed("d\u0307\u0323", Form::kC) == "\u1E0D\u0307");
}

TEST_CASE("characters keep their places") {
  const auto places = [](const char* text, Form form) {
    return test::normalized(text, NormalForm(form), 3).spans;
  };
  CHECK(places("xe\u0301y", Form::kC) == "3-4 4-5 6-7 ");
  CHECK(places("x\u00E9y", Form::kD) == "3-4 4-5 4-5 5-6 ");
  CHECK(places("\uFB01\u2460", Form::kKC) == "3-4 3-4 4-5 ");
  CHECK(places("\uAC01", Form::kD) == "3-4 3-4 3-4 ");
  // Marks change places, their spans do not.
  CHECK(places("a\u0301\u0323", Form::kD) == "3-4 4-5 5-6 ");
}

TEST_CASE("classes of patterns have the reference's code points") {
  const auto members_of = [](const std::string& name) {
    const unicode::CharTable& table = unicode::CharTable::get();
    std::string all;
    for_all_code_points([&](char32_t c) {
      const uint16_t flags = table.flags(c);
      const std::string_view category = unicode::kCategoryNames[table.category(c)];
      const bool is_member = name == "s"         ? flags & unicode::kWhitespace
                             : name == "w"       ? flags & unicode::kPatternWord
                             : name == "d"       ? category == "Nd"
                             : name == "numeric" ? flags & unicode::kNumeric
                                                 : name == "p{" + std::string(category) + "}";
      if (is_member) all += utf8(c);
    });
    return digest(all);
  };
  REQUIRE(golden().at("classes").members().size() == 32);
  for (const Json::Member& member : golden().at("classes").members()) {
    CHECK_MESSAGE(members_of(member.first) == member.second.as_string(), member.first);
  }
}

}  // namespace
}  // namespace qe
