// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The command line. Each command describes itself as data (Command); parsing, checking and --help
// come from that description alone.

#include <functional>
#include <initializer_list>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "formats/run_config.h"

namespace qe::tools {

/// Wrong usage: the program prints what() and exits with 2.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct Option {
  const char* name;   ///< without the dashes
  const char* value;  ///< placeholder in --help; null: a flag
  const char* help;
  bool required = false;
  char letter = 0;  ///< 'o': -o means the same
};

/// Parsed arguments of one command.
class Arguments {
 public:
  std::vector<std::string> positionals;
  /// Run configuration keys given as --key value, in order. Only for commands that take settings.
  std::vector<std::pair<std::string, std::string>> settings;

  bool has(const std::string& name) const { return options.count(name) != 0; }
  /// The option's text, or `otherwise`; of several the last.
  std::string text(const std::string& name, const std::string& otherwise = "") const;
  /// The option as an integer in [low, high]; UsageError otherwise.
  long integer(const std::string& name, long otherwise, long low, long high) const;
  /// An option that may be given several times: its texts, in order.
  std::vector<std::string> texts(const std::string& name) const;
  std::map<std::string, std::vector<std::string>> options;
};

struct Command {
  const char* name;
  const char* summary;      ///< one line
  const char* positionals;  ///< as shown in usage, "" for none
  int max_positionals;      ///< -1: any number
  bool takes_settings;      ///< any key of the run configuration can be given as --key value
  const char* description;  ///< what it reads, does and writes
  std::vector<Option> options;
  const char* example;
  /// Runs it and gives the exit status.
  int (*run)(const Arguments& arguments);
};

/// The settings of these names that were given as options of a command, with the checks and
/// defaults of the run configuration.
RunConfig given_settings(const Arguments& arguments, std::initializer_list<const char*> names);

/// Arguments after the command's name. `--key=value`, `--key value`, `--flag`; `--` ends the
/// options; `-` inside a key reads as `_`. A setting whose value is missing, or a true|false
/// setting that is not followed by one of these, is "true". Throws UsageError.
Arguments parse_arguments(const Command& command, const std::vector<std::string>& words);

/// Calls `take` with every text of a command: its positional arguments, or, when there are none,
/// the lines of standard input. Errors of those lines say which line it was. Standard output is
/// flushed whenever no line is waiting, so that a program can ask and wait for the answer.
void for_each_text(const Arguments& arguments, const std::function<void(const std::string&)>& take);

/// "qlora-engine COMMAND ..." with what may follow.
std::string usage_of(const Command& command);
/// "-o, --output FILE".
std::string form_of(const Option& option);

/// Text of `qlora-engine COMMAND --help`, and of `qlora-engine --help`.
std::string command_help(const Command& command);
std::string program_help(const std::vector<Command>& commands);

}  // namespace qe::tools
