// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/json.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "tests/support/temporary_folder.h"

namespace qe {
namespace {

std::string parse_error(std::string_view text) {
  return error_of([&] { Json::parse(text, "doc"); });
}

TEST_CASE("Json reads every kind of value") {
  const Json json = Json::parse(R"( {"n": null, "t": true, "f": false, "i": -7, "d": 2.5,
      "s": "a\u00e9\ud83d\ude00\n\"", "a": [1, [], {}], "o": {"x": {"y": 1}}} )",
                                "doc");
  CHECK(json.at("n").is_null());
  CHECK(json.at("t").as_bool());
  CHECK_FALSE(json.at("f").as_bool());
  CHECK(json.at("i").as_int() == -7);
  CHECK(json.at("i").as_double() == -7.0);
  CHECK(json.at("d").as_double() == 2.5);
  CHECK(json.at("s").as_string() == "a\xC3\xA9\xF0\x9F\x98\x80\n\"");
  CHECK(json.at("a").items().size() == 3);
  CHECK(json.at("o").at("x").at("y").as_int() == 1);
  CHECK(json.members().front().first == "n");
  CHECK(json.find("none") == nullptr);
}

TEST_CASE("Json reads a document of one scalar, with or without a byte order mark") {
  CHECK(Json::parse("1", "doc").as_int() == 1);
  CHECK(Json::parse(" \"a\" ", "doc").as_string() == "a");
  CHECK(Json::parse("null", "doc").is_null());
  CHECK(Json::parse("\xEF\xBB\xBF[1]", "doc").items().size() == 1);
}

TEST_CASE("Json numbers: integers, doubles, and integers beyond 64 bits") {
  const auto number = [](const char* text) { return Json::parse(text, "doc"); };
  CHECK(number("9223372036854775807").as_int() == std::numeric_limits<int64_t>::max());
  CHECK(number("-9223372036854775808").as_int() == std::numeric_limits<int64_t>::min());
  CHECK(number("-0").as_int() == 0);
  CHECK(number("1.0").as_int() == 1);
  CHECK(number("1e3").as_int() == 1000);
  CHECK(number("18446744073709551615").kind() == Json::Kind::kDouble);
  CHECK(number("1000000000000000019884624838656").as_double() == 1e30);
  CHECK(std::signbit(number("-0.0").as_double()));
  CHECK(number("4.9406564584124654e-324").as_double() == 4.9406564584124654e-324);
  CHECK(number("0.1").as_double() == 0.1);
  CHECK(error_of([&] { number("1.5").as_int(); }) == "doc: expected a 64-bit integer, got 1.5");
  CHECK(error_of([&] { number("1e30").as_int(); }) == "doc: expected a 64-bit integer, got 1e+30");
  CHECK(error_of([&] { number("9223372036854775808").as_int(); }) ==
        "doc: expected a 64-bit integer, got 9.223372036854776e+18");
  CHECK(parse_error("[1e999]") == "doc: /0: number out of double's range: 1e999");
}

TEST_CASE("Json syntax errors name document, line and column") {
  const std::string structure =
      "not JSON: something is missing or superfluous here (comma, colon, bracket, key, value)";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "doc: empty, expected a JSON value"},
      {" \n", "doc: empty, expected a JSON value"},
      {"{\n \"a\": 1,\n}", "doc: line 3, column 1: " + structure},
      {"{\"a\" 1}", "doc: column 6: " + structure},
      {"{\"a\":}", "doc: column 6: " + structure},
      {"{\"a\":,}", "doc: column 6: " + structure},
      {"{\"a\":1,,\"b\":2}", "doc: column 8: " + structure},
      {"{\"a\":1 \"b\":2}", "doc: column 8: " + structure},
      {"{a: 1}", "doc: column 2: " + structure},
      {"{1: 1}", "doc: column 2: " + structure},
      {"[1,]", "doc: column 4: " + structure},
      {"[,]", "doc: column 2: " + structure},
      {"[1 2]", "doc: column 4: " + structure},
      {"[\"a\":1]", "doc: column 5: " + structure},
      {"[1}", "doc: column 3: " + structure},
      {"{\"a\":[}", "doc: column 7: " + structure},
      {"{\"a\":1]", "doc: column 7: " + structure},
      {"// comment\n1", "doc: line 1, column 1: " + structure},
      {"1 2", "doc: column 3: " + structure},
      {"{} {}", "doc: column 4: " + structure},
      {"1, 2", "doc: column 4: unexpected text after the value"},
      {"[1]]", "doc: column 5: unexpected text after the value"},
      {"\xFF", "doc: column 1: invalid UTF-8"},
      {"[\"a\",\n\"\xC3\x28\"]", "doc: line 2, column 2: invalid UTF-8"},
      {"[\"\xED\xA0\x80\"]", "doc: column 3: invalid UTF-8"},
      {"[\"\xF4\x90\x80\x80\"]", "doc: column 3: invalid UTF-8"},
      {"[\"\xC0\x80\"]", "doc: column 3: invalid UTF-8"},
      {"[\"a\nb\"]", "doc: line 1, column 4: control character inside a string"},
      {"[1, \"abc", "doc: column 5: unclosed string"},
      {"[\"\\q\"]", "doc: /0: column 2: invalid escape in a string"},
      {"[\"\\ud800\"]", "doc: /0: column 2: invalid escape in a string"},
      {"{\"a\":\n tru}", "doc: /a: line 2, column 2: expected a value, got tru"},
      {"nullx", "doc: column 1: expected a value, got nullx"},
      {"NaN", "doc: column 1: " + structure},
      {"-", "doc: column 1: expected a value, got -"},
      {"01", "doc: column 1: expected a value, got 01"},
      {"1.", "doc: column 1: expected a value, got 1."},
      {"[1e]", "doc: /0: column 2: expected a value, got 1e"},
      {"[+1]", "doc: column 2: " + structure},
      {"[0x10]", "doc: /0: column 2: expected a value, got 0x10"},
  };
  for (const auto& [text, message] : cases) {
    CAPTURE(text);
    CHECK(parse_error(text) == message);
  }
  for (const char* unclosed : {"[", "{", "[1", "[1,2", "{\"a\"", "{\"a\":", "{\"a\":1", "[[1]"}) {
    CAPTURE(unclosed);
    CHECK(parse_error(unclosed).starts_with("doc: column "));
  }
  CHECK(parse_error(std::string_view("[1]\0", 4)).starts_with("doc: column 4"));
}

TEST_CASE("Json refuses duplicate keys in small and large objects") {
  CHECK(parse_error(R"({"x": {"a": 1, "b": 2, "a": 3}})") == "doc: /x: duplicate key \"a\"");
  CHECK(parse_error(R"({"a\n": 1, "a\u000a": 3})") == "doc: duplicate key \"a\\n\"");
  std::string large = "{";
  for (int i = 0; i < 1000; ++i) large += "\"k" + std::to_string(i) + "\": 0, ";
  CHECK(parse_error(large + "\"k500\": 1}") == "doc: duplicate key \"k500\"");
  CHECK(error_of([] { Json::object({{"a", 1}, {"a", 2}}); }) == "duplicate key \"a\"");
}

TEST_CASE("Json caps depth at 64") {
  const auto nested = [](int depth, char open, char close) {
    return std::string(static_cast<size_t>(depth), open) +
           std::string(static_cast<size_t>(depth), close);
  };
  CHECK(parse_error(nested(64, '[', ']')) == "");
  CHECK(parse_error(nested(65, '[', ']')).find("nested deeper than 64 levels") !=
        std::string::npos);
  CHECK(parse_error(nested(1000000, '[', ']')).find("nested deeper than 64 levels") !=
        std::string::npos);
  CHECK(parse_error(std::string(1000000, '[')) != "");
  std::string objects;
  for (int i = 0; i < 65; ++i) objects += "{\"a\":";
  CHECK(parse_error(objects + "1" + std::string(65, '}')).find("deeper") != std::string::npos);
}

TEST_CASE("Json accessors name the document and the path") {
  const Json json = Json::parse(R"({"a": [{"b/c": "x"}, 2], "n": "768"})", "f.json");
  CHECK(json.where() == "f.json");
  CHECK(json.at("a").items()[1].where() == "f.json: /a/1");
  CHECK(json.at("a").items()[0].at("b/c").where() == "f.json: /a/0/b/c");
  CHECK(error_of([&] { json.at("n").as_int(); }) == "f.json: /n: expected an integer, got \"768\"");
  CHECK(error_of([&] { json.at("n").as_double(); }) ==
        "f.json: /n: expected a number, got \"768\"");
  CHECK(error_of([&] { json.at("a").as_string(); }) ==
        "f.json: /a: expected a string, got [{\"b/c\": \"x\"}, 2]");
  CHECK(error_of([&] { json.at("a").items()[1].as_bool(); }) ==
        "f.json: /a/1: expected true or false, got 2");
  CHECK(error_of([&] { json.at("n").items(); }) == "f.json: /n: expected an array, got \"768\"");
  CHECK(error_of([&] { json.at("n").members(); }) == "f.json: /n: expected an object, got \"768\"");
  CHECK(error_of([&] { json.at("n").find("x"); }) == "f.json: /n: expected an object, got \"768\"");
  CHECK(error_of([&] { json.at("zz"); }) == "f.json: missing key \"zz\"");
  CHECK(error_of([&] { json.at("a").items()[0].at("y"); }) == "f.json: /a/0: missing key \"y\"");
  CHECK(error_of([] { Json(1).as_string(); }) == "expected a string, got 1");
  // Copies and moved subtrees keep their place.
  Json copy = json.at("a").items()[0];
  CHECK(copy.at("b/c").where() == "f.json: /a/0/b/c");
  // Messages stay short and on one line whatever the document holds.
  const Json hostile = Json::parse(R"({"k\ney": ")" + std::string(10000, 'v') + "\"}", "f");
  const std::string message = error_of([&] { hostile.at("k\ney").as_int(); });
  CHECK(message.starts_with("f: /k\\ney: expected an integer, got \"vvv"));
  CHECK(message.size() < 200);
}

TEST_CASE("Json finds members of large objects and sets them") {
  Json json = Json::object();
  for (int i = 0; i < 300; ++i) json.set("key" + std::to_string((i * 7919) % 300), i);
  CHECK(json.members().size() == 300);
  for (int i = 0; i < 300; ++i) {
    CHECK(json.at("key" + std::to_string((i * 7919) % 300)).as_int() == i);
  }
  json.set("key5", "replaced");
  CHECK(json.members().size() == 300);
  CHECK(json.at("key5").as_string() == "replaced");
  CHECK(json.find("key300") == nullptr);
  CHECK(json.find("") == nullptr);
}

TEST_CASE("Json writes as Python's json.dumps") {
  Json json = Json::object({{"b", Json::array({1, 2.0, "x", true, Json()})},
                            {"a", Json::object({{"z", 1e-5}, {"y", Json::array()}})}});
  json.set("e", Json::object());
  CHECK(json.dump() == R"({"b": [1, 2.0, "x", true, null], "a": {"z": 1e-05, "y": []}, "e": {}})");
  CHECK(json.dump(2, true) ==
        "{\n  \"a\": {\n    \"y\": [],\n    \"z\": 1e-05\n  },\n  \"b\": [\n    1,\n    2.0,\n"
        "    \"x\",\n    true,\n    null\n  ],\n  \"e\": {}\n}");
  CHECK(Json(std::string("\"\\\b\f\n\r\t\x01\x7F\xC3\xA9")).dump() ==
        "\"\\\"\\\\\\b\\f\\n\\r\\t\\u0001\x7F\xC3\xA9\"");
  CHECK(Json(std::string("a\xFF\xC3z\xE2\x82")).dump() ==
        "\"a\xEF\xBF\xBD\xEF\xBF\xBDz\xEF\xBF\xBD\xEF\xBF\xBD\"");
  const std::vector<std::pair<double, std::string>> doubles = {
      {0.0, "0.0"},    {-0.0, "-0.0"},     {1e5, "100000.0"},         {1e15, "1000000000000000.0"},
      {1e16, "1e+16"}, {0.0001, "0.0001"}, {0.00001234, "1.234e-05"}, {0.1, "0.1"},
      {1e22, "1e+22"}, {5e-324, "5e-324"}, {std::nan(""), "null"},    {-HUGE_VAL, "null"}};
  for (const auto& [value, text] : doubles) CHECK(Json(value).dump() == text);
}

TEST_CASE("Json numbers survive writing and reading") {
  std::mt19937_64 random(1);
  for (int i = 0; i < 5000; ++i) {
    const uint64_t bits = random();
    double value;
    std::memcpy(&value, &bits, sizeof value);
    if (!std::isfinite(value)) continue;
    const Json back = Json::parse(Json(value).dump(), "doc");
    CHECK(back.kind() == Json::Kind::kDouble);
    CHECK(back.as_double() == value);
    const auto integer = static_cast<int64_t>(random());
    CHECK(Json::parse(Json(integer).dump(), "doc").as_int() == integer);
  }
}

TEST_CASE("Json::parse_file names the file and honours the size limit") {
  const TemporaryFolder folder;
  const std::string path = folder.write("a.json", "{\"a\": }");
  CHECK(error_of([&] { Json::parse_file(path); }).starts_with(path + ": column 7: "));
  CHECK(error_of([&] { Json::parse_file(path, 5); }) ==
        path + ": 7 bytes, at most 5 are read as JSON");
  CHECK(error_of([&] { Json::parse_file(folder.write("empty", "")); }).find("empty") !=
        std::string::npos);
  CHECK(error_of([&] { Json::parse_file(folder.path() + "/none"); }).find("No such file") !=
        std::string::npos);
}

TEST_CASE("Json parses or refuses mutated documents, and never writes what it cannot read") {
  const std::string seed =
      R"({"a": [1, -2.5e3, true, null, "x\u00e9\n"], "b": {"c": {}, "d": [[], [0.1]]}, "é": ""})";
  const std::string alphabet = "{}[]\",:\\0123456789.eE+-untrfalse \n\xC3\xFF\x01";
  std::mt19937 random(7);
  int n_parsed = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string text = seed;
    const unsigned n_edits = 1 + random() % 4;
    for (unsigned k = 0; k < n_edits && !text.empty(); ++k) {
      const size_t at = random() % text.size();
      switch (random() % 4) {
        case 0:
          text.erase(at, 1 + random() % 5);
          break;
        case 1:
          text.insert(at, 1, alphabet[random() % alphabet.size()]);
          break;
        case 2:
          text[at] = alphabet[random() % alphabet.size()];
          break;
        default:
          text.insert(at, text.substr(random() % text.size(), random() % 12));
      }
    }
    Json json;
    const std::string error = error_of([&] { json = Json::parse(text, "doc"); });
    if (error.empty()) {
      ++n_parsed;
      const std::string written = json.dump();
      CHECK(Json::parse(written, "again").dump() == written);
      CHECK(Json::parse(json.dump(1, true), "again").dump(1, true) == json.dump(1, true));
    } else {
      CHECK(error.starts_with("doc: "));
      CHECK(error.find('\n') == std::string::npos);
    }
  }
  CHECK(n_parsed > 100);
  CHECK(n_parsed < 19000);
}

}  // namespace
}  // namespace qe
