// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/train/training_snapshot.h"

#include <cstring>

#include "kernels/core/cuda.h"

namespace qe {
namespace {

constexpr size_t kAlignment = 64;

size_t bytes_of(const OptimizerState& state) {
  return static_cast<size_t>(state.size) * dtype_size(state.dtype);
}

}  // namespace

// The stream of the copies, and the points where it may begin and is done.
struct TrainingSnapshot::Copies {
  explicit Copies(int device) : stream(cuda::create_stream(device)), ready(device), done(device) {}
  ~Copies() {
    try {
      cuda::synchronize(stream);
    } catch (const Error&) {  // was reported where it was waited for
    }
    cuda::destroy_stream(stream);
  }
  Copies(const Copies&) = delete;
  Copies& operator=(const Copies&) = delete;
  void* stream;
  cuda::Event ready, done;
};

TrainingSnapshot::TrainingSnapshot(const LoraAdapter& adapter, const Optimizer& optimizer,
                                   Memory& memory)
    : adapter_(adapter), optimizer_(optimizer) {
  const auto aligned = [](size_t n) { return (n + kAlignment - 1) / kAlignment * kAlignment; };
  size_t n_bytes = aligned(adapter.parameters().size_bytes());
  for (const NamedState& named : named_states(adapter, optimizer)) {
    offsets_.push_back(n_bytes);
    n_bytes += aligned(bytes_of(*named.state));
  }
  data_ = static_cast<float*>(memory.allocate("checkpoint copy", n_bytes, MemoryKind::kPinned));
  const Device device = adapter.context().device;
  if (device.kind == DeviceKind::kCuda && !memory.planning()) {
    copies_ = std::make_unique<Copies>(device.index);
  }
}

TrainingSnapshot::~TrainingSnapshot() = default;

void TrainingSnapshot::take(Context& ctx) {
  if (copies_) {
    optimizer_.settle(ctx);
    copies_->ready.record(ctx.stream);
    copies_->ready.hold(copies_->stream);
  }
  const auto copy = [&](void* to, const void* from, size_t n_bytes) {
    if (copies_) {
      cuda::copy(to, from, n_bytes, copies_->stream);
    } else {
      std::memcpy(to, from, n_bytes);
    }
  };
  copy(data_, adapter_.parameters().data(), adapter_.parameters().size_bytes());
  size_t i = 0;
  for (const NamedState& named : named_states(adapter_, optimizer_)) {
    copy(reinterpret_cast<char*>(data_) + offsets_[i++], named.state->data, bytes_of(*named.state));
  }
  if (copies_) copies_->done.record(copies_->stream);
}

void TrainingSnapshot::hold(Context& ctx) const {
  if (copies_) copies_->done.hold(ctx.stream);
}

void TrainingSnapshot::wait() const {
  if (copies_) copies_->done.wait();
}

std::vector<TensorToWrite> TrainingSnapshot::optimizer_states() const {
  std::vector<TensorToWrite> tensors;
  for (const NamedState& named : named_states(adapter_, optimizer_)) {
    const char* data = reinterpret_cast<const char*>(data_) + offsets_[tensors.size()];
    tensors.push_back({named.name, named.state->dtype, named.shape, data});
  }
  return tensors;
}

std::vector<NamedState> named_states(const LoraAdapter& adapter, const Optimizer& optimizer) {
  std::vector<NamedState> named;
  const auto add = [&](const std::string& name, const Tensor& matrix) {
    const int64_t begin = matrix.f32() - adapter.parameters().data();
    for (const OptimizerState& state : optimizer.states(begin)) {
      // As long as the matrix: of its shape; else a list.
      const std::vector<int64_t> shape = state.size == matrix.size()
                                             ? std::vector<int64_t>{matrix.rows, matrix.cols}
                                             : std::vector<int64_t>{state.size};
      named.push_back({name + "." + state.name, shape, &state});
    }
  };
  for (const NamedParameter& parameter : adapter.named()) add(parameter.name, parameter.value);
  return named;
}

}  // namespace qe
