// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/train/run_history.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>

#include "engine/train/training_state.h"
#include "formats/json.h"
#include "formats/mapped_file.h"
#include "kernels/core/error.h"

namespace qe {
namespace {

namespace fs = std::filesystem;

/// NaN, Infinity and -Infinity, which Python writes and JSON does not have, as null.
std::string without_nan(std::string_view text) {
  std::string out;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string && c == '\\' && i + 1 < text.size()) {
      out += c;
      out += text[++i];
      continue;
    }
    if (c == '"') in_string = !in_string;
    const std::string_view rest = text.substr(i);
    const auto skip = [&](std::string_view word) {
      if (in_string || !rest.starts_with(word)) return false;
      out += "null";
      i += word.size() - 1;
      return true;
    };
    if (skip("NaN") || skip("-Infinity") || skip("Infinity")) continue;
    out += c;
  }
  return out;
}

void add_entry(const Json& entry, const std::string& x_key, RunHistory& history) {
  const Json* x = entry.find(x_key);
  if (!x || !x->is_number()) return;
  for (const auto& [key, value] : entry.members()) {
    if (key == "step" || !(value.is_number() || value.is_null())) continue;
    constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
    history[key].push_back({x->as_double(), value.is_number() ? value.as_double() : kNaN});
  }
}

RunHistory read_lines(const std::string& path, const std::string& x) {
  const MappedFile file(path);
  const std::string_view all(reinterpret_cast<const char*>(file.bytes().data()),
                             file.bytes().size());
  RunHistory history;
  int64_t number = 1;
  for (size_t at = 0; at < all.size(); ++number) {
    const size_t end = all.find('\n', at);
    if (end == std::string_view::npos) break;  // being written
    const std::string_view line = all.substr(at, end - at);
    if (line.find_first_not_of(" \t\r") != std::string_view::npos) {
      add_entry(Json::parse(without_nan(line), cat(path, ":", number)), x, history);
    }
    at = end + 1;
  }
  return history;
}

RunHistory read_state(const std::string& path, const std::string& x) {
  const MappedFile file(path);
  const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()),
                              file.bytes().size());
  const Json state = Json::parse(without_nan(text), path);
  RunHistory history;
  for (const Json& entry : state.at("log_history").items()) add_entry(entry, x, history);
  return history;
}

/// The checkpoint of the most updates that has a trainer_state.json; "" when there is none.
std::string newest_state(const std::string& folder) {
  std::string newest;
  int64_t most = -1;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(kCheckpointPrefix)) continue;
    const std::string digits = name.substr(std::string_view(kCheckpointPrefix).size());
    const bool numbered = !digits.empty() && digits.size() < 18 &&
                          digits.find_first_not_of("0123456789") == std::string::npos;
    const std::string state = entry.path().string() + "/trainer_state.json";
    if (!numbered || std::stoll(digits) <= most || !fs::is_regular_file(state, error)) continue;
    most = std::stoll(digits);
    newest = state;
  }
  return newest;
}

std::string file_of(const std::string& path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) return path;
  for (const char* name : {"/metrics.jsonl", "/trainer_state.json"}) {
    if (fs::is_regular_file(path + name, error)) return path + name;
  }
  const std::string state = newest_state(path);
  QE_CHECK(!state.empty(), path,
           ": no metrics.jsonl, no trainer_state.json and no checkpoint with one");
  return state;
}

std::string keys_of(const RunHistory& history) {
  std::string keys;
  for (const auto& [key, points] : history) keys += (keys.empty() ? "" : ", ") + key;
  return keys.empty() ? "nothing" : keys;
}

std::string words_of(const std::string& key) {
  std::string words = key.starts_with("eval_") ? "evaluation " + key.substr(5) : key;
  std::replace(words.begin(), words.end(), '_', ' ');
  return words;
}

}  // namespace

RunHistory read_run_history(const std::string& path, const std::string& x) {
  const std::string file = file_of(path);
  RunHistory history = file.ends_with(".jsonl") ? read_lines(file, x) : read_state(file, x);
  for (auto& [key, points] : history) {
    std::stable_sort(points.begin(), points.end(),
                     [](const PlotPoint& a, const PlotPoint& b) { return a.x < b.x; });
    // The last of equal places.
    const auto kept = std::unique(points.rbegin(), points.rend(),
                                  [](const auto& a, const auto& b) { return a.x == b.x; });
    points.erase(points.begin(), kept.base());
  }
  return history;
}

std::string run_plot_svg(const std::vector<RunCurve>& runs, const RunPlot& plot) {
  const bool loss = plot.metric == "loss";
  std::vector<PlotLine> lines;
  for (size_t i = 0; i < runs.size(); ++i) {
    const RunHistory& history = runs[i].history;
    const bool alone = runs.size() == 1;
    const size_t n_before = lines.size();
    const auto add = [&](const std::string& key, const std::string& name, size_t colour) {
      const auto found = history.find(key);
      if (found == history.end()) return;
      const bool dotted = key.starts_with("eval_");
      const double usual = found->second.size() > 100 ? 0.9 : 0.0;
      lines.push_back({.name = name,
                       .points = found->second,
                       .colour = colour,
                       .dotted = dotted,
                       .smoothing = dotted ? 0.0 : plot.smoothing.value_or(usual)});
    };
    const std::string& name = runs[i].name;
    if (loss) {
      add("loss", alone ? "training" : name, i);
      add("eval_loss", alone ? "evaluation" : name + ", evaluation", alone ? 1 : i);
    } else {
      add(plot.metric, name, i);
    }
    QE_CHECK(lines.size() > n_before || history.empty(), name, ": it has no ", plot.metric,
             "; it has ", keys_of(history));
  }
  return line_plot_svg(lines, {.title = plot.title,
                               .x = plot.x == "step" ? "update" : plot.x,
                               .y = words_of(plot.metric),
                               .logarithmic = plot.logarithmic});
}

}  // namespace qe
