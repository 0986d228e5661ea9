// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The autograd tape: it records what the declared trainable parameters (LoRA) need, and nothing
// below the lowest of them. No op computes the gradient of a frozen weight.
//
// A forward pass makes Vars, whose memory comes from the context's arena, and records one closure
// per differentiable op. Lifetimes follow from the order of things:
//   - drop(v) says that the forward is done with v. Unless some closure saved it, its memory is
//     free at once (always so in inference);
//   - backward() runs the closures in reverse; after the closure that produced v has run, v's value
//     and gradient are free: every reader of v came later in the forward, so has already run.
// Allocation sizes depend on row capacities only, never on live rows, so every step of a run gets
// the same addresses. Nothing is allocated on the heap once the vectors here have grown.

#include <cstddef>
#include <cstring>
#include <memory>
#include <type_traits>
#include <vector>

#include "kernels/core/context.h"
#include "kernels/core/tensor.h"

namespace qe {

/// A value of a forward pass: an index into its tape.
struct Var {
  int32_t index = -1;
};

/// Where a gradient goes: absent (nobody needs it), to be overwritten, or to be added to.
struct GradientTarget {
  Tensor tensor;
  GradientMode mode = GradientMode::kOverwrite;
};

/// Columns of memory behind those of each row, for whoever reads a value or writes a gradient next
/// to it (joined LoRA products).
struct Room {
  int64_t value = 0;
  int64_t gradient = 0;
};

class Tape {
 public:
  /// ctx outlives the tape. Not recording: ops compute values only.
  Tape(Context& ctx, bool recording) : ctx_(&ctx), recording_(recording) {}
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  Context& context() const { return *ctx_; }
  bool recording() const { return recording_; }

  /// A new (rows, cols) value of the context's compute type on memory for row_capacity >= rows
  /// rows. needs_gradient counts only while recording.
  Var make(int64_t rows, int64_t row_capacity, int64_t cols, bool needs_gradient, Room room = {});
  /// The same in fp32, for statistics. It has no gradient.
  Var make_statistics(int64_t rows, int64_t row_capacity, int64_t cols);
  /// A Var over memory owned elsewhere. Its gradient goes to `gradient` (absent: it needs none).
  /// value_room: columns behind the value's.
  Var wrap(const Tensor& value, int64_t row_capacity, const GradientTarget& gradient = {},
           int64_t value_room = 0);

  // By value: making another Var may move the slots.
  Tensor value(Var v) const { return slots_[v.index].value; }
  bool needs_gradient(Var v) const { return slots_[v.index].needs_gradient; }
  int64_t row_capacity(Var v) const { return slots_[v.index].row_capacity; }
  Room room(Var v) const { return slots_[v.index].room; }
  /// `cols` columns right behind v's value, which live as long as it: once; absent when there is
  /// less room, or when it was taken.
  Tensor take_room(Var v, int64_t cols);

  /// A recorded closure reads v's value: keep it until v's producer has run backward, or finish(v).
  void save(Var v) { slots_[v.index].saved = true; }
  /// The forward does not read v again.
  void drop(Var v);
  /// A new Var that owns `from`'s memory: an op wrote its output in place. `from` keeps its shape
  /// and gradient only. The new Var needs no gradient of its own.
  Var take_value(Var from);

  /// Records the closure that turns `output`'s gradient into gradients of its inputs. It is called
  /// as backward(Tape&), must be trivially copyable and must not make Vars on the same tape. Does
  /// nothing when not recording or when output needs no gradient.
  template <class Backward>
  void record(Var output, const Backward& backward) {
    static_assert(std::is_trivially_copyable_v<Backward>);
    static_assert(alignof(Backward) <= alignof(std::max_align_t));
    if (!recording_ || !needs_gradient(output)) return;
    constexpr size_t kWords =
        (sizeof(Backward) + sizeof(std::max_align_t) - 1) / sizeof(std::max_align_t);
    const size_t offset = closures_.size();
    closures_.resize(offset + kWords);
    std::memcpy(static_cast<void*>(&closures_[offset]), &backward, sizeof(Backward));
    nodes_.push_back(Node{output, offset, [](const void* closure, Tape& tape) {
                            (*static_cast<const Backward*>(closure))(tape);
                          }});
  }

  /// The gradient of v; only inside backward, after somebody wrote it.
  Tensor gradient(Var v) const { return slots_[v.index].gradient; }
  /// `cols` columns right behind v's gradient, free until its next reader; absent when there is
  /// less room.
  Tensor gradient_room(Var v, int64_t cols) const;
  /// Where to write v's gradient; absent when v needs none. The first writer overwrites, later ones
  /// accumulate.
  GradientTarget target(Var v);
  /// For ops that may turn output's gradient into v's in place: output's gradient memory when it
  /// can be taken over (with the room that v's wants), else new memory. v has output's shape, needs
  /// a gradient and has none yet. Read gradient(output) first.
  Tensor inherit_gradient(Var v, Var output);
  /// Starts the backward pass from memory owned elsewhere that holds v's gradient.
  void seed_gradient(Var v, const Tensor& gradient);
  /// Frees a saved value that no closure produced; only inside backward.
  void finish(Var v) { release_value(slots_[v.index]); }

  /// Runs the closures in reverse and frees everything. The gradient of the last output has been
  /// written through target() or given by seed_gradient().
  void backward();
  /// Frees everything still held, for a new pass. Keeps the vectors' capacity.
  void clear();

  /// A tape over the same context, for parts that are recomputed or done in chunks; empty between
  /// uses. Made on first use and kept.
  Tape& inner(bool recording);
  /// A new Var that owns the memory of another tape's v.
  Var adopt(Tape& other, Var v, bool needs_gradient);

 private:
  struct Slot {
    Tensor value;
    Tensor gradient;
    GradientTarget external;  // where gradient goes when it is not the arena's
    int64_t row_capacity = 0;
    Room room;                  // wanted of a gradient, still there of a value
    int64_t gradient_room = 0;  // there
    bool needs_gradient = false;
    bool saved = false;
    bool owns_value = false;
    bool owns_gradient = false;
  };
  struct Node {
    Var output;
    size_t closure;
    void (*run)(const void* closure, Tape& tape);
  };
  Var push(const Slot& slot);
  Tensor allocate(int64_t rows, int64_t row_capacity, int64_t cols, DType dtype, int64_t room = 0);
  void release_value(Slot& slot);
  void release_gradient(Slot& slot);

  Context* ctx_;
  bool recording_;
  std::vector<Slot> slots_;
  std::vector<Node> nodes_;
  std::vector<std::max_align_t> closures_;
  std::unique_ptr<Tape> inner_;
};

}  // namespace qe
