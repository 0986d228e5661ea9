// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Parameters and optimizer states as they are between two updates, copied to host memory: what a
// checkpoint is written from while the training goes on. On a GPU the copies run on a stream of
// their own.

#include <memory>
#include <vector>

#include "engine/model/lora.h"
#include "engine/train/optimizer.h"
#include "formats/safetensors.h"

namespace qe {

class TrainingSnapshot {
 public:
  /// Both outlive the snapshot. Memory row: "checkpoint copy", pinned where there is a GPU.
  TrainingSnapshot(const LoraAdapter& adapter, const Optimizer& optimizer, Memory& memory);
  ~TrainingSnapshot();
  TrainingSnapshot(const TrainingSnapshot&) = delete;
  TrainingSnapshot& operator=(const TrainingSnapshot&) = delete;

  /// Copies what the context's stream leaves there. On a GPU it only starts; then hold() comes
  /// before the next update of the parameters, and wait() before anything is read.
  void take(Context& ctx);
  /// Holds the context's stream until the copies are done. The host does not wait.
  void hold(Context& ctx) const;
  /// Waits for the copies; from any thread.
  void wait() const;

  const AdapterConfig& adapter_config() const { return adapter_.config(); }
  /// Views of the copy.
  AdapterView adapter() const { return adapter_.views(data_); }
  std::vector<TensorToWrite> optimizer_states() const;

 private:
  struct Copies;
  const LoraAdapter& adapter_;
  const Optimizer& optimizer_;
  float* data_;                     // parameters, then states
  std::vector<size_t> offsets_;     // of the states, in bytes
  std::unique_ptr<Copies> copies_;  // of a GPU
};

/// An optimizer's state of one of the adapter's matrices, as optimizer.safetensors names it:
/// "<module>.lora_A.weight.exp_avg" ...
struct NamedState {
  std::string name;
  std::vector<int64_t> shape;
  const OptimizerState* state;
};
std::vector<NamedState> named_states(const LoraAdapter& adapter, const Optimizer& optimizer);

}  // namespace qe
