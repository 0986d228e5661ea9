// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// TensorBoard's event files. A file is a row of TFRecords, each
//
//   uint64 n | uint32 masked CRC32C of those 8 bytes | n bytes | uint32 masked CRC32C of them
//
// (little-endian), each holding one Event in protobuf's wire format: wall_time (field 1, double),
// step (2), and one of file_version (3), summary (5), session_log (7). The first is the version.
// TensorBoard shows all files of a folder as one run, in the order of their names, which begin with
// the second in which they were created.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "formats/append_file.h"

namespace qe {

class EventFile {
 public:
  /// A name, such as "train/loss", and its value at a step.
  using Scalar = std::pair<std::string, float>;
  /// Seconds since 1970.
  using Clock = std::function<double()>;

  /// Creates a file in `folder` (made if needed), by name after all that are there. With
  /// `first_step` the run goes on there: TensorBoard forgets what earlier files say of that step
  /// and later ones. Throws Error, as all members.
  EventFile(const std::string& folder, std::optional<int64_t> first_step, Clock clock = now);

  void append_scalars(int64_t step, const std::vector<Scalar>& scalars);
  /// Markdown, shown under the tab of texts.
  void append_text(int64_t step, const std::string& tag, const std::string& text);

  const std::string& path() const { return path_; }
  static double now();

 private:
  void append_event(int64_t step, int field, const std::string& message);

  Clock clock_;
  std::string path_;
  AppendFile file_;
};

/// Of the folders in `parent`, the one whose event file is the newest by name; none: nullopt.
std::optional<std::string> newest_event_folder(const std::string& parent);
/// What SummaryWriter calls the folder of a run that begins now: "Nov26_00-48-48_host".
std::string event_folder_name();

}  // namespace qe
