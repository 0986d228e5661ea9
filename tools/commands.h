// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The commands, one file each, in the order of --help.

#include "tools/args.h"

namespace qe::tools {

Command init_command();
Command train_command();
Command eval_command();
Command fill_mask_command();
Command score_command();
Command embed_command();
Command plan_command();
Command plot_command();
Command config_schema_command();
Command tokenize_command();
Command inspect_command();
Command merge_command();
Command combine_command();
Command quantize_command();
Command bench_command();
Command doctor_command();

}  // namespace qe::tools
