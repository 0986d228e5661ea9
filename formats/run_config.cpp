// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/run_config.h"

// Walks the tables of run_config_keys.cpp. Every given value, from a preset, the file or the
// command line, becomes a Given and takes the same path: find its row, convert, check, store,
// remember the origin.

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <string_view>
#include <type_traits>

#include "formats/json.h"
#include "formats/run_config_keys.h"
#include "kernels/core/error.h"

namespace qe {

namespace run_config {

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (true) {
    const size_t end = text.find(separator);
    parts.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

Json stored_value(const RunConfig& config, const Setting& row) {
  return std::visit(
      [&](auto member) -> Json {
        if constexpr (std::is_same_v<decltype(member), uint64_t RunConfig::*>) {
          return Json(static_cast<int64_t>(config.*member));
        } else if constexpr (std::is_same_v<decltype(member),
                                            std::optional<int64_t> RunConfig::*> ||
                             std::is_same_v<decltype(member), std::optional<double> RunConfig::*> ||
                             std::is_same_v<decltype(member), std::optional<bool> RunConfig::*>) {
          return config.*member ? Json(*(config.*member)) : Json();
        } else {
          return Json(config.*member);
        }
      },
      row.member);
}

}  // namespace run_config

namespace {

using run_config::Allowed;
using run_config::ForeignKey;
using run_config::Setting;
using run_config::Shape;
using run_config::split;
using run_config::stored_value;

/// One value somebody gave.
struct Given {
  std::string key;    // as written
  Json value;         // a string when from_text
  std::string place;  // for messages: "config.json: /bits", "--bits"
  std::string origin;
  bool from_text = false;  // a command line value: its type comes from the key
};

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

/// Whether it is one of "a|b|c_N", N being any number of up to three digits.
bool is_listed(std::string_view choices, const std::string& value) {
  const auto all = split(choices, '|');
  return std::any_of(all.begin(), all.end(), [&](const std::string& choice) {
    if (!choice.ends_with("_N")) return choice == value;
    const std::string begin = choice.substr(0, choice.size() - 1);
    const size_t n = value.size() - std::min(value.size(), begin.size());
    return value.starts_with(begin) && n >= 1 && n <= 3 &&
           value.find_first_not_of("0123456789", begin.size()) == std::string::npos;
  });
}

/// "a|b|c" as "a, b, c".
std::string readable(std::string_view choices) {
  std::string out;
  for (const std::string& choice : split(choices, '|')) out += (out.empty() ? "" : ", ") + choice;
  return out;
}

/// Text of a value as its writer sees it: strings without quotes.
std::string plain(const Json& value) {
  return value.is_string() ? value.as_string() : value.dump();
}

/// The value as found, for messages; long ones are cut.
std::string shown(const Given& given) {
  std::string text = given.value.dump();
  return text.size() <= 60 ? text : text.substr(0, 57) + "...";
}

// ---- Unknown keys -------------------------------------------------------------------------------

/// Damerau-Levenshtein distance in its optimal string alignment form: insertions, deletions,
/// substitutions and swaps of neighbours cost 1.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before(b.size() + 1), above(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) above[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], before[j - 2] + 1);
    }
    std::swap(before, above);
    std::swap(above, row);
  }
  return above[b.size()];
}

/// The setting nearest to `key`. One that `key` begins counts as one edit away.
std::string nearest_key(const std::string& key) {
  std::string best;
  size_t best_distance = SIZE_MAX;
  const auto consider = [&](const std::string& known) {
    const bool begun = key.size() >= 3 && known.compare(0, key.size(), key) == 0;
    const size_t distance = begun ? 1 : edit_distance(lower(key), lower(known));
    if (distance < best_distance) best_distance = distance, best = known;
  };
  for (const Setting& row : run_config::settings()) consider(row.key);
  for (const auto& row : run_config::aliases()) consider(row.name);
  return best;
}

// ---- Converting and checking one value ----------------------------------------------------------

[[noreturn]] void fail_type(const Given& given, const std::string& expected) {
  fail(given.place, ": expected ", expected, ", got ", shown(given));
}

/// A whole text as a finite number; no blanks, no plus sign.
double parse_number(const Given& given, const std::string& expected) {
  const std::string& text = given.value.as_string();
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(number))
    fail_type(given, expected);
  return number;
}

/// A size in memory as MB (10^6 bytes): a number, or one with a unit.
double to_megabytes(const Given& given) {
  static constexpr std::pair<const char*, double> kUnits[] = {
      {"gib", 1073.741824}, {"mib", 1.048576}, {"kib", 0.001024},
      {"gb", 1000.0},       {"mb", 1.0},       {"kb", 0.001}};
  constexpr const char* kExpected = "a size: a number of MB, or one with GB, GiB, MB or MiB";
  if (!given.value.is_string()) {
    if (!given.value.is_number()) fail_type(given, kExpected);
    return given.value.as_double();
  }
  std::string text = lower(given.value.as_string());
  double factor = 1.0;
  for (const auto& [unit, megabytes] : kUnits) {
    if (!text.ends_with(unit)) continue;
    factor = megabytes;
    text.resize(text.size() - std::string_view(unit).size());
    text.erase(text.find_last_not_of(' ') + 1);
    break;
  }
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(number)) {
    fail_type(given, kExpected);
  }
  return factor * number;
}

double to_number(const Given& given) {
  if (given.from_text) return parse_number(given, "a number");
  if (!given.value.is_number()) fail_type(given, "a number");
  return given.value.as_double();
}

int64_t to_integer(const Given& given) {
  if (!given.from_text && given.value.kind() == Json::Kind::kInt) return given.value.as_int();
  if (given.from_text) {
    const std::string& text = given.value.as_string();
    int64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error == std::errc() && end == text.data() + text.size()) return number;
  } else if (!given.value.is_number()) {
    fail_type(given, "an integer");
  }
  // 1e3 and 300.0 are integers too.
  const double number =
      given.from_text ? parse_number(given, "an integer") : given.value.as_double();
  if (number != std::floor(number) || std::fabs(number) > 9e15) fail_type(given, "an integer");
  return static_cast<int64_t>(number);
}

bool to_bool(const Given& given) {
  if (!given.from_text) {
    if (given.value.kind() != Json::Kind::kBool) fail_type(given, "true or false");
    return given.value.as_bool();
  }
  const std::string text = lower(given.value.as_string());
  if (is_listed("true|yes|1", text)) return true;
  if (is_listed("false|no|0", text)) return false;
  fail_type(given, "true or false");
}

std::string interval_text(const Allowed& allowed) {
  const auto text = [](double bound) {
    return bound == std::floor(bound) ? std::to_string(static_cast<int64_t>(bound)) : cat(bound);
  };
  if (allowed.high >= 1e9)
    return (allowed.low_open ? "above " : "of at least ") + text(allowed.low);
  return cat("in ", allowed.low_open ? '(' : '[', text(allowed.low), ", ", text(allowed.high),
             allowed.high_open ? ')' : ']');
}

void check_number(const Given& given, const Allowed& allowed, double value, const char* kind) {
  const bool inside = value >= allowed.low && value <= allowed.high &&
                      !(allowed.low_open && value == allowed.low) &&
                      !(allowed.high_open && value == allowed.high);
  if (!inside) fail_type(given, cat(kind, " ", interval_text(allowed)));
  if (allowed.whole_above_one && value >= 1 && value != std::floor(value))
    fail_type(given, "a whole number of steps, or a ratio below 1");
  if (allowed.power_of_two && (static_cast<int64_t>(value) & (static_cast<int64_t>(value) - 1)))
    fail_type(given, cat("a power of two ", interval_text(allowed)));
}

void check_choice(const Given& given, const Setting& row, const std::string& value) {
  for (const auto& refused : run_config::refused_values())
    if (refused.key == std::string_view(row.key) && is_listed(refused.values, value))
      fail(given.place, ": ", shown(given), ": ", refused.why);
  if (row.allowed.choices && !is_listed(row.allowed.choices, value))
    fail_type(given, "one of " + readable(row.allowed.choices));
}

std::string to_text(const Given& given) {
  if (!given.value.is_string()) fail_type(given, "a text");
  return given.value.as_string();
}

// ---- Values kept as JSON ----------------------------------------------------------------------

/// A command line value as the JSON it stands for, with a place in messages.
Json parsed(const Given& given, const std::string& text) { return Json::parse(text, given.place); }

/// On the command line: JSON, or texts separated by commas. A text with an operator of regular
/// expressions is one, and not a list.
Json list_or_text(const Given& given, const Allowed& allowed, bool integers) {
  const std::string& text = given.value.as_string();
  if (text.starts_with('[') && text.ends_with(']')) return parsed(given, text);
  const bool whole = (allowed.choices && is_listed(allowed.choices, lower(text))) ||
                     (allowed.shape == Shape::kModules &&
                      text.find_first_of("*+?()[]{}|^$\\") != std::string::npos);
  if (whole) return parsed(given, Json(text).dump());
  std::string list;
  for (const std::string& item : split(text, ',')) {
    list += cat(list.empty() ? "[" : ", ", integers ? item : Json(item).dump());
  }
  return parsed(given, list + "]");
}

void check_list(const Given& given, const Json& list, Json::Kind kind, const char* expected) {
  for (const Json& item : list.items()) {
    if (item.kind() != kind || (item.is_string() && item.as_string().empty())) {
      fail_type(given, expected);
    }
  }
}

Json to_modules(const Given& given, const Setting& row) {
  const bool is_optional = stored_value(RunConfig(), row).is_null();
  const Json value = given.from_text ? list_or_text(given, row.allowed, false) : given.value;
  if (value.is_string() && !value.as_string().empty()) return value;
  if (!value.is_array()) fail_type(given, "a list of names or a text");
  check_list(given, value, Json::Kind::kString, "a list of non-empty names");
  if (value.items().empty() && !is_optional) fail_type(given, "a list of non-empty names");
  return value;
}

Json to_integers(const Given& given, const Setting& row) {
  const Json value = given.from_text ? list_or_text(given, row.allowed, true) : given.value;
  if (value.kind() == Json::Kind::kInt) return value;
  if (!value.is_array()) fail_type(given, "an integer or a list of integers");
  check_list(given, value, Json::Kind::kInt, "an integer or a list of integers");
  return value;
}

Json to_tokens(const Given& given, const Setting& row) {
  constexpr const char* kExpected = "a list of token ids, or an object of such lists";
  const bool is_object = given.from_text && given.value.as_string().starts_with('{');
  const Json value = is_object         ? parsed(given, given.value.as_string())
                     : given.from_text ? list_or_text(given, row.allowed, true)
                                       : given.value;
  const auto check = [&](const Json& list) {
    if (!list.is_array()) fail_type(given, kExpected);
    check_list(given, list, Json::Kind::kInt, kExpected);
  };
  if (!value.is_object()) check(value);
  if (value.is_object()) {
    for (const auto& [module, list] : value.members()) check(list);
  }
  return value;
}

Json to_flag_or_text(const Given& given, const Setting& row) {
  const std::string text = lower(plain(given.value));
  check_choice(given, row, text);
  return text == "true" ? Json(true) : text == "false" ? Json(false) : Json(text);
}

Json to_json(const Given& given, const Setting& row) {
  switch (row.allowed.shape) {
    case Shape::kObject: {
      const Json value = given.from_text ? parsed(given, given.value.as_string()) : given.value;
      if (!value.is_object()) fail_type(given, "an object");
      return value;
    }
    case Shape::kModules:
    case Shape::kNames:
      return to_modules(given, row);
    case Shape::kIntegers:
      return to_integers(given, row);
    case Shape::kFlagOrText:
      return to_flag_or_text(given, row);
    case Shape::kTokens:
      return to_tokens(given, row);
  }
  fail(given.place, ": a shape without a rule");
}

// ---- Storing ------------------------------------------------------------------------------------

template <class T>
void store(RunConfig& config, const Setting& row, const Given& given, T RunConfig::*member) {
  if constexpr (std::is_same_v<T, Json>) {
    config.*member = to_json(given, row);
  } else if constexpr (std::is_same_v<T, std::optional<double>>) {
    const double value = to_number(given);
    check_number(given, row.allowed, value, "a number");
    config.*member = value;
  } else if constexpr (std::is_same_v<T, std::optional<int64_t>>) {
    const int64_t value = to_integer(given);
    check_number(given, row.allowed, static_cast<double>(value), "an integer");
    config.*member = value;
  } else if constexpr (std::is_same_v<T, bool> || std::is_same_v<T, std::optional<bool>>) {
    config.*member = to_bool(given);
  } else if constexpr (std::is_same_v<T, double>) {
    const double value = row.allowed.megabytes ? to_megabytes(given) : to_number(given);
    check_number(given, row.allowed, value, "a number");
    config.*member = value;
  } else if constexpr (std::is_integral_v<T>) {
    const int64_t value = to_integer(given);
    check_choice(given, row, std::to_string(value));
    check_number(given, row.allowed, static_cast<double>(value), "an integer");
    config.*member = static_cast<T>(value);
  } else {
    const std::string value = to_text(given);
    check_choice(given, row, value);
    config.*member = value;
  }
}

template <class Rows, class Name>
auto find_row(const Rows& rows, Name name, const std::string& key) -> decltype(&rows[0]) {
  for (const auto& row : rows)
    if (key == row.*name) return &row;
  return nullptr;
}

/// The names in report_to.
std::vector<std::string> reporters(const RunConfig& config) {
  if (config.report_to.is_null()) return {};
  if (config.report_to.is_string()) return {config.report_to.as_string()};
  std::vector<std::string> names;
  for (const Json& name : config.report_to.items()) names.push_back(name.as_string());
  return names;
}

/// The whole reading of one configuration.
class Reader {
 public:
  explicit Reader(const std::string& config_path) : config_path_(config_path) {}

  void apply(Given given) {
    if (given.value.is_null()) return;
    if (const auto* alias = find_row(run_config::aliases(), &run_config::Alias::name, given.key)) {
      given.key = alias->key;
      given.origin += cat(" (", alias->name, ")");
    }
    if (find_row(run_config::translations(), &run_config::Translation::key, given.key)) {
      translate(given);
    } else if (const auto* row = find_row(run_config::settings(), &Setting::key, given.key)) {
      if (given.key == "resume" && given.value.kind() == Json::Kind::kBool)
        given.value = Json(given.value.as_bool() ? "auto" : "no");
      const bool unset = given.from_text && given.value.as_string() == "null" &&
                         stored_value(RunConfig(), *row).is_null();
      if (!unset) {
        std::visit([&](auto member) { store(config_, *row, given, member); }, row->member);
      }
      origins_[given.key] = given.origin;
    } else if (const auto* foreign =
                   find_row(run_config::foreign_keys(), &ForeignKey::key, given.key)) {
      take_foreign(*foreign, given);
    } else {
      fail(given.place, ": unknown key; did you mean \"", nearest_key(given.key.substr(0, 100)),
           "\"?");
    }
  }

  void apply_preset(const Given& given) {
    const std::string name = to_text(given);
    std::string known;
    for (const auto& row : run_config::preset_values()) {
      if (row.preset == name)
        apply({row.key, Json(row.value), cat("preset ", name, ": ", row.key),
               cat("preset \"", name, "\""), true});
      if (!is_listed(known, row.preset))
        known += (known.empty() ? "" : "|") + std::string(row.preset);
    }
    if (!is_listed(known, name)) fail_type(given, "one of " + readable(known));
  }

  void finish_reporting() {
    const auto* row = find_row(run_config::settings(), &Setting::key, "report_to");
    for (const std::string& name : reporters(config_)) {
      if (is_listed(row->allowed.choices, name)) continue;
      const std::string place =
          cat(config_path_.empty() ? "settings" : config_path_, ": report_to");
      QE_CHECK(is_listed(run_config::other_reporters(), name), place, ": expected ",
               readable(row->allowed.choices), " or a list of them, got ", Json(name).dump());
      config_.notes.push_back(
          cat(place, ": ", name, " does nothing here: nothing is sent anywhere"));
    }
  }

  // Three keys say the same thing.
  void finish_compute_type() {
    std::string& type = config_.compute_dtype;
    if (type == "float32") type = "fp32";
    if (type == "bfloat16") type = "bf16";
    if (type == "float16") type = "fp16";
    for (const auto& [given, name] : {std::pair{config_.bf16, "bf16"}, {config_.fp16, "fp16"}}) {
      if (!given) continue;
      QE_CHECK(type == "auto" || type == name, config_path_.empty() ? "settings" : config_path_,
               ": ", name, ": true contradicts compute_dtype ", type);
      type = name;
      origins_["compute_dtype"] = cat("= ", name);
    }
  }

  RunConfig finish() {
    const double replaced = config_.mask_replace_prob + config_.random_replace_prob;
    QE_CHECK(replaced <= 1.0 + 1e-9, config_path_.empty() ? "settings" : config_path_,
             ": mask_replace_prob + random_replace_prob: expected at most 1, got ",
             config_.mask_replace_prob, " + ", config_.random_replace_prob);
    QE_CHECK(config_.lr_scheduler_type != "reduce_lr_on_plateau" || config_.eval_strategy != "no",
             config_path_.empty() ? "settings" : config_path_,
             ": lr_scheduler_type: reduce_lr_on_plateau needs evaluations: set eval_strategy");
    const auto given = [&](const char* key) {
      const auto origin = origins_.find(key);
      return origin != origins_.end() && !origin->second.starts_with("preset");
    };
    if (!config_.mlm_probability_end && given("mlm_probability_schedule")) {
      config_.notes.push_back(
          "mlm_probability_schedule does nothing here: mlm_probability_end is not set");
    }
    if (config_.per_device_train_batch_tokens > 0) {
      for (const auto& [key, set] :
           {std::pair{"per_device_train_batch_size", given("per_device_train_batch_size")},
            {"dataloader_drop_last", config_.dataloader_drop_last}}) {
        QE_CHECK(
            !set, config_path_.empty() ? "settings" : config_path_,
            ": per_device_train_batch_tokens: batches have as many sequences as fit: leave out ",
            key);
      }
    }
    QE_CHECK(!config_.span_mask || !config_.whole_word_mask,
             config_path_.empty() ? "settings" : config_path_,
             ": span_mask: spans are of whole words already: leave out whole_word_mask");
    if (config_.whole_word_mask) {
      config_.mask_replace_prob = 1;
      config_.random_replace_prob = 0;
      for (const char* key : {"mask_replace_prob", "random_replace_prob"}) {
        origins_[key] = "whole_word_mask, as transformers 5";
      }
      config_.notes.push_back(
          "whole_word_mask: every token of a chosen word becomes the mask token "
          "(mask_replace_prob 1, random_replace_prob 0), as in transformers 5");
    }
    lora_config_of(config_);  // throws what is wrong with it
    finish_compute_type();
    finish_reporting();
    if (config_.eval_steps == 0) {
      config_.eval_steps = config_.logging_steps;
      origins_["eval_steps"] = "= logging_steps";
    }
    for (const Setting& row : run_config::settings()) {
      const auto origin = origins_.find(row.key);
      config_.origins.push_back(
          {row.key, stored_value(config_, row).dump(),
           origin != origins_.end() ? origin->second : cat("default (", row.default_from, ")")});
    }
    return std::move(config_);
  }

 private:
  void translate(const Given& given) {
    std::string known;
    for (const auto& row : run_config::translations()) {
      if (row.key != given.key) continue;
      known += (known.empty() ? "" : "|") + std::string(row.value);
      if (row.value != lower(plain(given.value))) continue;
      if (!row.setting) return;
      return apply({row.setting, Json(row.setting_value), given.place,
                    cat(given.origin, " (", row.key, ")"), true});
    }
    fail_type(given, "one of " + readable(known));
  }

  void take_foreign(const ForeignKey& row, const Given& given) {
    if (is_listed(row.harmless, lower(plain(given.value)))) return;
    if (row.otherwise == ForeignKey::Otherwise::kRefuse)
      fail(given.place, ": ", shown(given), " is refused: ", row.why);
    config_.notes.push_back(cat(given.place, " does nothing here: ", row.why));
  }

  RunConfig config_;
  std::string config_path_;
  std::map<std::string, std::string> origins_;  // key -> who set it last
};

std::string shape_text(Shape shape) {
  switch (shape) {
    case Shape::kObject:
      return "object";
    case Shape::kModules:
      return "list or regular expression";
    case Shape::kNames:
      return "text or list";
    case Shape::kIntegers:
      return "integer or list";
    case Shape::kFlagOrText:
      return "true|false or text";
    case Shape::kTokens:
      return "list or object";
  }
  return "";
}

std::string type_text(const Setting& row) {
  if (row.allowed.choices && row.allowed.shape != Shape::kModules) return row.allowed.choices;
  return std::visit(
      [&](auto member) -> std::string {
        using M = decltype(member);
        if constexpr (std::is_same_v<M, std::string RunConfig::*>) return "text";
        if constexpr (std::is_same_v<M, double RunConfig::*>) return "number";
        if constexpr (std::is_same_v<M, std::optional<double> RunConfig::*>) return "number";
        if constexpr (std::is_same_v<M, bool RunConfig::*>) return "true|false";
        if constexpr (std::is_same_v<M, std::optional<bool> RunConfig::*>) return "true|false";
        if constexpr (std::is_same_v<M, Json RunConfig::*>) return shape_text(row.allowed.shape);
        return "integer";
      },
      row.member);
}

}  // namespace

RunConfig read_run_config(const std::string& config_path,
                          const std::vector<std::pair<std::string, std::string>>& overrides) {
  std::vector<Given> all;
  if (!config_path.empty()) {
    const Json file = Json::parse_file(config_path, size_t{16} << 20);
    QE_CHECK(file.is_object(), config_path, ": expected a JSON object with settings");
    for (const auto& [key, value] : file.members()) {
      if (key != run_config::kSchemaKey) {
        all.push_back({key, value, value.where(), config_path, false});
      }
    }
  }
  for (const auto& [key, text] : overrides)
    all.push_back({key, Json(text), "--" + key, "--" + key, true});

  Reader reader(config_path);
  const auto is_preset = [](const Given& given) { return given.key == "preset"; };
  const auto preset = std::find_if(all.rbegin(), all.rend(), is_preset);
  if (preset != all.rend() && !preset->value.is_null()) reader.apply_preset(*preset);
  for (Given& given : all)
    if (!is_preset(given)) reader.apply(std::move(given));
  return reader.finish();
}

bool reports_to_tensorboard(const RunConfig& config) {
  const auto names = reporters(config);
  return std::any_of(names.begin(), names.end(), [](const std::string& name) {
    return name == "tensorboard" || name == "all";
  });
}

AdapterConfig lora_config_of(const RunConfig& config) {
  Json modules_to_save = config.modules_to_save;
  if (modules_to_save.is_string()) {  // one name
    modules_to_save = Json::array();
    modules_to_save.push_back(config.modules_to_save);
  }
  return read_lora_config(
      Json::object({{"r", config.lora_r},
                    {"lora_alpha", config.lora_alpha},
                    {"lora_dropout", config.lora_dropout},
                    {"use_rslora", config.use_rslora},
                    {"use_dora", config.use_dora},
                    {"init_lora_weights", config.init_lora_weights},
                    {"loftq_config", config.loftq_config},
                    {"target_modules", config.target_modules},
                    {"exclude_modules", config.exclude_modules},
                    {"layers_to_transform", config.layers_to_transform},
                    {"layers_pattern", config.layers_pattern},
                    {"rank_pattern", config.rank_pattern},
                    {"alpha_pattern", config.alpha_pattern},
                    {"bias", config.bias},
                    {"modules_to_save", modules_to_save},
                    {"trainable_token_indices", config.trainable_token_indices}}));
}

std::vector<RunConfigKey> run_config_keys() {
  const RunConfig defaults;
  std::vector<RunConfigKey> keys;
  for (const Setting& row : run_config::settings()) {
    const std::string value = stored_value(defaults, row).dump();
    keys.push_back(
        {row.key, type_text(row), value == "\"\"" ? "" : value, row.default_from, row.help});
  }
  return keys;
}

}  // namespace qe
