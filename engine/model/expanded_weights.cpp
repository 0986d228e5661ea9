// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/model/expanded_weights.h"

#include <algorithm>

#include "kernels/ops/lora.h"

namespace qe {
namespace {

class Expander {
 public:
  Expander(const LoraAdapter* adapter, const Context& ctx, Memory& memory)
      : adapter_(adapter), ctx_(ctx), memory_(memory) {}

  void expand(Linear& linear) { expand(std::span<Linear>(&linear, 1)); }

  // One matrix for all of them; not for groups that hold other weights as well.
  void expand(std::span<Linear> group) {
    int64_t n = 0, ranks = 0;
    for (const Linear& linear : group) {
      if (!linear || !linear.weight.is_quantized()) return;
      if (adapter_ && adapter_->full(linear.weight_id)) return;  // the base's is not read
      const LoraPair* const pair = adapter_ ? adapter_->pair(linear.id) : nullptr;
      n += linear.weight.n();
      if (pair) ranks += pair->r;
    }
    if (group.empty()) return;
    const int64_t room = lora_room(ctx_, ranks);
    const int64_t rows = n + room, cols = group.front().weight.k() + room;
    const DType dtype = ctx_.compute;
    void* const data =
        memory_.allocate(cat("base: 4-bit weights, expanded (", dtype_name(dtype), ")"),
                         static_cast<size_t>(rows * cols) * dtype_size(dtype));
    const Tensor all = make_tensor(data, rows, cols, dtype, ctx_.device);
    int64_t row = 0;
    for (Linear& linear : group) {
      Quant4Matrix q = linear.weight.quantized();
      const Tensor expanded = all.row_range(row, q.n).col_range(0, q.k);
      if (!memory_.planning()) dequantize4(ctx_, q, expanded);
      q.expanded = expanded;
      row += q.n;
      if (row == n) q.expanded_room = room;  // others have the next one's rows below them
      linear.weight = FrozenWeight(q);
    }
  }

 private:
  const LoraAdapter* adapter_;
  Context ctx_;
  Memory& memory_;
};

}  // namespace

int64_t n_expanded_layers(const RunConfig& config) {
  const Json& resident = config.resident_weights;
  if (resident.is_bool()) return resident.as_bool() ? kAllLayers : 0;
  return resident.kind() == Json::Kind::kInt ? resident.as_int() : 0;
}

void expand_weights(MaskedLm& model, const LoraAdapter* adapter, int64_t n_layers,
                    const Context& ctx, Memory& memory) {
  if (ctx.device.kind == DeviceKind::kCpu) return;
  Expander expander(adapter, ctx, memory);
  const auto n = static_cast<size_t>(n_layers);
  for (size_t i = 0; i < std::min(n, model.layers.size()); ++i) {
    EncoderLayer& layer = model.layers[i];
    expander.expand(layer.qkv);
    expander.expand(layer.distances);
    expander.expand(layer.attention_output);
    expander.expand(layer.ffn_up);
    expander.expand(layer.ffn_down);
  }
  if (n_layers < kAllLayers) return;
  expander.expand(model.embedding_projection);
  expander.expand(model.head_dense);
}

}  // namespace qe
