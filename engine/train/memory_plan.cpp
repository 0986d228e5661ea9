// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/train/memory_plan.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <optional>

namespace qe {
namespace {

// What changes cost, as shares of a step's time. Measured on an H100 with bert-large in bf16,
// sequences of 512 tokens, LoRA rank 64 (2, 4, 8, 16 and 32 sequences: 19.6, 30.7, 52.0, 97.3 ms
// from the second on):
// - a micro-batch costs a fixed time (launches, products too small for the GPU), as much as
//   kFixedTokens more tokens would;
// - weights that are not resident are decoded again in every micro-batch: 2 ms, kPackedTokens;
// - recomputing layers costs another forward pass: 132.1 ms instead of 97.3;
// - the update waits for paged states, which are as many as the rank says: 6.7 ms in unified
// memory,
//   4.1 in pinned.
// So at 16 k tokens weights that are not resident cost 2 %, paged states 8 %, at rank 16 2 %, half
// the micro-batch 8 %, a quarter of it 24 %; at 4 k tokens four times as much. The CPU takes the
// same order.
constexpr double kFixedTokens = 1300.0;
constexpr double kPackedTokens = 370.0;
constexpr double kRecomputeCost = 0.36;
constexpr double kPagedTokensPerRank = 19.0;

// Of the run as it was asked for.
struct Change {
  bool packs = false;  // gives up resident weights that were asked for
  bool pages = false;
  bool recomputes = false;
  int64_t split = 1;  // of the micro-batch

  int n_kinds() const { return packs + pages + recomputes + (split > 1); }
};

std::string size_text(size_t n_bytes) {
  const auto bytes = static_cast<double>(n_bytes);
  char text[32];
  std::snprintf(text, sizeof text, n_bytes < 1'000'000'000 ? "%.1f MB" : "%.2f GB",
                n_bytes < 1'000'000'000 ? 1e-6 * bytes : 1e-9 * bytes);
  return text;
}

using Choice = std::pair<const char*, Json>;

// The settings that a plan may choose.
std::vector<Choice> choices_of(const RunConfig& c) {
  return {{"resident_weights", c.resident_weights},
          {"paged_states", c.paged_states},
          {"gradient_checkpointing", c.gradient_checkpointing},
          {"per_device_train_batch_size", c.per_device_train_batch_size},
          {"gradient_accumulation_steps", c.gradient_accumulation_steps},
          {"per_device_eval_batch_size", c.per_device_eval_batch_size}};
}

class Planner {
 public:
  Planner(const RunConfig& config, const RunShape& shape, const EncoderConfig& encoder,
          Device device, const MemoryLimit& limit, const CountRows& count)
      : config_(config),
        shape_(shape),
        n_layers_(encoder.n_distinct_layers),
        device_(device),
        limit_(limit),
        count_(count) {}

  // The cheapest change that fits, with as many resident weights as then fit.
  MemoryPlan plan() const {
    std::optional<Fit> best;
    for (const Change& change : changes(false)) {
      if (best && cost(change) >= best->cost) break;
      const std::optional<Fit> fit = fit_with(change);
      if (fit && (!best || fit->cost < best->cost)) best = fit;
    }
    if (!best) refuse();
    MemoryPlan plan{.config = best->config, .rows = count_(best->config)};
    if (const std::string text = difference(best->config); !text.empty()) {
      plan.notes.push_back(cat(text, ": chosen ", origin(), " of ", limit_.what,
                               "; as set, the run needs ", size_text(needed(changed({}, false)))));
    }
    if (config_.resident_weights.is_string() && best->resident < 1.0) {
      plan.notes.push_back(cat("resident_weights: those of ",
                               std::llround(best->resident * static_cast<double>(n_layers_)),
                               " of ", n_layers_, " layers, ", origin(), " of ", limit_.what));
    }
    return plan;
  }

 private:
  size_t needed(const RunConfig& config) const { return device_bytes(count_(config), device_); }
  bool fits(size_t n_bytes) const { return limit_.n_bytes == 0 || n_bytes <= limit_.n_bytes; }
  std::string origin() const { return cat("to fit ", size_text(limit_.n_bytes)); }
  bool on_gpu() const { return device_.kind == DeviceKind::kCuda; }
  int64_t batch_size() const {
    return shape_.trains ? config_.per_device_train_batch_size : config_.per_device_eval_batch_size;
  }

  // Splitting leaves updates alone, except where the means or the sizes of micro-batches count.
  bool may_split(bool all) const {
    if (!shape_.trains) return all || is_open(config_, "per_device_eval_batch_size");
    if (config_.loss_norm == "microbatch" || config_.dataloader_drop_last ||
        config_.per_device_train_batch_tokens > 0) {
      return false;
    }
    return all || (is_open(config_, "per_device_train_batch_size") &&
                   is_open(config_, "gradient_accumulation_steps"));
  }

  double tokens() const {
    const int64_t n =
        config_.per_device_train_batch_tokens > 0 && shape_.trains
            ? config_.per_device_train_batch_tokens
            : batch_size() * (shape_.trains ? shape_.train_length : shape_.eval_length);
    return static_cast<double>(std::max<int64_t>(n, 1));
  }
  double cost(const Change& change) const {
    return (change.packs ? packed_cost(change) : 0.0) + (change.pages ? paged_cost() : 0.0) +
           (change.recomputes ? kRecomputeCost : 0.0) +
           static_cast<double>(change.split - 1) * kFixedTokens / tokens();
  }
  double paged_cost() const {
    return kPagedTokensPerRank * static_cast<double>(config_.lora_r) /
           (tokens() * static_cast<double>(config_.gradient_accumulation_steps));
  }
  double packed_cost(const Change& change) const {
    return static_cast<double>(change.split) * kPackedTokens / tokens();
  }

  // All combinations of what may change, none first, then the cheapest. `all`: also of what
  // somebody set.
  std::vector<Change> changes(bool all) const {
    const bool packs =
        all && on_gpu() && config_.resident_weights.is_bool() && config_.resident_weights.as_bool();
    const bool pages = shape_.trains && on_gpu() && !pages_states(config_) &&
                       (all || (config_.paged_states.is_string() && is_open(config_, "optim")));
    const bool recomputes = shape_.trains && !config_.gradient_checkpointing &&
                            (all || is_open(config_, "gradient_checkpointing"));
    std::vector<Change> found;
    for (int64_t split = 1; split <= (may_split(all) ? batch_size() : 1); ++split) {
      if (batch_size() % split != 0) continue;
      for (int bits = 0; bits < 8; ++bits) {
        const Change change{(bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0, split};
        const bool possible = (packs || !change.packs) && (pages || !change.pages) &&
                              (recomputes || !change.recomputes);
        if (possible) found.push_back(change);
      }
    }
    std::stable_sort(found.begin(), found.end(),
                     [&](const Change& a, const Change& b) { return cost(a) < cost(b); });
    return found;
  }

  // The run with a change; weights that are resident only if there is room are not. `all`: whoever
  // set what follows from it.
  RunConfig changed(const Change& change, bool all) const {
    RunConfig config = config_;
    const auto choose = [&](const char* key, const Json& value) {
      choose_setting(config, key, value, origin());
    };
    if (change.packs || config.resident_weights.is_string()) {
      choose("resident_weights", Json(false));
    }
    if (change.pages) choose("paged_states", Json(true));
    if (change.recomputes) choose("gradient_checkpointing", Json(true));
    if (change.split == 1) return config;
    const int64_t size = batch_size() / change.split;
    if (shape_.trains) {
      choose("per_device_train_batch_size", Json(size));
      choose("gradient_accumulation_steps",
             Json(config_.gradient_accumulation_steps * change.split));
    }
    // Evaluation does not depend on its batches, except transformers' mean of means.
    const bool eval_follows = shape_.eval_samples > 0 &&
                              (all || is_open(config_, "per_device_eval_batch_size")) &&
                              !config_.metric_for_best_model.ends_with("loss_hf") &&
                              config_.per_device_eval_batch_size > size;
    if (!shape_.trains || eval_follows) choose("per_device_eval_batch_size", Json(size));
    return config;
  }

  // "a=1 b=2": the choices that are not those of the run as it was asked for.
  std::string difference(const RunConfig& config) const {
    const std::vector<Choice> asked = choices_of(config_), chosen = choices_of(config);
    std::string text;
    for (size_t i = 0; i < asked.size(); ++i) {
      const std::string value = chosen[i].second.dump();
      if (value == asked[i].second.dump() || asked[i].second.is_string()) continue;
      text += cat(text.empty() ? "" : " ", chosen[i].first, "=", value);
    }
    if (pages_states(config) && config_.paged_states.is_string() && !pages_states(config_)) {
      text += cat(text.empty() ? "" : " ", "paged_states=true");
    }
    return text;
  }

  struct Fit {
    RunConfig config;
    double resident;  // share of the layers
    double cost;
  };

  std::optional<Fit> fit_with(const Change& change) const {
    const RunConfig config = changed(change, false);
    if (!fits(needed(config))) return std::nullopt;
    if (!config_.resident_weights.is_string()) return Fit{config, 1.0, cost(change)};
    const auto with = [&](const Json& layers, const std::string& why) {
      RunConfig expanded = config;
      choose_setting(expanded, "resident_weights", layers, why);
      return expanded;
    };
    if (!on_gpu() || config_.bits != 4) {
      return Fit{with(Json(false), "auto: there is nothing to expand"), 1.0, cost(change)};
    }
    // More layers take more, but all of them spare the scratch that others are decoded into.
    const RunConfig all = with(Json(true), "auto: there is room");
    if (fits(needed(all))) return Fit{all, 1.0, cost(change)};
    int64_t n = 0, too_many = n_layers_;
    while (too_many - n > 1) {
      const int64_t middle = (n + too_many) / 2;
      (fits(needed(with(Json(middle), ""))) ? n : too_many) = middle;
    }
    const double share = static_cast<double>(n) / static_cast<double>(n_layers_);
    return Fit{with(n > 0 ? Json(n) : Json(false), origin()), share,
               cost(change) + (1.0 - share) * packed_cost(change)};
  }

  [[noreturn]] void refuse() const {
    const size_t asked = needed(changed({}, false));
    fail("memory: this run needs ", size_text(asked), " on ", device_name(device_), ", ",
         size_text(asked - limit_.n_bytes), " more than the ", size_text(limit_.n_bytes), " of ",
         limit_.what, "; ", remedies());
  }

  // What would make the run fit: one change, or the cheapest combination where none does alone.
  std::string remedies() const {
    struct Tried {
      Change change;
      std::string text;
      size_t n_bytes;
    };
    std::vector<Tried> tried;
    for (const Change& change : changes(true)) {
      if (change.n_kinds() == 0) continue;
      const RunConfig config = changed(change, true);
      tried.push_back({change, difference(config), needed(config)});
    }
    if (tried.empty()) return "there is nothing left to save";
    const auto text_of = [](const Tried& t) {
      return cat(t.text, " (", size_text(t.n_bytes), ")");
    };
    const auto add = [](std::string& list, const std::string& item) {
      list += cat(list.empty() ? "" : ", or ", item);
    };
    std::string enough, not_enough;
    bool split_named = false;
    for (const Tried& t : tried) {
      const bool splits = t.change.split > 1;
      if (t.change.n_kinds() != 1 || (splits && split_named)) continue;
      // Of all splits the first that is enough, or the last.
      const bool last = t.change.split == batch_size();
      if (splits && !fits(t.n_bytes) && !last) continue;
      split_named = split_named || splits;
      add(fits(t.n_bytes) ? enough : not_enough, text_of(t));
    }
    if (enough.empty()) {
      const auto first =
          std::find_if(tried.begin(), tried.end(), [&](const Tried& t) { return fits(t.n_bytes); });
      if (first != tried.end()) {
        enough = text_of(*first);
      } else {
        const auto least =
            std::min_element(tried.begin(), tried.end(),
                             [](const Tried& a, const Tried& b) { return a.n_bytes < b.n_bytes; });
        return cat("nothing makes it fit: the least is ", text_of(*least));
      }
    }
    return cat("it fits with ", enough,
               not_enough.empty() ? "" : cat("; not with only ", not_enough));
  }

  const RunConfig& config_;
  const RunShape& shape_;
  const int64_t n_layers_;
  const Device device_;
  const MemoryLimit& limit_;
  const CountRows& count_;
};

}  // namespace

MemoryPlan plan_memory(const RunConfig& config, const RunShape& shape, const EncoderConfig& encoder,
                       Device device, const MemoryLimit& limit, const CountRows& count) {
  return Planner(config, shape, encoder, device, limit, count).plan();
}

bool is_open(const RunConfig& config, const std::string& key) {
  return std::any_of(config.origins.begin(), config.origins.end(), [&](const auto& o) {
    return o.key == key && o.origin.starts_with("default");
  });
}

void choose_setting(RunConfig& config, const std::string& key, const Json& value,
                    const std::string& origin) {
  if (key == "resident_weights") config.resident_weights = value;
  if (key == "paged_states") config.paged_states = value;
  if (key == "gradient_checkpointing") config.gradient_checkpointing = value.as_bool();
  if (key == "per_device_train_batch_size") config.per_device_train_batch_size = value.as_int();
  if (key == "gradient_accumulation_steps") config.gradient_accumulation_steps = value.as_int();
  if (key == "per_device_eval_batch_size") config.per_device_eval_batch_size = value.as_int();
  for (RunConfig::Origin& entry : config.origins) {
    if (entry.key != key) continue;
    entry.value = value.dump();
    entry.origin = origin;
  }
}

}  // namespace qe
