// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/model_card.h"

#include <filesystem>
#include <span>

#include "formats/atomic_write.h"
#include "formats/hash.h"
#include "formats/mapped_file.h"
#include "kernels/core/error.h"

namespace qe {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMark = "<!-- qlora-engine: ";

/// The line that ends a card: an edit of what stands above makes the card its editor's.
std::string mark_of(std::string_view card) {
  return cat(kMark, hash_bytes(std::as_bytes(std::span(card))), " -->\n");
}

/// Whether the file is a card as it was written here.
bool is_ours(const std::string& path) {
  constexpr uintmax_t kMaxBytes = uintmax_t{1} << 20;
  std::error_code error;
  if (!fs::is_regular_file(path, error)) return false;
  if (const uintmax_t n = fs::file_size(path, error); error || n == 0 || n > kMaxBytes)
    return false;
  const MappedFile file(path);
  const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()),
                              file.bytes().size());
  const size_t mark = text.rfind(kMark);
  return mark != std::string_view::npos && text.substr(mark) == mark_of(text.substr(0, mark));
}

}  // namespace

std::string card_code(const Json& value) {
  std::string out = "`";
  for (const char c : value.dump()) c == '`' ? out += "\\u0060" : out += c;
  return out + "`";
}

std::string model_card(const AdapterConfig& config, size_t n_pairs, const std::string& training) {
  // Strings are quoted as JSON, which is YAML as well.
  const std::string& base = config.base_model_name_or_path;
  std::string card = "---\n";
  if (!base.empty()) card += cat("base_model: ", Json(base).dump(), "\n");
  card += "library_name: peft\npipeline_tag: fill-mask\ntags:\n";
  if (!base.empty()) card += cat("- ", Json("base_model:adapter:" + base).dump(), "\n");
  card += "- lora\n- transformers\n---\n\n";
  card += "# LoRA adapter for masked language modelling\n\n";
  card += cat("- Base model: ", base.empty() ? "not recorded" : card_code(base), "\n");
  card += cat("- Rank ", config.r, ", alpha ", config.lora_alpha, ", dropout ", config.lora_dropout,
              config.use_rslora ? ", rank-stabilized" : "",
              config.use_dora ? ", with magnitudes (DoRA)" : "",
              config.rank_pattern.empty() && config.alpha_pattern.empty()
                  ? ""
                  : ", with exceptions (adapter_config.json)",
              "\n");
  card += cat("- Adapted modules: ", n_pairs, "\n\n");
  card += "Load it with `PeftModel.from_pretrained(base_model, this_folder)`.\n";
  return card + training;
}

bool write_model_card(const std::string& folder, const std::string& card) {
  const std::string path = folder + "/README.md";
  std::error_code error;
  const bool is_there = fs::exists(fs::symlink_status(path, error));
  if (is_there && !is_ours(path)) return false;
  const std::string text = card + "\n";
  write_file_atomically(path, text + mark_of(text));
  return true;
}

}  // namespace qe
