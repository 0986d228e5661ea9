// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The run configuration as a JSON schema (draft 2020-12), for editors and programs.

#include "formats/json.h"

namespace qe {

/// Made of the tables in run_config_keys.cpp: every setting with type, range, default and help, its
/// other names, and the keys of other trainers with the values that are not refused. What depends
/// on several settings, or on files, is not in it.
Json run_config_schema();

}  // namespace qe
