// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/train/training_card.h"

#include "formats/library_versions.h"
#include "formats/model_card.h"
#include "kernels/core/error.h"

namespace qe {
namespace {

std::string data_line(const char* what, const std::string& files, const TokenDataset& data) {
  if (data.size() == 0) return "";
  return cat("- ", what, ": ", card_code(files), ", ", data.size(), " sequences, ", data.n_tokens(),
             " tokens, hash of the tokens ", card_code(data.hash()), "\n");
}

}  // namespace

std::string training_card(const RunConfig& config, const TokenDataset& train_data,
                          const TokenDataset& eval_data, const Json& results) {
  const bool own_validation = !config.validation_file.empty();
  std::string card = "\n## Data\n\n" + data_line("Training", config.train_file, train_data);
  card += data_line(own_validation ? "Evaluation" : "Evaluation, the first rows of",
                    own_validation ? config.validation_file : config.train_file, eval_data);
  card += "\n## Results\n\n";
  for (const auto& [key, value] : results.members()) {
    card += cat("- ", key, ": ", value.dump(), "\n");
  }
  std::string settings;
  for (const RunConfig::Origin& origin : config.origins) {
    if (origin.origin.starts_with("default")) continue;
    settings += cat("- ", origin.key, ": ", card_code(Json::parse(origin.value, origin.key)), "\n");
  }
  if (!settings.empty()) card += "\n## Settings that are not defaults\n\n" + settings;
  card += cat("\n## Versions\n\n- qlora-engine ", QE_VERSION, "\n");
  for (const LibraryVersion& library : library_versions()) {
    card += cat("- ", library.name, " ", library.version, "\n");
  }
  return card;
}

}  // namespace qe
