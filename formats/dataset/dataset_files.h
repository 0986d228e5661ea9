// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// A dataset of several files, read as one.

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "formats/dataset/text_reader.h"

namespace qe {

/// The files that `name` stands for: a file; the files of known types in a folder (not in folders
/// in it); or those that match a pattern with * ? or [...]. In the order of their names. Hidden
/// ones are left out. Error when there is none.
std::vector<std::string> dataset_files(const std::string& name);

/// Takes a row and the file it is in. False: no more are wanted.
using RowTake = std::function<bool(Record&& row, const std::string& file)>;

/// read_records of all files in order, until `take` gives false.
void read_files(std::span<const std::string> files, const TextColumns& columns,
                const RowTake& take);

}  // namespace qe
