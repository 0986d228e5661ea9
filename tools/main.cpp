// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// qlora-engine: picks the command and turns exceptions into one line on stderr and an exit status.

#include <algorithm>
#include <exception>
#include <iostream>
#include <new>

#include "formats/library_versions.h"
#include "kernels/core/error.h"
#include "tools/commands.h"
#include "tools/manual.h"
#include "tools/run_report.h"
#include "tools/stop_signal.h"

namespace {

using namespace qe::tools;

constexpr int kError = 1, kWrongUsage = 2;

int run(const std::vector<std::string>& words) {
  const std::vector<Command> commands = {
      init_command(),          train_command(),    eval_command(),    fill_mask_command(),
      score_command(),         embed_command(),    plan_command(),    plot_command(),
      config_schema_command(), tokenize_command(), inspect_command(), merge_command(),
      combine_command(),       quantize_command(), bench_command(),   doctor_command()};
  if (words.empty()) {
    std::cerr << program_help(commands);
    return kWrongUsage;
  }
  if (words[0] == "--help" || words[0] == "-h" || words[0] == "help") {
    std::cout << program_help(commands);
    return 0;
  }
  if (words[0] == "--man") {
    std::cout << manual_page(commands);
    return 0;
  }
  if (words[0] == "--completions") {
    std::cout << completions(commands, words.size() > 1 ? words[1] : "");
    return 0;
  }
  if (words[0] == "--version") {
    std::cout << "qlora-engine " QE_VERSION "\n";
    for (const qe::LibraryVersion& library : qe::library_versions())
      std::cout << library.name << " " << library.version
                << (library.detail.empty() ? "" : " (" + library.detail + ")") << "\n";
    return 0;
  }
  for (const Command& command : commands) {
    if (words[0] != command.name) continue;
    for (size_t i = 1; i < words.size() && words[i] != "--"; ++i)
      if (words[i] == "--help" || words[i] == "-h") {
        std::cout << command_help(command);
        return 0;
      }
    try {
      return command.run(parse_arguments(command, {words.begin() + 1, words.end()}));
    } catch (const UsageError& error) {
      throw UsageError(qe::cat(error.what(), "; see qlora-engine ", command.name, " --help"));
    }
  }
  throw UsageError(qe::cat("unknown command \"", words[0], "\"; see qlora-engine --help"));
}

int fail_with(int status, std::string message) {
  std::replace(message.begin(), message.end(), '\n', ' ');  // one line, whatever a text contained
  std::cerr << "error: " << message << "\n";
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  std::ios::sync_with_stdio(false);
  try {
    const int status = run({argv + 1, argv + argc});
    if (!std::cout.flush()) return fail_with(kError, "standard output: cannot write");
    return status;
  } catch (const qe::Stopped&) {
    std::cerr << "stopped\n";
    return stop_status();
  } catch (const UsageError& error) {
    return fail_with(kWrongUsage, error.what());
  } catch (const qe::OutOfMemory& error) {
    const int status = fail_with(kError, error.what());
    std::cerr << "what this run asks for:\n" << memory_text(error.rows, error.device);
    return status;
  } catch (const std::bad_alloc&) {
    return fail_with(kError, "out of memory");
  } catch (const std::exception& error) {
    return fail_with(kError, error.what());
  }
}
