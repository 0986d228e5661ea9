// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/dataset/text_reader.h"

#include <doctest/doctest.h>

#include "tests/support/temporary_folder.h"

namespace qe {
namespace {

/// All records of a file with this name and content.
std::vector<Record> records_of(const std::string& name, const std::string& content,
                               const TextColumns& columns = {}) {
  const TemporaryFolder folder;
  std::vector<Record> records;
  read_records(folder.write(name, content), columns,
               [&](Record&& record) { records.push_back(std::move(record)); });
  return records;
}

/// The message of reading, after the folder.
std::string error(const std::string& name, const std::string& content,
                  const TextColumns& columns = {}) {
  const TemporaryFolder folder;
  const std::string path = folder.write(name, content);
  const std::string message = error_of([&] { read_records(path, columns, [](Record&&) {}); });
  if (message.empty()) return "";
  REQUIRE(message.starts_with(folder.path() + "/"));
  CHECK(message.find('\n') == std::string::npos);
  return message.substr(folder.path().size() + 1);
}

std::vector<std::string> texts(const std::vector<Record>& records) {
  std::vector<std::string> out;
  for (const Record& record : records) out.push_back(record.text);
  return out;
}

using Texts = std::vector<std::string>;

TEST_CASE("a line of a .txt file is a row") {
  CHECK(texts(records_of("a.txt", "one\ntwo\n")) == Texts{"one", "two"});
  CHECK(texts(records_of("a.txt", "one\ntwo")) == Texts{"one", "two"});
  CHECK(texts(records_of("a.txt", "one\r\n\r\n two \r\n")) == Texts{"one", "", " two "});
  CHECK(texts(records_of("a.txt", "\n\na")) == Texts{"", "", "a"});
  CHECK(texts(records_of("a.txt", "")).empty());
  CHECK(texts(records_of("a.TXT", "\xEF\xBB\xBFone\n")) == Texts{"one"});
  CHECK(texts(records_of("a.txt", "a\xFF\xC3\nb")) == Texts{"a\xFF\xC3", "b"});
  CHECK(texts(records_of("a.txt", std::string("a\0b\n", 4))) == Texts{std::string("a\0b", 3)});
  const std::vector<Record> records = records_of("a.txt", "x\n\ny");
  CHECK(records[2].line == 3);
  const std::string huge(3000000, 'x');
  CHECK(texts(records_of("a.txt", huge + "\nb")) == Texts{huge, "b"});
}

TEST_CASE("JSON lines give the text column") {
  CHECK(texts(records_of("a.jsonl",
                         "{\"id\": 1, \"text\": \"a\\n\\u00e9\"}\r\n\n \t\n{\"text\": "
                         "\"\"}")) == Texts{"a\n\xC3\xA9", ""});
  CHECK(texts(records_of("a.json",
                         "\xEF\xBB\xBF{\"n\": 1, \"body\": \"b\", \"z\": \"c\"}\n"
                         "{\"z\": \"d\", \"body\": \"e\"}")) == Texts{"b", "e"});
  CHECK(texts(records_of("a.jsonl", "{\"text\": \"a\", \"title\": \"t\"}", {"title"})) ==
        Texts{"t"});
  const std::vector<Record> records =
      records_of("a.jsonl", "\n{\"text\": \"a\"}\n\n{\"text\": \"b\"}");
  CHECK(records[0].line == 2);
  CHECK(records[1].line == 4);
  CHECK(records[0].input_ids.empty());
}

TEST_CASE("a table gives the column named, or text, or the first of texts") {
  CHECK(texts(records_of("a.csv", "id,text\n1,a\n2,\n")) == Texts{"a", ""});
  CHECK(texts(records_of("a.csv", "id,body,more\n1,a,b\n2,c,d\n")) == Texts{"a", "c"});
  CHECK(texts(records_of("a.csv", "id,body,more\n1,a,b\n2,c,d\n", {"id"})) == Texts{"1", "2"});
  CHECK(texts(records_of("a.tsv", "\tbody\n0\tNA\n1\tnull\n")) == Texts{"NA", "null"});
  CHECK(texts(records_of("a.csv", "n\n1\n2.5e3\n")) == Texts{"1", "2.5e3"});
  CHECK(texts(records_of("a.csv", "x,y\n,b\n")) == Texts{""});
  CHECK(texts(records_of("a.json", R"([{"id": "7", "body": "a"}, {"id": "x", "body": "b"}])")) ==
        Texts{"a", "b"});
  CHECK(records_of("a.csv", "text\n").empty());
  CHECK(records_of("a.csv", "\n\nid,text\n1,a\n")[0].line == 4);
}

TEST_CASE("a second text goes with the first") {
  const auto pair_of = [](const std::string& name, const std::string& content,
                          const TextColumns& columns = {}) {
    return records_of(name, content, columns)[0].pair;
  };
  CHECK(pair_of("a.csv", "text,text_pair\na,b\n") == "b");
  CHECK(pair_of("a.csv", "text_pair,text\n,b\n") == "");
  CHECK(pair_of("a.csv", "s1,s2\na,b\n", {"s1", "s2"}) == "b");
  CHECK(pair_of("a.csv", "s1,s2\na,b\n") == std::nullopt);
  CHECK(pair_of("a.jsonl", "{\"text_pair\": \"a\"}") == std::nullopt);
  CHECK(pair_of("a.jsonl", R"({"input_ids": [1], "text_pair": "a"})") == std::nullopt);
  CHECK(pair_of("a.jsonl", R"({"text": "a", "text_pair": "b"})") == "b");
  CHECK(error("a.jsonl", R"({"text": "a", "text_pair": null})") ==
        "a.jsonl:1: /text_pair: expected a string, got null");
}

TEST_CASE("pre-tokenized rows keep ids, labels and types") {
  const std::vector<Record> records = records_of(
      "a.jsonl",
      R"({"input_ids": [101, 5, 102], "labels": [-100, 7, -100], "token_type_ids": [0, 0, 1]})"
      "\n"
      R"({"input_ids": [3], "labels": null, "attention_mask": [1], "text": "unused"})");
  REQUIRE(records.size() == 2);
  CHECK(records[0].input_ids == std::vector<int32_t>{101, 5, 102});
  CHECK(records[0].labels == std::vector<int32_t>{-100, 7, -100});
  CHECK(records[0].token_type_ids == std::vector<int32_t>{0, 0, 1});
  CHECK(records[0].text.empty());
  CHECK(records[1].input_ids == std::vector<int32_t>{3});
  CHECK(records[1].labels.empty());
  // A named text column is read even where ids are there.
  CHECK(texts(records_of("a.jsonl", R"({"input_ids": [3], "text": "read"})", {"text"})) ==
        Texts{"read"});
}

TEST_CASE("errors name file, line and column") {
  const std::string good = "{\"text\": \"a\"}\n";
  CHECK(error("a.jsonl", good + "{\"text\": }\n").starts_with("a.jsonl:2: column 10: "));
  CHECK(error("a.jsonl", good + "\n{\"text\": \"\xFF\"}") == "a.jsonl:3: column 11: invalid UTF-8");
  CHECK(error("a.jsonl", good + "5") == "a.jsonl:2: expected an object, got 5");
  CHECK(error("a.json", "{\n\"text\": \"a\"\n}").starts_with("a.json:1: column 2: "));
  CHECK(error("a.jsonl", good + "{\"body\": \"b\"}") ==
        "a.jsonl:2: no column \"text\"; columns: body");
  CHECK(error("a.jsonl", "{\"text\": null}") == "a.jsonl:1: /text: expected a string, got null");
  CHECK(error("a.jsonl", "{\"text\": [\"a\"]}") ==
        "a.jsonl:1: /text: expected a string, got [\"a\"]");
  CHECK(error("a.jsonl", good, {"title"}) == "a.jsonl:1: no column \"title\"; columns: text");
  CHECK(error("a.jsonl", "{\"n\": 1}") ==
        "a.jsonl:1: no text column: expected \"text\", another string, or \"input_ids\"");
  CHECK(error("a.json", "[{\"text\": \"a\"},\n{\"text\": 1}]") ==
        "a.json:2: row 2: /text: expected a string, got 1");
  CHECK(error("a.csv", "id,body\n1,x\n", {"title"}) ==
        "a.csv:2: no column \"title\"; columns: id, body");
  CHECK(error("a.csv", "id,body\n1,x\n", {"body", "other"}) ==
        "a.csv:2: no column \"other\"; columns: id, body");
  CHECK(error("a.txt", "x\n", {"title"}) == "a.txt:1: no column \"title\"; columns: text");
  CHECK(error("a.csv", "id,input_ids\n1,\"[2, 3]\"\n") ==
        "a.csv:2: expected an array, got \"[2, 3]\"");
  CHECK(error("a.csv", "\n\nid,text\n1,a\n2\n") == "a.csv:5: 1 fields, the header has 2 columns");
  CHECK(error("a.jsonl", "{\"" + std::string(900, 'y') + "\": \"\"}", {"t"}).size() < 400);
}

TEST_CASE("ill-formed ids are named") {
  const auto row = [](const std::string& members) { return error("a.jsonl", "{" + members + "}"); };
  CHECK(row(R"("input_ids": "1 2")") == "a.jsonl:1: /input_ids: expected an array, got \"1 2\"");
  CHECK(row(R"("input_ids": [1, "2"])") ==
        "a.jsonl:1: /input_ids/1: expected an integer, got \"2\"");
  CHECK(row(R"("input_ids": [1, 2.5])") ==
        "a.jsonl:1: /input_ids/1: expected a 64-bit integer, got 2.5");
  CHECK(row(R"("input_ids": [1, -2])") == "a.jsonl:1: /input_ids/1: -2 is out of range");
  CHECK(row(R"("input_ids": [2147483648])") ==
        "a.jsonl:1: /input_ids/0: 2147483648 is out of range");
  CHECK(row(R"("input_ids": [[1]])") == "a.jsonl:1: /input_ids/0: expected an integer, got [1]");
  CHECK(row(R"("input_ids": [])") == "a.jsonl:1: /input_ids: empty");
  CHECK(row(R"("input_ids": [1, 2], "labels": [1])") ==
        "a.jsonl:1: /labels: 1 values for 2 input_ids");
  CHECK(row(R"("input_ids": [1, 2], "labels": [-1, 3])") ==
        "a.jsonl:1: /labels/0: -1 is out of range");
  CHECK(row(R"("input_ids": [1, 2], "token_type_ids": [0, 0, 0])") ==
        "a.jsonl:1: /token_type_ids: 3 values for 2 input_ids");
  CHECK(row(R"("input_ids": [1, 2], "token_type_ids": [0, -100])") ==
        "a.jsonl:1: /token_type_ids/1: -100 is out of range");
  CHECK(row(R"("input_ids": [1, 2], "attention_mask": [1, 0])") ==
        "a.jsonl:1: /attention_mask: expected ones only, rows must not be padded");
  CHECK(error("a.jsonl", "{\"input_ids\": [1]}\n{\"text\": \"a\"}") ==
        "a.jsonl:2: no column \"input_ids\"; columns: text");
}

TEST_CASE("an exception of the taker ends the reading") {
  const TemporaryFolder folder;
  int n = 0;
  const std::string path = folder.write("a.txt", "1\n2\n3\n");
  CHECK(error_of([&] {
          read_records(path, {}, [&](Record&& record) {
            if (++n == 2) fail("stop at ", record.line);
          });
        }) == "stop at 2");
  CHECK(n == 2);
}

}  // namespace
}  // namespace qe
