// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/regex.h"

#include <re2/re2.h>

#include "kernels/core/error.h"

namespace qe {
namespace {

constexpr size_t kMaxPattern = size_t{1} << 20;
constexpr int64_t kMaxMemory = int64_t{64} << 20;

RE2::Options options() {
  RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(kMaxMemory);
  return options;
}

re2::StringPiece piece(std::string_view text) { return {text.data(), text.size()}; }

}  // namespace

struct Regex::Impl {
  explicit Impl(const std::string& pattern) : re(piece(pattern), options()) {}
  RE2 re;
};

Regex::Regex(const std::string& pattern) {
  const auto shown = [&] { return pattern.substr(0, 200); };
  QE_CHECK(pattern.size() <= kMaxPattern, "pattern \"", shown(), "...\": ", pattern.size(),
           " bytes, expected at most ", kMaxPattern);
  impl_ = std::make_unique<Impl>(pattern);
  QE_CHECK(impl_->re.ok(), "pattern \"", shown(), "\": ", impl_->re.error());
}

Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;
Regex::~Regex() = default;

bool Regex::full_match(std::string_view text) const {
  return impl_->re.Match(piece(text), 0, text.size(), RE2::ANCHOR_BOTH, nullptr, 0);
}

std::optional<Regex::Match> Regex::search(std::string_view text, size_t from) const {
  re2::StringPiece groups[2];
  const int n = impl_->re.NumberOfCapturingGroups() > 0 ? 2 : 1;
  if (!impl_->re.Match(piece(text), from, text.size(), RE2::UNANCHORED, groups, n)) {
    return std::nullopt;
  }
  const auto begin = static_cast<size_t>(groups[0].data() - text.data());
  return Match{begin, begin + groups[0].size(), n == 2 && groups[1].data() != nullptr};
}

}  // namespace qe
