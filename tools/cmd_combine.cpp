// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include <iostream>

#include "engine/convert/combined_adapter.h"
#include "formats/atomic_write.h"
#include "kernels/core/error.h"
#include "tools/commands.h"
#include "tools/convert_folder.h"
#include "tools/table.h"

namespace qe::tools {
namespace {

CombineOptions::Type type_of(const Arguments& arguments) {
  const std::string name = arguments.text("type", "cat");
  if (name == "cat") return CombineOptions::Type::kCat;
  if (name == "svd") return CombineOptions::Type::kSvd;
  if (name == "linear") return CombineOptions::Type::kLinear;
  throw UsageError(cat("--type: expected cat, svd or linear, got \"", name, "\""));
}

int run_combine(const Arguments& arguments) {
  if (arguments.positionals.empty()) throw UsageError("no adapter given");
  check_output(arguments);
  CombineOptions options{.type = type_of(arguments),
                         .svd_rank = arguments.integer("rank", 0, 0, 1 << 16)};
  if (arguments.has("rank") && options.type != CombineOptions::Type::kSvd) {
    throw UsageError("--rank: only --type svd has a choice");
  }
  for (const std::string& text : arguments.positionals) {
    options.adapters.push_back(weighted_adapter_of(text));
  }
  ThreadPool threads(static_cast<int>(arguments.integer("threads", 0, 0, 4096)));
  const Adapter combined = combine_adapters(options, threads);
  AdapterView view;
  for (const AdapterPair& pair : combined.pairs) {
    view.pairs.push_back({pair.module, pair.r, pair.in, pair.out, pair.a.data(), pair.b.data()});
  }
  write_folder_atomically(arguments.text("output"), [&](const std::string& folder) {
    write_adapter(folder, combined.config, view);
  });
  Table table("ll");
  table.add({"wrote", arguments.text("output")});
  table.add({"combined", cat(options.adapters.size(), " adapters of ", view.pairs.size(),
                             " linear layers, rank ", combined.config.r)});
  std::cout << table.text();
  return 0;
}

}  // namespace

Command combine_command() {
  return {.name = "combine",
          .summary = "adapters combined by weight into a new one",
          .positionals = "ADAPTER[:WEIGHT] ...",
          .max_positionals = -1,
          .takes_settings = false,
          .description =
              "Writes one adapter that does what several do together, each times its WEIGHT (1,\n"
              "may be negative), as peft's add_weighted_adapter does:\n"
              "  cat     the sum as it is; its rank is the sum of the ranks\n"
              "  svd     the best approximation of the sum with a given rank\n"
              "  linear  factors added up: of the same ranks, and only roughly the sum",
          .options = {{"output", "DIR", "the new adapter's folder", true},
                      {"type", "TYPE", "cat (default), svd or linear"},
                      {"rank", "R", "of svd; default: the largest of the adapters"},
                      {"threads", "N", "CPU threads; 0: all"}},
          .example = "qlora-engine combine --output both --type svd medicine:0.7 law:0.3",
          .run = run_combine};
}

}  // namespace qe::tools
