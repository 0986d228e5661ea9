// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "tools/manual.h"

#include <algorithm>

#include "formats/run_config_keys.h"
#include "kernels/core/error.h"

namespace qe::tools {
namespace {

// Text for roff: nothing in it is a request or an escape.
std::string roff(const std::string& text) {
  std::string out;
  bool at_line = true;
  for (const char c : text) {
    if (at_line && (c == '.' || c == '\'')) out += "\\&";
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else {
      out += c;
    }
    at_line = c == '\n';
  }
  return out;
}

std::string entry(const std::string& tag, const std::string& text) {
  return cat(".TP\n.B ", roff(tag), "\n", roff(text), "\n");
}

// What may follow the program on a command line.
struct Word {
  std::string name;  // "--option"
  std::string help;
  std::vector<std::string> values;  // "a|b" as its value
  bool takes_value = false;
};

// "4|16|32" names values, "DIR" and "[N]" do not.
std::vector<std::string> values_of(const std::string& placeholder) {
  const auto is_name = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '|';
  };
  const bool names = placeholder.find('|') != std::string::npos &&
                     std::all_of(placeholder.begin(), placeholder.end(), is_name);
  return names ? run_config::split(placeholder, '|') : std::vector<std::string>();
}

std::vector<Word> words_of(const Command& command) {
  std::vector<Word> words;
  for (const Option& option : command.options) {
    const std::string value = option.value ? option.value : "";
    words.push_back({cat("--", option.name), option.help, values_of(value), !value.empty()});
  }
  if (!command.takes_settings) return words;
  for (const RunConfigKey& key : run_config_keys()) {
    words.push_back({cat("--", key.key), key.help, values_of(key.type), true});
  }
  return words;
}

std::string joined(const std::vector<std::string>& words) {
  std::string all;
  for (const std::string& word : words) all += (all.empty() ? "" : " ") + word;
  return all;
}

// In single quotes for a shell.
std::string quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') {
      out += "'\\''";
    } else {
      out += c == '\n' ? ' ' : c;
    }
  }
  return out + "'";
}

std::string bash_completions(const std::vector<Command>& commands) {
  std::string names;
  std::string cases;
  for (const Command& command : commands) {
    names += cat(command.name, " ");
    std::string options, values;
    for (const Word& word : words_of(command)) {
      options += word.name + " ";
      if (!word.values.empty()) {
        values += cat("        ", word.name, ") words=", quoted(joined(word.values)), " ;;\n");
      } else if (word.takes_value) {
        values += cat("        ", word.name, ") words= ;;\n");
      }
    }
    cases += cat("    ", command.name, ")\n      words=", quoted(options),
                 "\n      case $previous in\n", values, "      esac\n      ;;\n");
  }
  return cat(
      "# bash completion of qlora-engine\n"
      "_qlora_engine() {\n"
      "  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} words=\n"
      "  COMPREPLY=()\n"
      "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
      "    mapfile -t COMPREPLY < <(compgen -W ",
      quoted(names + "--help --version"),
      " -- \"$current\")\n"
      "    return\n"
      "  fi\n"
      "  case ${COMP_WORDS[1]} in\n",
      cases,
      "  esac\n"
      "  case $previous in\n"
      "    --*) [ -n \"$words\" ] && [[ $words != --* ]] || [[ $current == -* ]] || words= ;;\n"
      "    *) [[ $current == -* ]] || words= ;;\n"
      "  esac\n"
      "  [ -z \"$words\" ] || mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")\n"
      "}\n"
      "complete -o default -F _qlora_engine qlora-engine\n");
}

// For zsh's _arguments: '--name[help]:value:(a b)'.
std::string zsh_word(const Word& word) {
  std::string help = word.help;
  for (const char c : {'[', ']', ':'}) std::replace(help.begin(), help.end(), c, ' ');
  std::string spec = cat(word.name, "[", help, "]");
  if (!word.values.empty()) {
    spec += cat(":value:(", joined(word.values), ")");
  } else if (word.takes_value) {
    spec += ":value:_files";
  }
  return quoted(spec);
}

std::string zsh_completions(const std::vector<Command>& commands) {
  std::string names;
  std::string cases;
  for (const Command& command : commands) {
    std::string summary = command.summary;
    std::replace(summary.begin(), summary.end(), ':', ' ');
    names += cat("    ", quoted(cat(command.name, ":", summary)), "\n");
    cases += cat("    ", command.name, ")\n      _arguments");
    for (const Word& word : words_of(command)) cases += " \\\n        " + zsh_word(word);
    cases += " \\\n        '*:file:_files' ;;\n";
  }
  return cat(
      "#compdef qlora-engine\n"
      "_qlora_engine() {\n"
      "  local -a commands=(\n",
      names,
      "  )\n"
      "  if (( CURRENT == 2 )); then\n"
      "    _describe command commands\n"
      "    return\n"
      "  fi\n"
      "  local command=$words[2]\n"
      "  words=(\"${(@)words[2,-1]}\")\n"
      "  (( CURRENT -= 1 ))\n"
      "  case $command in\n",
      cases,
      "  esac\n"
      "}\n"
      "_qlora_engine \"$@\"\n");
}

std::string fish_completions(const std::vector<Command>& commands) {
  std::string out = "# fish completion of qlora-engine\n";
  for (const Command& command : commands) {
    out += cat("complete -c qlora-engine -n __fish_use_subcommand -a ", command.name, " -d ",
               quoted(command.summary), "\n");
  }
  for (const Command& command : commands) {
    for (const Word& word : words_of(command)) {
      out += cat("complete -c qlora-engine -n '__fish_seen_subcommand_from ", command.name, "' -l ",
                 word.name.substr(2), word.takes_value ? " -r" : "");
      if (!word.values.empty()) out += cat(" -f -a ", quoted(joined(word.values)));
      out += cat(" -d ", quoted(word.help), "\n");
    }
  }
  return out;
}

}  // namespace

std::string manual_page(const std::vector<Command>& commands) {
  std::string out = cat(".TH QLORA\\-ENGINE 1 \"\" \"qlora-engine ", QE_VERSION,
                        "\" \"User Commands\"\n"
                        ".SH NAME\nqlora\\-engine \\- fine-tune and serve masked language models "
                        "with QLoRA\n"
                        ".SH SYNOPSIS\n.B qlora\\-engine\n.I COMMAND\n[arguments]\n"
                        ".SH COMMANDS\n");
  for (const Command& command : commands) {
    out += cat(".SS ", command.name, "\n.B ", roff(usage_of(command)), "\n.PP\n",
               roff(command.description), "\n");
    for (const Option& option : command.options) out += entry(form_of(option), option.help);
    out += cat(".PP\nExample:\n.PP\n.nf\n", roff(command.example), "\n.fi\n");
  }
  out += ".SH SETTINGS\nKeys of a run configuration, in its file or as \\-\\-key value.\n";
  for (const RunConfigKey& key : run_config_keys()) {
    out += entry("--" + key.key, cat(key.help, " [", key.type, "; ",
                                     key.default_value.empty() ? "\"\"" : key.default_value, "]"));
  }
  return out +
         ".SH EXIT STATUS\n0 done, 1 error, 2 wrong usage; 130 and 143 after SIGINT and SIGTERM, "
         "with a checkpoint saved.\n";
}

std::string completions(const std::vector<Command>& commands, const std::string& shell) {
  if (shell == "bash") return bash_completions(commands);
  if (shell == "zsh") return zsh_completions(commands);
  if (shell == "fish") return fish_completions(commands);
  throw UsageError(cat("--completions: expected bash, zsh or fish, got \"", shell, "\""));
}

}  // namespace qe::tools
