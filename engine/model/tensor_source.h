// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Where a model's tensors come from while it is loaded: the files of a folder, or random values.

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "formats/encoder_config.h"
#include "formats/quant4_file.h"
#include "formats/weight_files.h"
#include "kernels/core/context.h"
#include "kernels/ops/quant4.h"

namespace qe {

class TensorSource {
 public:
  virtual ~TensorSource() = default;
  /// What messages call the source.
  virtual const std::string& name() const = 0;
  /// Whether there is a tensor of this (Hugging Face) name.
  virtual bool has(const std::string& name) const = 0;
  /// The tensor, or null, valid until the next call. Its bytes are there after read.
  virtual const StoredTensor* find(const std::string& name, const std::vector<int64_t>& shape) = 0;
  /// What find returned, with its bytes.
  virtual const StoredTensor& read(const StoredTensor& found) { return found; }
  /// Makes the values of `found` where a GPU keeps them, instead of read; false: this source
  /// cannot.
  virtual bool make(const StoredTensor& found, Context& ctx, const Tensor& out) {
    (void)found, (void)ctx, (void)out;
    return false;
  }
  virtual bool make(const StoredTensor& found, Context& ctx, Quant4Matrix& out) {
    (void)found, (void)ctx, (void)out;
    return false;
  }
  /// The weight of this name when it is stored in 4 bits, valid until the next call.
  virtual std::optional<StoredQuant4> find_quantized(const std::string& name) const = 0;
  /// Whether a file holds both tensors, with different values.
  virtual bool holds_different(const std::string& a, const std::string& b) const = 0;
};

/// Another source, of which some tensors are made here: who derives finds and reads those.
class TensorsOver : public TensorSource {
 public:
  /// `source` outlives this.
  explicit TensorsOver(TensorSource& source) : source_(source) {}
  const std::string& name() const override { return source_.name(); }
  bool has(const std::string& name) const override { return source_.has(name); }
  bool make(const StoredTensor& found, Context& ctx, const Tensor& out) override {
    return &found != &made_ && source_.make(found, ctx, out);
  }
  bool make(const StoredTensor& found, Context& ctx, Quant4Matrix& out) override {
    return &found != &made_ && source_.make(found, ctx, out);
  }
  std::optional<StoredQuant4> find_quantized(const std::string& name) const override {
    return source_.find_quantized(name);
  }
  bool holds_different(const std::string& a, const std::string& b) const override {
    return source_.holds_different(a, b);
  }

 protected:
  TensorSource& source_;
  StoredTensor made_;  // the one of those that was asked for last
};

/// Rows [n * rows / n_parts, ...) of a matrix whose rows divide evenly. Throws Error otherwise.
StoredTensor part_of(const StoredTensor& tensor, size_t n, size_t n_parts, const std::string& name);

/// The name that the engine looks a stored tensor up by ("" for one that it does not need): the
/// family's name, also for what stands beside a 4-bit weight.
std::string canonical_tensor_name(const Family& family, const std::string& stored);

/// fp32 values as a type's bytes. Throws Error, beginning with `what`, for one that is not finite
/// there.
std::vector<std::byte> bytes_of(const std::vector<float>& values, DType dtype,
                                const std::string& what);

/// The mapped files of a folder, by the names that the family gives them.
class FolderTensors : public TensorSource {
 public:
  FolderTensors(const std::string& folder, const Family& family);
  /// As stored, by the stored names.
  const WeightFiles& files() const { return files_; }
  const std::string& name() const override { return files_.folder(); }
  bool has(const std::string& name) const override { return tensors_.count(name) != 0; }
  const StoredTensor* find(const std::string& name, const std::vector<int64_t>& shape) override;
  std::optional<StoredQuant4> find_quantized(const std::string& name) const override;
  bool holds_different(const std::string& a, const std::string& b) const override;

 private:
  void add_parts(const std::string& canonical, const StoredTensor& tensor);

  WeightFiles files_;
  std::map<std::string, const StoredTensor*> tensors_;
  std::vector<std::unique_ptr<StoredTensor>> parts_;  // of tensors that are several
};

/// Every tensor that is asked for, in F32: LayerNorm weights are 1, all else is uniform with
/// standard deviation 0.02 (BERT's initializer_range), a function of seed, name and index only.
/// One tensor is held at a time. On a GPU matrices are made there; of 4-bit weights codes and
/// scales are random. While planning there are no bytes.
class RandomTensors : public TensorSource {
 public:
  RandomTensors(std::string name, uint64_t seed, const Context& ctx, bool planning)
      : name_(std::move(name)), seed_(seed), ctx_(ctx), planning_(planning) {}
  const std::string& name() const override { return name_; }
  bool has(const std::string&) const override { return true; }
  const StoredTensor* find(const std::string& name, const std::vector<int64_t>& shape) override;
  const StoredTensor& read(const StoredTensor& found) override;
  bool make(const StoredTensor& found, Context& ctx, const Tensor& out) override;
  bool make(const StoredTensor& found, Context& ctx, Quant4Matrix& out) override;
  std::optional<StoredQuant4> find_quantized(const std::string&) const override { return {}; }
  bool holds_different(const std::string&, const std::string&) const override { return false; }

 private:
  uint64_t stream_of(const StoredTensor& tensor) const;

  std::string name_;
  uint64_t seed_;
  Context ctx_;
  bool planning_;
  std::vector<float> values_;
  StoredTensor tensor_;
};

}  // namespace qe
