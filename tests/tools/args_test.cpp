// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "tools/args.h"

#include <doctest/doctest.h>

using namespace qe::tools;

namespace {

const Command kCommand = {
    .name = "test",
    .summary = "",
    .positionals = "[config.json]",
    .max_positionals = 1,
    .takes_settings = true,
    .description = "",
    .options = {{"dump_batches", "FILE", "a file", false, 'd'}, {"json", nullptr, "flag"}},
    .example = "",
    .run = nullptr};

Arguments parse(const std::vector<std::string>& words) { return parse_arguments(kCommand, words); }

std::string error_of(const std::vector<std::string>& words) {
  try {
    parse(words);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "no error";
}

using Settings = std::vector<std::pair<std::string, std::string>>;

}  // namespace

TEST_CASE("options, settings and positionals mix") {
  const Arguments a = parse({"--lora_r", "8", "config.json", "--dump-batches=f.jsonl", "--json",
                             "--learning-rate=1e-3", "--max_steps", "-1"});
  CHECK(a.positionals == std::vector<std::string>{"config.json"});
  CHECK(a.text("dump_batches") == "f.jsonl");
  CHECK(a.has("json"));
  CHECK(a.settings == Settings{{"lora_r", "8"}, {"learning_rate", "1e-3"}, {"max_steps", "-1"}});
}

TEST_CASE("a bare true|false setting is true and takes no file name") {
  const Arguments a =
      parse({"--line_by_line", "config.json", "--double_quant", "false", "--logging_first_step"});
  CHECK(a.positionals == std::vector<std::string>{"config.json"});
  CHECK(a.settings == Settings{{"line_by_line", "true"},
                               {"double_quant", "false"},
                               {"logging_first_step", "true"}});
}

TEST_CASE("a letter stands for an option") {
  CHECK(parse({"-d", "a"}).text("dump_batches") == "a");
  CHECK(error_of({"-d"}) == "--dump_batches needs FILE");
  CHECK(command_help(kCommand).find("\n  -d, --dump_batches FILE\n") != std::string::npos);
}

TEST_CASE("an option given several times: the last counts, or all") {
  const Arguments a = parse({"--dump_batches", "first", "--dump-batches=second"});
  CHECK(a.text("dump_batches") == "second");
  CHECK(a.texts("dump_batches") == std::vector<std::string>{"first", "second"});
  CHECK(a.texts("json").empty());
}

TEST_CASE("what cannot be understood") {
  CHECK(error_of({"a.json", "b.json"}) == "unexpected argument \"b.json\"");
  CHECK(error_of({"--json=1"}) == "--json takes no value");
  CHECK(error_of({"--dump_batches"}) == "--dump_batches needs FILE");
  CHECK(error_of({"--dump_batches", "--json"}) == "--dump_batches needs FILE");
  CHECK(error_of({"-x"}) == "-x: options start with two dashes");
  CHECK(parse({"--", "--json"}).positionals == std::vector<std::string>{"--json"});
}

TEST_CASE("integers of options are strict") {
  Arguments a;
  a.options["n"] = {"12"};
  CHECK(a.integer("n", 1, 0, 100) == 12);
  CHECK(a.integer("other", 1, 0, 100) == 1);
  for (const char* text : {"", "x", "12x", "101", "-1", " 1"}) {
    a.options["n"] = {text};
    CHECK_THROWS_AS(a.integer("n", 1, 0, 100), UsageError);
  }
}
