// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "tools/machine.h"

#include <langinfo.h>
#include <locale.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <utility>

#include "kernels/core/error.h"

namespace qe::tools {
namespace {

namespace fs = std::filesystem;

/// No limit, as version 1 of control groups writes it: 2^63 less a page.
constexpr int64_t kUnlimited = int64_t{1} << 60;

/// statfs(2)'s magic numbers.
constexpr std::pair<uint32_t, const char*> kFileSystems[] = {
    {0xef53, "ext4"},      {0x58465342, "xfs"},   {0x9123683e, "btrfs"},   {0x2fc12fc1, "zfs"},
    {0x01021994, "tmpfs"}, {0x858458f6, "ramfs"}, {0x794c7630, "overlay"}, {0x6969, "nfs"},
    {0xff534d42, "cifs"},  {0xfe534d42, "smb2"},  {0x65735546, "fuse"},    {0x0bd00bd0, "lustre"},
    {0x01021997, "9p"},    {0x4d44, "vfat"},      {0x2011bab0, "exfat"},   {0x47504653, "gpfs"},
    {0x00c36400, "ceph"}};

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

void limit_memory(Machine& machine, int64_t limit, int64_t used) {
  if (limit <= 0 || limit >= kUnlimited) return;
  machine.memory_limit = smaller_limit(machine.memory_limit, limit);
  machine.memory_available = std::min(machine.memory_available, std::max<int64_t>(limit - used, 0));
}

void limit_processors(Machine& machine, int64_t quota, int64_t period) {
  if (quota <= 0 || period <= 0) return;
  const double share = static_cast<double>(quota) / static_cast<double>(period);
  machine.cpu_quota = machine.cpu_quota > 0 ? std::min(machine.cpu_quota, share) : share;
}

/// Calls `visit` with a control group's folder and those of its parents, up to `top`.
template <class Visit>
void for_each_group(const fs::path& top, std::string own, const Visit& visit) {
  own.erase(0, own.find_first_not_of('/'));
  for (fs::path group = own.empty() ? top : top / own;; group = group.parent_path()) {
    visit(group);
    if (group == top || group == group.parent_path()) break;
  }
}

/// Of version 2: this process' own up to the root.
void read_control_groups(const fs::path& root, Machine& machine) {
  const std::string own = value_of(root / "proc/self/cgroup", "0");  // "0::/path"
  const size_t path = own.find('/');
  if (path == std::string::npos) return;
  for_each_group(root / "sys/fs/cgroup", own.substr(path), [&](const fs::path& group) {
    limit_memory(machine, number(first_line(group / "memory.max")),
                 number(first_line(group / "memory.current")));
    int64_t quota = 0, period = 0;
    std::istringstream(first_line(group / "cpu.max")) >> quota >> period;
    limit_processors(machine, quota, period);
  });
}

/// Of version 1, where memory and processors have trees of their own: "5:cpu,cpuacct:/path".
void read_old_control_groups(const fs::path& root, Machine& machine) {
  std::ifstream file(root / "proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const std::string own = line.substr(second + 1);
    if (controllers.find(",memory,") != std::string::npos) {
      for_each_group(root / "sys/fs/cgroup/memory", own, [&](const fs::path& group) {
        limit_memory(machine, number(first_line(group / "memory.limit_in_bytes")),
                     number(first_line(group / "memory.usage_in_bytes")));
      });
    }
    if (controllers.find(",cpu,") != std::string::npos) {
      for_each_group(root / "sys/fs/cgroup/cpu", own, [&](const fs::path& group) {
        limit_processors(machine, number(first_line(group / "cpu.cfs_quota_us")),
                         number(first_line(group / "cpu.cfs_period_us")));
      });
    }
  }
}

void read_nvidia_devices(const fs::path& root, Machine& machine) {
  std::error_code error;
  machine.has_nvidia_node = fs::exists(root / "dev/nvidia0", error);
  for (const auto& entry : fs::directory_iterator(root / "sys/bus/pci/devices", error)) {
    const bool nvidia = first_line(entry.path() / "vendor") == "0x10de";
    if (nvidia && first_line(entry.path() / "class").starts_with("0x03")) {
      machine.has_nvidia_device = true;
    }
  }
}

void read_limits(const fs::path& root, Machine& machine) {
  const auto limit = [](auto resource, int64_t unlimited) {
    rlimit value{};
    if (::getrlimit(resource, &value) != 0 || value.rlim_cur == RLIM_INFINITY) return unlimited;
    return static_cast<int64_t>(value.rlim_cur);
  };
  machine.open_files = limit(RLIMIT_NOFILE, 0);
  machine.locked_memory = limit(RLIMIT_MEMLOCK, -1);
  machine.address_space = limit(RLIMIT_AS, 0);
  if (number(first_line(root / "proc/sys/vm/overcommit_memory")) == 2) {
    const std::string info = root / "proc/meminfo";
    machine.commit_left = std::max<int64_t>(
        1024 * (number(value_of(info, "CommitLimit")) - number(value_of(info, "Committed_AS"))), 0);
  }
}

void read_terminal(Machine& machine) {
  // The program itself keeps to the "C" locale, whatever the environment says.
  if (const locale_t locale = ::newlocale(LC_CTYPE_MASK, "", nullptr)) {
    machine.character_set = ::nl_langinfo_l(CODESET, locale);
    ::freelocale(locale);
  } else {
    machine.character_set = ::nl_langinfo(CODESET);
  }
  const char* const name = std::getenv("TERM");
  if (::isatty(STDERR_FILENO) == 1) machine.terminal = name ? name : "";
}

std::string file_system_name(const std::string& folder) {
  struct statfs info {};
  if (::statfs(folder.c_str(), &info) != 0) return "";
  const auto type = static_cast<uint32_t>(info.f_type);
  for (const auto& [magic, name] : kFileSystems) {
    if (type == magic) return name;
  }
  std::ostringstream hex;
  hex << std::hex << type;
  return hex.str();
}

void read_folder(Machine& machine) {
  std::error_code error;
  machine.folder = fs::current_path(error).string();
  machine.file_system = file_system_name(".");
  machine.folder_writable = ::access(".", W_OK | X_OK) == 0;
  struct statvfs disk {};
  if (::statvfs(".", &disk) != 0) return;
  machine.disk_total = static_cast<int64_t>(disk.f_blocks) * static_cast<int64_t>(disk.f_frsize);
  machine.disk_free = static_cast<int64_t>(disk.f_bavail) * static_cast<int64_t>(disk.f_frsize);
}

}  // namespace

Machine describe_machine(const std::string& root_name) {
  const fs::path root = root_name.empty() ? "/" : root_name;
  Machine machine;
  utsname system{};
  if (::uname(&system) == 0) {
    machine.system = cat(system.sysname, ' ', system.release, ' ', system.machine);
  }
  machine.processor = value_of(root / "proc/cpuinfo", "model name");
  machine.n_processors = static_cast<int>(std::max(::sysconf(_SC_NPROCESSORS_ONLN), 0L));
  cpu_set_t usable;
  CPU_ZERO(&usable);
  if (::sched_getaffinity(0, sizeof usable, &usable) == 0) machine.n_usable = CPU_COUNT(&usable);
  machine.memory_total = 1024 * number(value_of(root / "proc/meminfo", "MemTotal"));
  machine.memory_available = 1024 * number(value_of(root / "proc/meminfo", "MemAvailable"));
  read_control_groups(root, machine);
  read_old_control_groups(root, machine);
  read_folder(machine);
  read_limits(root, machine);
  read_terminal(machine);
  read_nvidia_devices(root, machine);
  return machine;
}

}  // namespace qe::tools
