// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// .txt: a line is a row with the one column "text". Blank lines are rows.

#include <utility>

#include "formats/dataset/registry.h"

namespace qe::row_formats {

void read_txt(TextStream& text, const RowSink& take) {
  LineReader lines(text);
  for (std::string_view line; lines.next(line);) {
    Json row;
    row.set("text", std::string(line));
    take(std::move(row), lines.number());
  }
}

}  // namespace qe::row_formats
