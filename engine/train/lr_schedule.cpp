// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/train/lr_schedule.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <optional>
#include <vector>

#include "kernels/core/error.h"

namespace qe {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// One setting of one schedule. `standard` absent: derived, or required by check().
struct Kwarg {
  const char* schedule;
  const char* key;
  std::optional<double> standard;
  double low = 0;
  double high = kInfinity;
  const char* choices = nullptr;  ///< a text, the first one is the default; separated by '|'
};

// clang-format off
const std::vector<Kwarg>& kwargs() {
  static const std::vector<Kwarg> all = {
      {"inverse_sqrt", "timescale", {}, 1},
      {"cosine", "num_cycles", 0.5},
      {"cosine_with_restarts", "num_cycles", 1},
      {"polynomial", "lr_end", 1e-7},
      {"polynomial", "power", 1},
      {"cosine_with_min_lr", "num_cycles", 0.5},
      {"cosine_with_min_lr", "min_lr", {}},
      {"cosine_with_min_lr", "min_lr_rate", {}, 0, 1},
      {"cosine_warmup_with_min_lr", "num_cycles", 0.5},
      {"cosine_warmup_with_min_lr", "min_lr", {}},
      {"cosine_warmup_with_min_lr", "min_lr_rate", {}, 0, 1},
      {"cosine_warmup_with_min_lr", "warmup_lr_rate", {}, 0, 1},
      {"warmup_stable_decay", "num_decay_steps", {}},
      {"warmup_stable_decay", "num_stable_steps", {}},
      {"warmup_stable_decay", "min_lr_ratio", 0, 0, 1},
      {"warmup_stable_decay", "num_cycles", 0.5},
      {"warmup_stable_decay", "warmup_type", {}, 0, 0, "linear|cosine|1-sqrt"},
      {"warmup_stable_decay", "decay_type", {}, 0, 0, "cosine|linear|1-sqrt"},
      {"reduce_lr_on_plateau", "factor", 0.1, 0, std::nextafter(1.0, 0.0)},
      {"reduce_lr_on_plateau", "patience", 10},
      {"reduce_lr_on_plateau", "threshold", 1e-4},
      {"reduce_lr_on_plateau", "cooldown", 0},
      {"reduce_lr_on_plateau", "min_lr", 0},
      {"reduce_lr_on_plateau", "eps", 1e-8},
      {"reduce_lr_on_plateau", "mode", {}, 0, 0, "min|max"},
      {"reduce_lr_on_plateau", "threshold_mode", {}, 0, 0, "rel|abs"},
  };
  return all;
}
constexpr const char* kSchedules[] = {
    "constant", "constant_with_warmup", "linear", "cosine", "cosine_with_restarts", "polynomial",
    "inverse_sqrt", "cosine_with_min_lr", "cosine_warmup_with_min_lr", "warmup_stable_decay",
    "reduce_lr_on_plateau"};
// clang-format on

std::string place_of(const Json& value, const std::string& key) {
  const std::string where = value.where();
  return where.empty() ? "lr_scheduler_kwargs: " + key : where;
}

double checked_number(const Kwarg& row, const Json& value) {
  QE_CHECK(value.is_number(), place_of(value, row.key), ": expected a number, got ", value.dump());
  const double number = value.as_double();
  QE_CHECK(number >= row.low && number <= row.high, place_of(value, row.key),
           ": expected a number of at least ", row.low,
           row.high < kInfinity ? cat(" and at most ", row.high) : "", ", got ", value.dump());
  return number;
}

std::string checked_text(const Kwarg& row, const Json& value) {
  const std::string choices = cat("|", row.choices, "|");
  QE_CHECK(value.is_string() && choices.find("|" + value.as_string() + "|") != std::string::npos,
           place_of(value, row.key), ": expected one of ", row.choices, ", got ", value.dump());
  return value.as_string();
}

double half_cosine(double cycles, double progress) {
  return 0.5 * (1.0 + std::cos(std::numbers::pi * cycles * 2.0 * progress));
}

double with_floor(double factor, double floor) { return factor * (1.0 - floor) + floor; }

}  // namespace

LrSchedule::LrSchedule(const Options& options)
    : name_(options.name),
      peak_(options.learning_rate),
      warmup_(static_cast<double>(options.warmup)),
      total_(static_cast<double>(options.total)),
      plateau_rate_(options.learning_rate) {
  QE_CHECK(std::find(std::begin(kSchedules), std::end(kSchedules), name_) != std::end(kSchedules),
           "lr_scheduler_type: unknown schedule \"", name_, "\"");
  std::string known;
  for (const Kwarg& row : kwargs()) {
    if (row.schedule != name_) continue;
    known += cat(known.empty() ? "" : ", ", row.key);
    if (row.choices)
      texts_[row.key] = std::string(row.choices).substr(0, std::string(row.choices).find('|'));
    if (row.standard) numbers_[row.key] = *row.standard;
  }
  for (const Json::Member& member : options.kwargs.members()) {
    const std::string& key = member.first;
    const Json& value = member.second;
    const auto row = std::find_if(kwargs().begin(), kwargs().end(), [&](const Kwarg& k) {
      return k.schedule == name_ && k.key == key;
    });
    QE_CHECK(row != kwargs().end(), place_of(value, key), ": ", name_,
             known.empty() ? " has no settings" : " does not know this key; it has " + known);
    if (value.is_null()) continue;
    if (row->choices) {
      texts_[key] = checked_text(*row, value);
    } else {
      numbers_[key] = checked_number(*row, value);
    }
  }
  check();
  best_ = follows_metric() && text("mode") == "max" ? -kInfinity : kInfinity;
}

// What is required, exclusive or derived.
void LrSchedule::check() {
  const auto given = [&](const char* key) { return numbers_.count(key) > 0; };
  constexpr const char* kPlace = "lr_scheduler_kwargs: ";
  if (name_ == "inverse_sqrt" && !given("timescale")) {
    numbers_["timescale"] = warmup_ > 0 ? warmup_ : 10000.0;
  }
  if (name_ == "polynomial") {
    QE_CHECK(peak_ > number("lr_end"), kPlace, "lr_end: expected less than the learning rate ",
             peak_, ", got ", number("lr_end"));
  }
  if (name_ == "cosine_with_min_lr" || name_ == "cosine_warmup_with_min_lr") {
    QE_CHECK(given("min_lr") != given("min_lr_rate"), kPlace, name_,
             " needs min_lr or min_lr_rate, and not both");
    if (given("min_lr")) numbers_["min_lr_rate"] = peak_ > 0 ? number("min_lr") / peak_ : 0.0;
  }
  if (name_ == "warmup_stable_decay") {
    QE_CHECK(given("num_decay_steps"), kPlace, name_, " needs num_decay_steps");
    if (!given("num_stable_steps")) {
      numbers_["num_stable_steps"] = total_ - warmup_ - number("num_decay_steps");
    }
  }
}

double LrSchedule::rate(int64_t step) const {
  return follows_metric() ? plateau_rate_ : peak_ * factor(step);
}

double LrSchedule::factor(int64_t step) const {
  const double s = static_cast<double>(step);
  if (name_ == "constant") return 1.0;
  if (name_ == "warmup_stable_decay") return stable_decay(s);
  if (s >= warmup_) return after_warmup(s);
  if (name_ != "cosine_warmup_with_min_lr") return s / std::max(1.0, warmup_);
  if (!numbers_.count("warmup_lr_rate")) return (s + 1.0) / std::max(1.0, warmup_);
  const double first = number("warmup_lr_rate");
  return first + (1.0 - first) * s / std::max(1.0, warmup_ - 1.0);
}

double LrSchedule::after_warmup(double s) const {
  const double remaining = std::max(1.0, total_ - warmup_);
  const double progress = (s - warmup_) / remaining;
  if (name_ == "constant_with_warmup") return 1.0;
  if (name_ == "linear") return std::max(0.0, (total_ - s) / remaining);
  if (name_ == "inverse_sqrt") {
    const double timescale = number("timescale");
    return 1.0 / std::sqrt((s + timescale - warmup_) / timescale);
  }
  if (name_ == "polynomial") {
    const double end = number("lr_end");
    if (s > total_ || total_ <= warmup_) return end / peak_;
    const double left = 1.0 - (s - warmup_) / (total_ - warmup_);
    return ((peak_ - end) * std::pow(left, number("power")) + end) / peak_;
  }
  const double cycles = number("num_cycles");
  if (name_ == "cosine") return std::max(0.0, half_cosine(cycles, progress));
  if (name_ == "cosine_with_restarts") {
    if (progress >= 1.0) return 0.0;
    return std::max(0.0, half_cosine(0.5, std::fmod(cycles * progress, 1.0)));
  }
  // cosine_with_min_lr, cosine_warmup_with_min_lr
  const double ahead = name_ == "cosine_with_min_lr" ? progress : (s - warmup_ + 1.0) / remaining;
  return std::max(0.0, with_floor(half_cosine(cycles, ahead), number("min_lr_rate")));
}

double LrSchedule::stable_decay(double s) const {
  const double floor = number("min_lr_ratio");
  const double stable = number("num_stable_steps");
  const double decay = number("num_decay_steps");
  if (s < warmup_) {
    const double progress = s / std::max(1.0, warmup_);
    const std::string& type = text("warmup_type");
    const double factor = type == "linear"   ? progress
                          : type == "cosine" ? 0.5 * (1.0 - std::cos(std::numbers::pi * progress))
                                             : 1.0 - std::sqrt(1.0 - progress);
    return std::max(0.0, with_floor(factor, floor));
  }
  if (s < warmup_ + stable) return 1.0;
  if (s >= warmup_ + stable + decay) return floor;
  const double progress = (s - warmup_ - stable) / std::max(1.0, decay);
  const std::string& type = text("decay_type");
  const double factor = type == "linear"   ? 1.0 - progress
                        : type == "cosine" ? half_cosine(number("num_cycles"), progress)
                                           : 1.0 - std::sqrt(progress);
  return std::max(0.0, with_floor(factor, floor));
}

bool LrSchedule::is_better(double metric) const {
  const double threshold = number("threshold");
  const bool relative = text("threshold_mode") == "rel";
  if (text("mode") == "min") {
    return metric < (relative ? best_ * (1.0 - threshold) : best_ - threshold);
  }
  return metric > (relative ? best_ * (1.0 + threshold) : best_ + threshold);
}

void LrSchedule::observe(double metric) {
  if (!follows_metric()) return;
  if (is_better(metric)) {
    best_ = metric;
    n_bad_ = 0;
  } else {
    ++n_bad_;
  }
  if (cooldown_left_ > 0) {
    --cooldown_left_;
    n_bad_ = 0;
  }
  if (static_cast<double>(n_bad_) <= number("patience")) return;
  const double lower = std::max(plateau_rate_ * number("factor"), number("min_lr"));
  if (plateau_rate_ - lower > number("eps")) plateau_rate_ = lower;
  cooldown_left_ = static_cast<int64_t>(number("cooldown"));
  n_bad_ = 0;
}

Json LrSchedule::state() const {
  if (!follows_metric()) return Json();
  // JSON has no infinity: absent until there was an evaluation.
  return Json::object({{"best", std::isinf(best_) ? Json() : Json(best_)},
                       {"bad_evaluations", n_bad_},
                       {"cooldown_left", cooldown_left_},
                       {"learning_rate", plateau_rate_}});
}

void LrSchedule::restore(const Json& state) {
  if (!follows_metric()) return;
  if (!state.at("best").is_null()) best_ = state.at("best").as_double();
  n_bad_ = state.at("bad_evaluations").as_int();
  cooldown_left_ = state.at("cooldown_left").as_int();
  plateau_rate_ = state.at("learning_rate").as_double();
}

}  // namespace qe
