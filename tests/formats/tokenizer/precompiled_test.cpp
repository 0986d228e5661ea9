// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/precompiled.h"

#include <doctest/doctest.h>

#include "formats/json.h"
#include "tests/support/normalized.h"
#include "tests/support/temporary_folder.h"

namespace qe {
namespace {

TEST_CASE("a character map works as the reference's") {
  const Json golden = Json::parse_file(QE_SOURCE_DIR "/tests/golden/normalizers.json");
  const Json& part = golden.at("precompiled");
  const Precompiled normalizer(decode_base64(part.at("map").as_string(), "map"), "map");
  REQUIRE(part.at("cases").items().size() > 20);
  for (const Json& item : part.at("cases").items()) {
    CAPTURE(item.dump());
    const test::Normalized got = test::normalized(item.items()[0].as_string(), normalizer);
    CHECK(got.text == item.items()[1].as_string());
    CHECK(got.spans == item.items()[2].as_string());
  }
}

TEST_CASE("base64") {
  CHECK(decode_base64("", "t") == "");
  CHECK(decode_base64("AA==", "t") == std::string(1, '\0'));
  CHECK(decode_base64("YWI=", "t") == "ab");
  CHECK(decode_base64("YWJj+/8A", "t") == std::string("abc\xFB\xFF\0", 6));
  const auto error = [](const char* text) { return error_of([&] { decode_base64(text, "t"); }); };
  CHECK(error("YWJ") == "t: base64 of 3 characters: expected a multiple of 4");
  CHECK(error("YW-j") == "t: base64 with a bad character at 2");
  CHECK(error("YQ==YQ==") == "t: base64 with a bad character at 2");
  CHECK(error("YR==") == "t: base64 with stray bits at its end");
}

TEST_CASE("character maps that are cut short") {
  const Json golden = Json::parse_file(QE_SOURCE_DIR "/tests/golden/normalizers.json");
  const std::string whole = decode_base64(golden.at("precompiled").at("map").as_string(), "map");
  const size_t texts =
      4 + static_cast<unsigned char>(whole[0]) + size_t{256} * static_cast<unsigned char>(whole[1]);
  const size_t inside_character = whole.find("\u00E9", texts) + 1;
  REQUIRE(inside_character < whole.size());
  for (size_t n = 0; n < whole.size(); ++n) {
    CAPTURE(n);
    // What remains is refused, or has shorter texts.
    const std::string message = error_of([&] {
      const Precompiled normalizer(std::string_view(whole).substr(0, n), "map");
      const std::string text = test::normalized("ab c e\u0301 \uFB01\uFF21\r\n", normalizer).text;
      CHECK(valid_utf8_prefix_length(text) == text.size());
    });
    CHECK((message.empty() || message.starts_with("map: a character map ")));
    CHECK(message.empty() == (n >= texts && n != inside_character));
  }
}

}  // namespace
}  // namespace qe
