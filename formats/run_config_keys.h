// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The tables behind run_config: what each key is called, where its value goes, whose default it
// has, what is allowed, and what becomes of keys of other trainers. Data only; run_config.cpp
// walks it.

#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "formats/run_config.h"

namespace qe::run_config {

/// What a setting that is kept as JSON may be.
enum class Shape {
  kObject,
  kModules,     ///< a list of names, or a text: one of `choices` or a regular expression
  kNames,       ///< a list of names, or one
  kIntegers,    ///< a list of integers, or one
  kFlagOrText,  ///< true, false or one of `choices`
  kTokens,      ///< a list of token ids, or an object of such lists
};

/// What a value may be. Numbers: an interval, and two finer rules. Text: one of `choices`.
struct Allowed {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  bool low_open = false;
  bool high_open = false;
  bool whole_above_one = false;  ///< below 1 it is a ratio of all steps, from 1 on a count
  bool power_of_two = false;
  bool megabytes = false;         ///< also a text with a unit: "8GB", "7500 MiB"
  const char* choices = nullptr;  ///< separated by '|'
  Shape shape = Shape::kObject;
};

using Member = std::variant<std::string RunConfig::*, double RunConfig::*, int64_t RunConfig::*,
                            uint64_t RunConfig::*, bool RunConfig::*, Json RunConfig::*,
                            std::optional<int64_t> RunConfig::*, std::optional<double> RunConfig::*,
                            std::optional<bool> RunConfig::*>;

/// One setting of RunConfig.
struct Setting {
  const char* key;
  Member member;
  const char* default_from;
  const char* help;
  Allowed allowed = {};
};
std::span<const Setting> settings();

/// Its value, as JSON.
Json stored_value(const RunConfig& config, const Setting& row);
/// The parts of "a|b|c".
std::vector<std::string> split(std::string_view text, char separator);
/// What a file says to editors, and not to the engine.
inline constexpr const char* kSchemaKey = "$schema";

/// Another name for a setting.
struct Alias {
  const char* name;
  const char* key;
};
std::span<const Alias> aliases();

/// A key whose values are values of another setting. setting == nullptr: nothing is set.
struct Translation {
  const char* key;
  const char* value;  ///< lower case
  const char* setting;
  const char* setting_value;
};
std::span<const Translation> translations();

/// A value that users of other trainers may write and that this release refuses, with what to do.
struct RefusedValue {
  const char* key;
  const char* values;  ///< separated by '|'
  const char* why;
};
std::span<const RefusedValue> refused_values();

/// A key of run_mlm.py, TrainingArguments, qlora.py or peft that is no setting here. Values listed
/// in `harmless` (lower case, separated by '|'; null always is) pass without a word; any other is
/// noted, or ends the run.
struct ForeignKey {
  enum class Otherwise { kNote, kRefuse };
  const char* key;
  const char* harmless;
  Otherwise otherwise;
  const char* why;
};
std::span<const ForeignKey> foreign_keys();

/// Services that transformers reports to and that nothing is sent to here; separated by '|'.
const char* other_reporters();

/// A named set of defaults, as command line values.
struct PresetValue {
  const char* preset;
  const char* key;
  const char* value;
};
std::span<const PresetValue> preset_values();

}  // namespace qe::run_config
