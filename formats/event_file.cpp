// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/event_file.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <string_view>

#include "formats/atomic_write.h"
#include "kernels/core/error.h"

namespace qe {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "events.out.tfevents.";

// ---- TFRecord

/// CRC32C (Castagnoli), reflected, a byte at a time.
constexpr std::array<uint32_t, 256> kCrcTable = [] {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) ? 0x82f63b78u : 0);
    table[i] = crc;
  }
  return table;
}();

uint32_t masked_crc(std::string_view bytes) {
  uint32_t crc = 0xffffffffu;
  for (const char c : bytes) crc = kCrcTable[(crc ^ static_cast<uint8_t>(c)) & 0xff] ^ (crc >> 8);
  return std::rotr(~crc, 15) + 0xa282ead8u;
}

template <class T>
void put_fixed(std::string& out, T value) {
  for (size_t i = 0; i < sizeof(T); ++i) out += static_cast<char>(value >> (8 * i));
}

std::string record_of(std::string_view event) {
  std::string out;
  put_fixed(out, uint64_t{event.size()});
  put_fixed(out, masked_crc(out));
  out += event;
  put_fixed(out, masked_crc(event));
  return out;
}

// ---- Protobuf

enum Wire : uint64_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

void put_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

void put_key(std::string& out, int field, Wire wire) {
  put_varint(out, static_cast<uint64_t>(field) << 3 | wire);
}

std::string integer_field(int field, uint64_t value) {
  std::string out;
  put_key(out, field, kVarint);
  put_varint(out, value);
  return out;
}

/// A text, or a message.
std::string bytes_field(int field, std::string_view bytes) {
  std::string out;
  put_key(out, field, kBytes);
  put_varint(out, bytes.size());
  out += bytes;
  return out;
}

constexpr int kFileVersion = 3, kSummary = 5, kSessionLog = 7;  // fields of Event

// ---- Names

/// The second in which a file was created, by its name; of other files nullopt.
std::optional<int64_t> second_of(const std::string& name) {
  if (!name.starts_with(kPrefix)) return std::nullopt;
  int64_t second = 0;
  const char* const digits = name.data() + kPrefix.size();
  const auto parsed = std::from_chars(digits, name.data() + name.size(), second);
  if (parsed.ec != std::errc() || second < 0) return std::nullopt;
  return second;
}

/// Of the newest event file in `folder`.
std::optional<int64_t> newest_second(const fs::path& folder) {
  std::optional<int64_t> newest;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    newest = std::max(newest, second_of(entry->path().filename().string()));
  }
  return newest;
}

std::string host_name() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0 || !name[0]) return "localhost";
  return name.data();
}

std::string new_path(const std::string& folder, double now) {
  require_writable_folder(folder);
  static std::atomic<unsigned> counter{0};
  const int64_t second =
      std::max(static_cast<int64_t>(now), newest_second(folder).value_or(-1) + 1);
  std::array<char, 32> digits{};
  std::snprintf(digits.data(), digits.size(), "%010lld", static_cast<long long>(second));
  return cat(folder, "/", kPrefix, digits.data(), ".", host_name(), ".", ::getpid(), ".",
             counter.fetch_add(1));
}

}  // namespace

double EventFile::now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

EventFile::EventFile(const std::string& folder, std::optional<int64_t> first_step, Clock clock)
    : clock_(std::move(clock)),
      path_(new_path(folder, clock_())),
      file_(path_, AppendFile::Open::kNew) {
  append_event(0, kFileVersion, "brain.Event:2");
  constexpr uint64_t kStart = 1;
  if (first_step) append_event(*first_step, kSessionLog, integer_field(1, kStart));
}

void EventFile::append_event(int64_t step, int field, const std::string& message) {
  std::string event;
  put_key(event, 1, kFixed64);
  put_fixed(event, std::bit_cast<uint64_t>(clock_()));
  if (step != 0) event += integer_field(2, static_cast<uint64_t>(step));
  event += bytes_field(field, message);
  file_.append(record_of(event));
}

void EventFile::append_scalars(int64_t step, const std::vector<Scalar>& scalars) {
  std::string summary;
  for (const auto& [tag, number] : scalars) {
    std::string value = bytes_field(1, tag);
    put_key(value, 2, kFixed32);  // simple_value
    put_fixed(value, std::bit_cast<uint32_t>(number));
    summary += bytes_field(1, value);
  }
  append_event(step, kSummary, summary);
}

void EventFile::append_text(int64_t step, const std::string& tag, const std::string& text) {
  constexpr uint64_t kString = 7;                                 // DT_STRING
  const std::string shape = bytes_field(2, integer_field(1, 1));  // one dimension, of size 1
  const std::string tensor =
      integer_field(1, kString) + bytes_field(2, shape) + bytes_field(8, text);
  const std::string plugin = bytes_field(1, "text");
  append_event(step, kSummary,
               bytes_field(1, bytes_field(1, tag + "/text_summary") + bytes_field(8, tensor) +
                                  bytes_field(9, bytes_field(1, plugin))));
}

std::optional<std::string> newest_event_folder(const std::string& parent) {
  std::optional<std::string> folder;
  std::optional<int64_t> newest;
  std::error_code error;
  for (fs::directory_iterator entry(parent, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::optional<int64_t> second = newest_second(entry->path());
    if (second <= newest) continue;
    newest = second;
    folder = entry->path().string();
  }
  return folder;
}

std::string event_folder_name() {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  ::localtime_r(&now, &local);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%b%d_%H-%M-%S", &local);
  return cat(text.data(), "_", host_name());
}

}  // namespace qe
