// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// manifest.json of a folder: the size and XXH3-128 hash of every file in it, so that a folder that
// is whole can be told from one that is not.

#include <string>

#include "formats/json.h"

namespace qe {

/// Writes manifest.json for the files that `folder` holds now. `about` is an object of further
/// members. Throws Error.
void write_manifest(const std::string& folder, const Json& about);

/// Throws Error unless the folder has a manifest and all that it lists, byte for byte: one line
/// that names the file and what is wrong with it. Files that are not listed do not matter. Returns
/// the manifest.
Json check_manifest(const std::string& folder);

}  // namespace qe
