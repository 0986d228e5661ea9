// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/regex.h"

#include <re2/re2.h>

#include <algorithm>

#include "formats/library_versions.h"
#include "formats/quote.h"
#include "kernels/core/error.h"

namespace qe {
namespace {

constexpr size_t kMaxPattern = size_t{1} << 20;
constexpr int64_t kMaxMemory = int64_t{64} << 20;
constexpr int kMaxProgram = 1 << 17;  // where memory does not suffice, each byte may go through all

constexpr const char* kLookAround[] = {"(?=", "(?!", "(?<=", "(?<!"};

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
  QE_CHECK(pattern.size() <= kMaxPattern, "pattern ", quote(pattern, 200), ": ", pattern.size(),
           " bytes, expected at most ", kMaxPattern);
  impl_ = std::make_unique<Impl>(pattern);
  QE_CHECK(impl_->re.ProgramSize() <= kMaxProgram, "pattern ", quote(pattern, 200), ": makes ",
           impl_->re.ProgramSize(), " instructions, expected at most ", kMaxProgram);
  if (impl_->re.ok()) return;
  const bool looks_around =
      std::any_of(std::begin(kLookAround), std::end(kLookAround),
                  [&](const char* sign) { return pattern.find(sign) != std::string::npos; });
  fail("pattern ", quote(pattern, 200), ": ",
       looks_around ? "look-ahead and look-behind are not supported: " : "",
       printable(impl_->re.error(), 200));
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
  const auto offset = [&](const re2::StringPiece& at) {
    return static_cast<size_t>(at.data() - text.data());
  };
  Match match{offset(groups[0]), offset(groups[0]) + groups[0].size(), false};
  if (n == 2 && groups[1].data() != nullptr) {
    match.group = true;
    match.group_begin = offset(groups[1]);
    match.group_end = match.group_begin + groups[1].size();
  }
  return match;
}

// re2 tells nobody its version.
LibraryVersion version_of_re2() { return {"re2", "linked in", ""}; }

}  // namespace qe
