// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include <iostream>

#include "formats/run_config_schema.h"
#include "tools/commands.h"

namespace qe::tools {
namespace {

int run_config_schema_command(const Arguments&) {
  std::cout << run_config_schema().dump(2) << "\n";
  return 0;
}

}  // namespace

Command config_schema_command() {
  return {.name = "config-schema",
          .summary = "the keys of config.json as a JSON schema, for editors and programs",
          .positionals = "",
          .max_positionals = 0,
          .takes_settings = false,
          .description =
              "Prints a JSON schema (draft 2020-12) of the run configuration: types, ranges,\n"
              "choices, defaults and help of every key, those of other trainers too. An editor\n"
              "uses it where config.json says \"$schema\": \"schema.json\".",
          .options = {},
          .example = "qlora-engine config-schema > schema.json",
          .run = run_config_schema_command};
}

}  // namespace qe::tools
