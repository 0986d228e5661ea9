// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/model/batch_buffer.h"

#include <cstring>

#include "kernels/core/error.h"

namespace qe {
namespace {

constexpr size_t kAlignment = 64;

// Lays the lists of a batch out one after the other, each with room for its capacity.
class Layout {
 public:
  Layout(char* pinned, const char* device) : pinned_(pinned), device_(device) {}

  template <class T>
  void place(const std::vector<T>& list, int64_t capacity, std::span<const T>& view) {
    QE_CHECK(static_cast<int64_t>(list.size()) <= capacity, "a batch with a list of ", list.size(),
             " entries exceeds the planned capacity of ", capacity);
    std::memcpy(pinned_ + offset_, list.data(), list.size() * sizeof(T));
    view = {reinterpret_cast<const T*>(device_ + offset_), list.size()};
    reserve<T>(capacity);
  }
  template <class T>
  void reserve(int64_t capacity) {
    const size_t n_bytes = static_cast<size_t>(capacity) * sizeof(T);
    offset_ += (n_bytes + kAlignment - 1) / kAlignment * kAlignment;
  }
  size_t n_bytes() const { return offset_; }

 private:
  char* pinned_;
  const char* device_;
  size_t offset_ = 0;
};

size_t bytes_of(const BatchCapacity& c) {
  Layout layout(nullptr, nullptr);
  for (int i = 0; i < 6; ++i) layout.reserve<int32_t>(c.tokens);
  layout.reserve<int32_t>(c.sequences + 1);
  layout.reserve<int32_t>(c.sequences);
  for (int i = 0; i < 4; ++i) layout.reserve<int32_t>(c.labels);
  return layout.n_bytes();
}

}  // namespace

BatchBuffer::BatchBuffer(const BatchCapacity& capacity, int n_batches, const Context& ctx,
                         Memory& memory)
    : capacity_(capacity) {
  if (ctx.device.kind == DeviceKind::kCpu) return;
  n_bytes_ = bytes_of(capacity);
  device_ = memory.allocate_array<char>("batch", static_cast<int64_t>(n_bytes_));
  slots_.resize(static_cast<size_t>(n_batches));
  for (Slot& slot : slots_) {
    slot.pinned = memory.allocate_array<char>("batch (pinned)", static_cast<int64_t>(n_bytes_),
                                              MemoryKind::kPinned);
    if (!memory.planning()) slot.copied = std::make_unique<cuda::Event>(ctx.device.index);
  }
}
BatchBuffer::~BatchBuffer() = default;

BatchView BatchBuffer::bind(const Context& ctx, const PackedBatch& batch) {
  BatchView view(batch);
  if (ctx.device.kind == DeviceKind::kCpu) return view;
  Slot& slot = slots_[next_];
  next_ = (next_ + 1) % slots_.size();
  slot.copied->wait();  // at once, unless the host is n_batches ahead
  Layout layout(slot.pinned, device_);
  layout.place(batch.token_ids, capacity_.tokens, view.token_ids);
  layout.place(batch.type_ids, capacity_.tokens, view.type_ids);
  layout.place(batch.position_ids, capacity_.tokens, view.position_ids);
  layout.place(batch.word_scales, capacity_.tokens, view.word_scales);
  layout.place(batch.row_samples, capacity_.tokens, view.row_samples);
  layout.place(batch.row_indices, capacity_.tokens, view.row_indices);
  layout.place(batch.cu_seqlens, capacity_.sequences + 1, view.cu_seqlens);
  layout.place(batch.sample_ids, capacity_.sequences, view.sample_ids);
  layout.place(batch.label_rows, capacity_.labels, view.label_rows);
  layout.place(batch.labels, capacity_.labels, view.labels);
  layout.place(batch.label_samples, capacity_.labels, view.label_samples);
  layout.place(batch.label_indices, capacity_.labels, view.label_indices);
  cuda::copy(device_, slot.pinned, n_bytes_, ctx.stream);
  slot.copied->record(ctx.stream);
  return view;
}

}  // namespace qe
