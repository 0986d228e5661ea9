// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Files and folders that appear whole or not at all: written beside, fsynced, renamed.

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace qe {

/// Writes `path` atomically: `produce` gets an append function and may call it any number of times.
/// On any failure (also a full disk, also an exception from produce) the old file stays and the
/// temporary one is gone. A path that is a folder, device or pipe is refused. Throws Error naming
/// the path and the system's reason.
using Append = std::function<void(std::span<const std::byte>)>;
void write_file_atomically(const std::string& path,
                           const std::function<void(const Append&)>& produce);
void write_file_atomically(const std::string& path, std::string_view text);

/// Writes a file that must not exist yet, without syncing it: for folders that
/// write_folder_atomically fills, which syncs all at once. Throws Error naming the path and the
/// system's reason.
void write_new_file(const std::string& path, const std::function<void(const Append&)>& produce);

/// Creates the folder (and its parents) if needed and checks that files can be created in it.
/// Throws Error.
void require_writable_folder(const std::string& path);

/// Fills `path` as a folder atomically: calls fill(temporary folder beside it), fsyncs every file,
/// then renames. An existing folder of that name is replaced. On failure nothing is left behind.
void write_folder_atomically(const std::string& path,
                             const std::function<void(const std::string& temporary)>& fill);

/// Removes a folder with all that is in it, under another name: whatever interrupts this, no folder
/// of its name is left that lacks files. Throws Error.
void remove_folder(const std::string& path);

/// Removes what killed processes left beside the files and folders of `folder` whose names begin
/// with `prefix`; this process writes none of them now. Never throws: they are only in the way.
void remove_leftovers(const std::string& folder, const std::string& prefix);

}  // namespace qe
