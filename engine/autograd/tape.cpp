// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/autograd/tape.h"

namespace qe {

Tensor Tape::allocate(int64_t rows, int64_t row_capacity, int64_t cols, DType dtype, int64_t room) {
  QE_CHECK(rows <= row_capacity, "a batch of ", rows, " rows exceeds the planned capacity of ",
           row_capacity);
  const int64_t stride = cols + room;
  const size_t n_bytes = static_cast<size_t>(row_capacity * stride) * dtype_size(dtype);
  Tensor made = make_tensor(ctx_->arena->allocate(n_bytes), rows, cols, dtype, ctx_->device);
  made.stride = stride;
  return made;
}

Var Tape::push(const Slot& slot) {
  slots_.push_back(slot);
  return Var{static_cast<int32_t>(slots_.size()) - 1};
}

Var Tape::make(int64_t rows, int64_t row_capacity, int64_t cols, bool needs_gradient, Room room) {
  Slot slot;
  slot.value = allocate(rows, row_capacity, cols, ctx_->compute, room.value);
  slot.room = room;
  slot.row_capacity = row_capacity;
  slot.needs_gradient = recording_ && needs_gradient;
  slot.owns_value = true;
  return push(slot);
}

Var Tape::make_statistics(int64_t rows, int64_t row_capacity, int64_t cols) {
  Slot slot;
  slot.value = allocate(rows, row_capacity, cols, DType::kF32);
  slot.row_capacity = row_capacity;
  slot.owns_value = true;
  return push(slot);
}

Var Tape::wrap(const Tensor& value, int64_t row_capacity, const GradientTarget& gradient,
               int64_t value_room) {
  Slot slot;
  slot.value = value;
  slot.room.value = value_room;
  slot.external = gradient;
  slot.row_capacity = row_capacity;
  slot.needs_gradient = recording_ && static_cast<bool>(gradient.tensor);
  return push(slot);
}

void Tape::drop(Var v) {
  Slot& slot = slots_[v.index];
  if (!slot.saved) release_value(slot);
}

Var Tape::take_value(Var from) {
  Slot& source = slots_[from.index];
  Slot slot;
  slot.value = source.value;
  slot.room.value = source.room.value;
  slot.row_capacity = source.row_capacity;
  slot.owns_value = source.owns_value;
  source.owns_value = false;
  return push(slot);
}

Tensor Tape::take_room(Var v, int64_t cols) {
  Slot& slot = slots_[v.index];
  if (slot.room.value < cols) return {};
  slot.room.value = 0;
  return slot.value.col_range(slot.value.cols, cols);
}

Tensor Tape::gradient_room(Var v, int64_t cols) const {
  const Slot& slot = slots_[v.index];
  if (slot.gradient_room < cols) return {};
  return slot.gradient.col_range(slot.gradient.cols, cols);
}

GradientTarget Tape::target(Var v) {
  Slot& slot = slots_[v.index];
  if (!slot.needs_gradient) return {};
  if (slot.gradient) return {slot.gradient, GradientMode::kAccumulate};
  if (slot.external.tensor) {
    slot.gradient = slot.external.tensor;
    return slot.external;
  }
  slot.gradient = allocate(slot.value.rows, slot.row_capacity, slot.value.cols, ctx_->compute,
                           slot.room.gradient);
  slot.gradient_room = slot.room.gradient;
  slot.owns_gradient = true;
  return {slot.gradient, GradientMode::kOverwrite};
}

Tensor Tape::inherit_gradient(Var v, Var output) {
  Slot& slot = slots_[v.index];
  Slot& source = slots_[output.index];
  if (!source.owns_gradient || slot.external.tensor || source.gradient_room < slot.room.gradient) {
    return target(v).tensor;
  }
  slot.gradient = source.gradient;
  slot.gradient_room = source.gradient_room;
  slot.owns_gradient = true;
  source.owns_gradient = false;
  return slot.gradient;
}

void Tape::seed_gradient(Var v, const Tensor& gradient) { slots_[v.index].gradient = gradient; }

void Tape::backward() {
  for (size_t i = nodes_.size(); i-- > 0;) {
    const Node node = nodes_[i];
    node.run(&closures_[node.closure], *this);
    Slot& output = slots_[node.output.index];
    release_gradient(output);
    release_value(output);
  }
  clear();
}

void Tape::clear() {
  for (Slot& slot : slots_) {
    release_gradient(slot);
    release_value(slot);
  }
  slots_.clear();
  nodes_.clear();
  closures_.clear();
}

Tape& Tape::inner(bool recording) {
  if (!inner_) inner_ = std::make_unique<Tape>(*ctx_, recording);
  inner_->recording_ = recording;
  return *inner_;
}

Var Tape::adopt(Tape& other, Var v, bool needs_gradient) {
  Slot& source = other.slots_[v.index];
  Slot slot;
  slot.value = source.value;
  slot.room = source.room;
  slot.row_capacity = source.row_capacity;
  slot.needs_gradient = recording_ && needs_gradient;
  slot.owns_value = source.owns_value;
  source.owns_value = false;
  return push(slot);
}

void Tape::release_value(Slot& slot) {
  if (slot.owns_value) ctx_->arena->release(slot.value.data);
  slot.owns_value = false;
}

void Tape::release_gradient(Slot& slot) {
  if (slot.owns_gradient) ctx_->arena->release(slot.gradient.data);
  slot.owns_gradient = false;
  slot.gradient_room = 0;
  slot.gradient = Tensor{};
}

}  // namespace qe
