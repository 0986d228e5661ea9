// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// One row is one task. The k best so far are a heap in the output arrays themselves, the worst of
// them at the root: most logits cost one comparison.

#include "kernels/cpu/topk.h"

#include <cmath>
#include <limits>
#include <utility>

#include "kernels/cpu/row_loop.h"
#include "kernels/cpu/softmax_kernel.h"

namespace qe::cpu {
namespace {

// The k best (logit, id) pairs of a row, in caller memory.
class BestHeap {
 public:
  BestHeap(int32_t* ids, float* logits, int64_t capacity)
      : ids_(ids), logits_(logits), capacity_(capacity) {}

  void offer(float logit, int32_t id) {
    if (std::isnan(logit)) logit = -std::numeric_limits<float>::infinity();
    if (size_ < capacity_) {
      ids_[size_] = id;
      logits_[size_] = logit;
      rise(size_++);
    } else if (worse(logits_[0], ids_[0], logit, id)) {
      ids_[0] = id;
      logits_[0] = logit;
      sink(0, size_);
    }
  }

  /// Best first.
  void sort() {
    for (int64_t last = size_ - 1; last > 0; --last) {
      exchange(0, last);
      sink(0, last);
    }
  }

 private:
  static bool worse(float logit, int32_t id, float other_logit, int32_t other_id) {
    return logit < other_logit || (logit == other_logit && id > other_id);
  }
  bool worse_at(int64_t a, int64_t b) const {
    return worse(logits_[a], ids_[a], logits_[b], ids_[b]);
  }
  void exchange(int64_t a, int64_t b) {
    std::swap(ids_[a], ids_[b]);
    std::swap(logits_[a], logits_[b]);
  }
  void rise(int64_t at) {
    for (; at > 0 && worse_at(at, (at - 1) / 2); at = (at - 1) / 2) exchange(at, (at - 1) / 2);
  }
  void sink(int64_t at, int64_t size) {
    while (2 * at + 1 < size) {
      int64_t child = 2 * at + 1;
      if (child + 1 < size && worse_at(child + 1, child)) ++child;
      if (!worse_at(child, at)) return;
      exchange(at, child);
      at = child;
    }
  }

  int32_t* ids_;
  float* logits_;
  int64_t capacity_;
  int64_t size_ = 0;
};

}  // namespace

void topk(Context& ctx, const TopK& args) {
  const auto softmax_row = QE_ISA_SELECT(softmax_row);
  const auto exp_in_place = QE_ISA_SELECT(exp_in_place);
  const int64_t vocab = args.logits.cols;
  run_tasks(ctx, args.logits.rows, [&](int64_t row, int) {
    const float* logits = args.logits.f32() + row * args.logits.stride;
    int32_t* ids = args.ids.data() + row * args.k;
    float* probabilities = args.probabilities.data() + row * args.k;
    BestHeap best(ids, probabilities, args.k);
    for (const int32_t id : args.candidates) best.offer(logits[id], id);
    if (args.candidates.empty()) {
      for (int64_t id = 0; id < vocab; ++id) best.offer(logits[id], static_cast<int32_t>(id));
    }
    best.sort();
    const SoftmaxRow softmax = softmax_row(logits, vocab);
    for (int64_t i = 0; i < args.k; ++i) probabilities[i] -= softmax.max;
    exp_in_place(probabilities, args.k);
    for (int64_t i = 0; i < args.k; ++i) probabilities[i] /= softmax.sum;
  });
}

}  // namespace qe::cpu
