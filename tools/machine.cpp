// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "tools/machine.h"

#include <sched.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "kernels/core/error.h"

namespace qe::tools {
namespace {

namespace fs = std::filesystem;

/// The first line of a file; "" when there is none.
std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

/// What stands behind "key" and a colon in a file of such lines; "" when it is not there.
std::string value_of(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos || !line.starts_with(key)) continue;
    if (line.find_last_not_of(" \t", colon - 1) + 1 != key.size()) continue;
    const size_t begin = line.find_first_not_of(" \t", colon + 1);
    return begin == std::string::npos ? "" : line.substr(begin);
  }
  return "";
}

/// A leading number; 0 when there is none ("max").
int64_t number(const std::string& text) {
  int64_t value = 0;
  std::istringstream(text) >> value;
  return std::max<int64_t>(value, 0);
}

int64_t smaller_limit(int64_t a, int64_t b) {  // 0: none
  return a == 0 || b == 0 ? std::max(a, b) : std::min(a, b);
}

/// The limits of the control groups (version 2) from this process' own up to the root.
void read_control_groups(Machine& machine) {
  const fs::path root = "/sys/fs/cgroup";
  std::string own = value_of("/proc/self/cgroup", "0");  // "0::/path"
  own.erase(0, own.find_first_not_of(":/"));
  for (fs::path group = root / own;; group = group.parent_path()) {
    const int64_t limit = number(first_line(group / "memory.max"));
    const int64_t used = number(first_line(group / "memory.current"));
    machine.memory_limit = smaller_limit(machine.memory_limit, limit);
    if (limit > 0) {
      machine.memory_available =
          std::min(machine.memory_available, std::max<int64_t>(limit - used, 0));
    }
    int64_t quota = 0, period = 0;
    std::istringstream(first_line(group / "cpu.max")) >> quota >> period;
    if (quota > 0 && period > 0) {
      const double share = static_cast<double>(quota) / static_cast<double>(period);
      machine.cpu_quota = machine.cpu_quota > 0 ? std::min(machine.cpu_quota, share) : share;
    }
    if (group == root || group == group.parent_path()) break;
  }
}

bool has_nvidia_device() {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator("/sys/bus/pci/devices", error)) {
    const bool nvidia = first_line(entry.path() / "vendor") == "0x10de";
    if (nvidia && first_line(entry.path() / "class").starts_with("0x03")) return true;
  }
  return false;
}

void read_folder(Machine& machine) {
  std::error_code error;
  machine.folder = fs::current_path(error).string();
  machine.folder_writable = ::access(".", W_OK | X_OK) == 0;
  struct statvfs disk {};
  if (::statvfs(".", &disk) != 0) return;
  machine.disk_total = static_cast<int64_t>(disk.f_blocks) * static_cast<int64_t>(disk.f_frsize);
  machine.disk_free = static_cast<int64_t>(disk.f_bavail) * static_cast<int64_t>(disk.f_frsize);
}

}  // namespace

Machine describe_machine() {
  Machine machine;
  utsname system{};
  if (::uname(&system) == 0) {
    machine.system = cat(system.sysname, ' ', system.release, ' ', system.machine);
  }
  machine.processor = value_of("/proc/cpuinfo", "model name");
  machine.n_processors = static_cast<int>(std::max(::sysconf(_SC_NPROCESSORS_ONLN), 0L));
  cpu_set_t usable;
  CPU_ZERO(&usable);
  if (::sched_getaffinity(0, sizeof usable, &usable) == 0) machine.n_usable = CPU_COUNT(&usable);
  machine.memory_total = 1024 * number(value_of("/proc/meminfo", "MemTotal"));
  machine.memory_available = 1024 * number(value_of("/proc/meminfo", "MemAvailable"));
  read_control_groups(machine);
  read_folder(machine);
  machine.has_nvidia_device = has_nvidia_device();
  return machine;
}

}  // namespace qe::tools
