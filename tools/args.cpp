// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "tools/args.h"

#include <algorithm>
#include <charconv>
#include <iostream>

#include "formats/run_config.h"
#include "kernels/core/error.h"

namespace qe::tools {
namespace {

constexpr size_t kHelpColumn = 26;  // where the explanations start
constexpr size_t kHelpWidth = 96;

const Option* find_option(const Command& command, const std::string& name) {
  for (const Option& option : command.options)
    if (name == option.name) return &option;
  return nullptr;
}

/// "-o" as "--output", where a command has such an option.
std::string long_form(const Command& command, const std::string& word) {
  for (const Option& option : command.options)
    if (option.letter != 0 && word.size() == 2 && word[0] == '-' && word[1] == option.letter)
      return cat("--", option.name);
  return word;
}

bool starts_with_dashes(const std::string& word) {
  return word.size() > 2 && word.rfind("--", 0) == 0;
}

/// Whether `word` can be the value of setting `key`: options cannot, and a true|false setting takes
/// nothing else, so that `--line_by_line config.json` reads as expected.
bool is_value_of(const std::string& key, const std::string& word) {
  if (starts_with_dashes(word)) return false;
  for (const RunConfigKey& known : run_config_keys())
    if (known.key == key && known.type == "true|false")
      return word == "true" || word == "false" || word == "True" || word == "False" ||
             word == "0" || word == "1" || word == "yes" || word == "no";
  return true;
}

/// `left` padded to the help column, then `text` wrapped beside it.
std::string help_entry(const std::string& left, const std::string& text) {
  std::string out = "  " + left;
  if (out.size() + 2 > kHelpColumn)
    out += "\n" + std::string(kHelpColumn, ' ');
  else
    out += std::string(kHelpColumn - out.size(), ' ');
  size_t column = kHelpColumn;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find(' ', at), text.size());
    if (column + (end - at) > kHelpWidth && column > kHelpColumn) {
      out += "\n" + std::string(kHelpColumn, ' ');
      column = kHelpColumn;
    }
    out += text.substr(at, end - at) + " ";
    column += end - at + 1;
    at = end + 1;
  }
  out.erase(out.find_last_not_of(' ') + 1);
  return out + "\n";
}

/// "help: choice, choice [default, whose]".
std::string setting_text(const RunConfigKey& key) {
  std::string text = key.help;
  if (key.type != "true|false" && key.type.find('|') != std::string::npos) {
    text += ": ";
    for (const char c : key.type) c == '|' ? text += ", " : text += c;
  }
  if (!key.default_value.empty())
    return cat(text, " [", key.default_value, ", ", key.default_from, "]");
  return cat(text, " [", key.default_from, "]");
}

std::string settings_help() {
  std::string out = "\nSettings (in the file, or --key value; [default, and whose it is]):\n";
  for (const RunConfigKey& key : run_config_keys())
    out += help_entry("--" + key.key, setting_text(key));
  return out + help_entry("--preset", "qlora: all defaults of qlora.py, below the file's settings");
}

}  // namespace

std::string Arguments::text(const std::string& name, const std::string& otherwise) const {
  const auto found = options.find(name);
  return found == options.end() ? otherwise : found->second.back();
}

std::vector<std::string> Arguments::texts(const std::string& name) const {
  const auto found = options.find(name);
  return found == options.end() ? std::vector<std::string>() : found->second;
}

long Arguments::integer(const std::string& name, long otherwise, long low, long high) const {
  const auto found = options.find(name);
  if (found == options.end()) return otherwise;
  const std::string& text = found->second.back();
  long value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < low || value > high)
    throw UsageError(
        cat("--", name, ": expected an integer from ", low, " to ", high, ", got \"", text, "\""));
  return value;
}

RunConfig given_settings(const Arguments& arguments, std::initializer_list<const char*> names) {
  std::vector<std::pair<std::string, std::string>> given;
  for (const char* name : names) {
    if (arguments.has(name)) given.emplace_back(name, arguments.text(name));
  }
  return read_run_config("", given);
}

Arguments parse_arguments(const Command& command, const std::vector<std::string>& words) {
  Arguments arguments;
  for (size_t i = 0; i < words.size(); ++i) {
    if (words[i] == "--") {
      arguments.positionals.insert(arguments.positionals.end(), words.begin() + i + 1, words.end());
      break;
    }
    const std::string word = long_form(command, words[i]);
    if (!starts_with_dashes(word)) {
      if (word.size() > 1 && word[0] == '-' && command.takes_settings)
        throw UsageError(cat(word, ": options start with two dashes"));
      arguments.positionals.push_back(word);
      continue;
    }
    const size_t equals = word.find('=');
    const bool has_value = equals != std::string::npos;
    std::string name = word.substr(2, has_value ? equals - 2 : equals);
    std::string value = has_value ? word.substr(equals + 1) : "";
    std::replace(name.begin(), name.end(), '-', '_');

    const Option* option = find_option(command, name);
    if (!option && !command.takes_settings)
      throw UsageError(cat("unknown option ", word.substr(0, equals)));
    if (option && !option->value) {
      if (has_value) throw UsageError(cat("--", name, " takes no value"));
    } else if (!has_value) {
      const bool next_is_value = i + 1 < words.size() && (option ? !starts_with_dashes(words[i + 1])
                                                                 : is_value_of(name, words[i + 1]));
      if (option && !next_is_value) throw UsageError(cat("--", name, " needs ", option->value));
      value = next_is_value ? words[++i] : "true";
    }
    if (option)
      arguments.options[name].push_back(value);
    else
      arguments.settings.emplace_back(name, value);
  }

  if (command.max_positionals >= 0 &&
      arguments.positionals.size() > static_cast<size_t>(command.max_positionals))
    throw UsageError(
        cat("unexpected argument \"", arguments.positionals[command.max_positionals], "\""));
  for (const Option& option : command.options)
    if (option.required && !arguments.has(option.name))
      throw UsageError(cat("--", option.name, " ", option.value, " is missing"));
  return arguments;
}

void for_each_text(const Arguments& arguments,
                   const std::function<void(const std::string&)>& take) {
  for (const std::string& text : arguments.positionals) take(text);
  if (!arguments.positionals.empty()) return;
  std::string line;
  for (int64_t number = 1; std::getline(std::cin, line); ++number) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    try {
      take(line);
    } catch (const Error& error) {
      fail("standard input: line ", number, ": ", error.what());
    }
    if (std::cin.rdbuf()->in_avail() <= 0) std::cout.flush();
  }
}

std::string usage_of(const Command& command) {
  std::string usage = cat("qlora-engine ", command.name);
  if (*command.positionals) usage += cat(" ", command.positionals);
  if (!command.options.empty()) usage += " [options]";
  if (command.takes_settings) usage += " [--key value ...]";
  return usage;
}

std::string form_of(const Option& option) {
  return cat(option.letter ? cat("-", option.letter, ", ") : "", "--", option.name,
             option.value ? " " : "", option.value ? option.value : "");
}

std::string command_help(const Command& command) {
  std::string out = cat("Usage: ", usage_of(command), "\n\n", command.description, "\n");
  if (!command.options.empty()) {
    out += "\nOptions:\n";
    for (const Option& option : command.options) out += help_entry(form_of(option), option.help);
  }
  out += cat("\nExample:\n  ", command.example, "\n");
  if (command.takes_settings) out += settings_help();
  return out;
}

std::string program_help(const std::vector<Command>& commands) {
  std::string out =
      "qlora-engine fine-tunes masked language models (BERT and its relatives) with QLoRA and\n"
      "serves them: a frozen 4-bit base, trainable LoRA adapters, nothing else to install.\n"
      "\nUsage: qlora-engine COMMAND [arguments]\n\nCommands:\n";
  for (const Command& command : commands) out += help_entry(command.name, command.summary);
  out +=
      "\n  qlora-engine COMMAND --help   what it does, all its options, an example\n"
      "  qlora-engine --version\n"
      "  qlora-engine --man, --completions bash|zsh|fish   for packages\n"
      "\nResults go to stdout, progress and tables to stderr. Exit status: 0 done, 1 error, 2 "
      "wrong\n"
      "usage.\n";
  return out;
}

}  // namespace qe::tools
