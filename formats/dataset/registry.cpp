// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/dataset/registry.h"

#include <algorithm>
#include <cctype>
#include <filesystem>

#include "kernels/core/error.h"

namespace qe {
namespace row_formats {
void read_csv(TextStream& text, const RowSink& take);
void read_json(TextStream& text, const RowSink& take);
void read_tsv(TextStream& text, const RowSink& take);
void read_txt(TextStream& text, const RowSink& take);
}  // namespace row_formats
namespace compressions {
std::unique_ptr<ByteStream> open_gzip(MappedFile file);
std::unique_ptr<ByteStream> open_zstd(MappedFile file);
}  // namespace compressions

namespace {

constexpr RowFormat kFormats[] = {
    {".txt", row_formats::read_txt},   {".jsonl", row_formats::read_json},
    {".json", row_formats::read_json}, {".csv", row_formats::read_csv},
    {".tsv", row_formats::read_tsv},
};

constexpr Compression kCompressions[] = {
    {".gz", compressions::open_gzip},
    {".zst", compressions::open_zstd},
};

/// The entry of a list whose extension this is, or null.
template <class List>
auto find(const List& list, const std::filesystem::path& extension) {
  std::string lower = extension.string();
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const auto found = std::find_if(std::begin(list), std::end(list),
                                  [&](const auto& entry) { return lower == entry.extension; });
  return found == std::end(list) ? nullptr : &*found;
}

template <class List>
std::string names(const List& list, const char* separator) {
  std::string out;
  for (const auto& entry : list) out += cat(out.empty() ? "" : separator, entry.extension);
  return out;
}

}  // namespace

DatasetFileType dataset_file_type(const std::string& path) {
  std::filesystem::path name = std::filesystem::path(path).filename();
  DatasetFileType type{};
  type.compression = find(kCompressions, name.extension());
  if (type.compression) name = name.stem();
  type.format = find(kFormats, name.extension());
  QE_CHECK(name.extension() != ".parquet", path,
           ": Parquet is not read; convert it: python -c 'import pandas; pandas.read_parquet(\"",
           name.string(), "\").to_json(\"", name.stem().string(),
           ".jsonl\", orient=\"records\", lines=True, force_ascii=False)'");
  QE_CHECK(type.format, path, ": unknown file type \"", name.extension().string(),
           type.compression ? type.compression->extension : "",
           "\"; known: ", names(kFormats, ", "), ", each also with ", names(kCompressions, " or "),
           " behind it");
  return type;
}

}  // namespace qe
