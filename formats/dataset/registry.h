// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// What a dataset file may be: a row format, and a compression around it. One .cpp each, one line
// each in registry.cpp.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "formats/dataset/text_stream.h"
#include "formats/json.h"
#include "formats/mapped_file.h"

namespace qe {

/// Takes a row: an object with the row's columns (what has no types gives strings), and the 1-based
/// line of the file where it begins.
using RowSink = std::function<void(Json&& row, int64_t line)>;

/// A way to write rows down.
struct RowFormat {
  const char* extension;  ///< lower case, with the dot
  /// Gives every row in order and holds no more than one. Errors: one line that begins with
  /// "path:line: ".
  void (*read)(TextStream& text, const RowSink& take);
};

/// A way to make files smaller.
struct Compression {
  const char* extension;
  /// What the file holds, decompressed piece by piece. Errors name file and byte offset.
  std::unique_ptr<ByteStream> (*open)(MappedFile file);
};

struct DatasetFileType {
  const RowFormat* format;
  const Compression* compression;  ///< null: none
};

/// By the name's last extensions, in any case: ".csv", ".jsonl.gz". Error with the known ones.
DatasetFileType dataset_file_type(const std::string& path);

}  // namespace qe
