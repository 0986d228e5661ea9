// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// A masked-LM head for a folder that holds an encoder only, made as transformers initializes it:
// weights normal with deviation initializer_range, norms 1 and 0, biases 0. A decoder is made where
// it is not tied to the word table.

#include <map>
#include <string>
#include <vector>

#include "engine/model/tensor_source.h"
#include "formats/lora_config.h"

namespace qe {

/// Whether the source has an encoder of `config`, but no head.
bool lacks_head(const TensorSource& source, const EncoderConfig& config);

/// The modules of the head that are trained when it is new, for modules_to_save: what peft has to
/// find in an adapter for such a folder.
std::vector<std::string> modules_of_new_head(const EncoderConfig& config);

/// Whether an adapter of these settings has all of them in full.
bool has_new_head(const AdapterConfig& adapter, const EncoderConfig& config);

/// `source` with a new head, a pure function of seed and names.
class WithNewHead : public TensorsOver {
 public:
  WithNewHead(TensorSource& source, const EncoderConfig& config, uint64_t seed);
  bool has(const std::string& name) const override {
    return source_.has(name) || kinds_.contains(name);
  }
  const StoredTensor* find(const std::string& name, const std::vector<int64_t>& shape) override;
  const StoredTensor& read(const StoredTensor& found) override;

 private:
  enum class Kind { kWeight, kNorm, kBias };
  std::map<std::string, Kind> kinds_;  // of what the source may lack, by name
  double deviation_;
  uint64_t seed_;
  std::vector<float> values_;
};

}  // namespace qe
