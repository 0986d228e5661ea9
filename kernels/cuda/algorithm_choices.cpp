// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/cuda/algorithm_choices.h"

#include <charconv>
#include <string_view>

#include "kernels/core/error.h"

namespace qe::cuda {
namespace {

// Takes a number and the one character behind it off the front of `line`.
template <class T>
bool take(std::string_view& line, int base, char behind, T& value) {
  const char* const end = line.data() + line.size();
  const auto [at, error] = std::from_chars(line.data(), end, value, base);
  if (error != std::errc() || at == end || *at != behind) return false;
  line.remove_prefix(static_cast<size_t>(at + 1 - line.data()));
  return true;
}

// "number number ... : hex hex ... ;"
bool read_line(std::string_view line, ProductKey& key, Algorithm& algorithm) {
  for (size_t i = 0; i < key.size(); ++i) {
    if (!take(line, 10, i + 1 < key.size() ? ' ' : ':', key[i])) return false;
  }
  for (size_t i = 0; i < algorithm.size(); ++i) {
    if (!take(line, 16, i + 1 < algorithm.size() ? ' ' : ';', algorithm[i])) return false;
  }
  return line.empty();
}

}  // namespace

std::string choices_text(const std::string& made_by, const AlgorithmChoices& choices) {
  std::string text = made_by + "\n";
  for (const auto& [key, algorithm] : choices) {
    for (size_t i = 0; i < key.size(); ++i) text += cat(key[i], i + 1 < key.size() ? " " : ":");
    for (size_t i = 0; i < algorithm.size(); ++i) {
      char digits[16];
      const auto [end, error] = std::to_chars(digits, digits + sizeof(digits), algorithm[i], 16);
      text.append(digits, end);
      text += i + 1 < algorithm.size() ? " " : ";\n";
    }
  }
  return text;
}

std::string read_choices(const std::string& text, const std::string& reader,
                         AlgorithmChoices& choices) {
  std::string_view rest = text;
  const auto next_line = [&] {
    const size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    return line;
  };
  const std::string_view made_by = next_line();
  if (made_by != reader)
    return cat("they were made by \"", made_by, "\", this is \"", reader, "\"");
  AlgorithmChoices read;
  for (int number = 2; !rest.empty(); ++number) {
    ProductKey key;
    Algorithm algorithm;
    if (!read_line(next_line(), key, algorithm)) return cat("line ", number, " is damaged");
    read[key] = algorithm;
  }
  choices = std::move(read);
  return "";
}

}  // namespace qe::cuda
