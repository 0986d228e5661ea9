// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "tools/machine.h"

#include <doctest/doctest.h>

#include "tests/support/temporary_folder.h"

using namespace qe;
using namespace qe::tools;

namespace {

constexpr int64_t kGiB = int64_t{1} << 30;

/// A machine of 16 GiB as files of /proc and /sys.
struct FakeRoot {
  TemporaryFolder folder;
  FakeRoot() {
    write("proc/cpuinfo", "processor\t: 0\nmodel\t\t: 1\nmodel name\t: Fast CPU\n");
    write("proc/meminfo",
          "MemTotal:       16777216 kB\nMemFree:  1 kB\nMemAvailable:    8388608 kB\n"
          "CommitLimit:     4194304 kB\nCommitted_AS:    1048576 kB\n");
  }
  void write(const std::string& name, const std::string& text) { folder.write(name, text); }
  Machine machine() const { return describe_machine(folder.path()); }
};

}  // namespace

TEST_CASE("machine: processor and memory, and nothing where files are missing or broken") {
  const FakeRoot root;
  const Machine m = root.machine();
  CHECK(m.processor == "Fast CPU");
  CHECK(m.memory_total == 16 * kGiB);
  CHECK(m.memory_available == 8 * kGiB);
  CHECK(m.memory_limit == 0);
  CHECK(m.cpu_quota == 0.0);
  CHECK(m.commit_left == -1);
  CHECK_FALSE(m.has_nvidia_device);
  CHECK_FALSE(m.has_nvidia_node);

  const TemporaryFolder empty;
  CHECK(describe_machine(empty.path()).memory_total == 0);
  empty.write("proc/meminfo", "MemTotal\nMemTotal: \nMemAvailable: lots\n:\n\n");
  empty.write("proc/self/cgroup", "0\n0:\n:::\n5:memory\n");
  empty.write("sys/fs/cgroup/memory.max", "-5 max\n");
  const Machine broken = describe_machine(empty.path());
  CHECK(broken.memory_total == 0);
  CHECK(broken.memory_limit == 0);
}

TEST_CASE("machine: control groups of version 2, the tightest of all above") {
  FakeRoot root;
  root.write("proc/self/cgroup", "0::/a/b\n");
  root.write("sys/fs/cgroup/a/b/memory.max", "max\n");
  root.write("sys/fs/cgroup/a/b/cpu.max", "250000 100000\n");
  root.write("sys/fs/cgroup/a/memory.max", "4294967296\n");
  root.write("sys/fs/cgroup/a/memory.current", "1073741824\n");
  root.write("sys/fs/cgroup/a/cpu.max", "max 100000\n");
  Machine m = root.machine();
  CHECK(m.memory_limit == 4 * kGiB);
  CHECK(m.memory_available == 3 * kGiB);
  CHECK(m.cpu_quota == 2.5);
  root.write("sys/fs/cgroup/a/cpu.max", "100000 100000\n");
  CHECK(root.machine().cpu_quota == 1.0);
  // A container sees its own group as the root.
  root.write("proc/self/cgroup", "0::/\n");
  root.write("sys/fs/cgroup/memory.max", "2147483648\n");
  CHECK(root.machine().memory_limit == 2 * kGiB);
}

TEST_CASE("machine: control groups of version 1") {
  FakeRoot root;
  root.write("proc/self/cgroup", "7:cpu,cpuacct:/jobs\n5:memory:/jobs/1\n1:name=systemd:/\n");
  root.write("sys/fs/cgroup/memory/jobs/1/memory.limit_in_bytes", "9223372036854771712\n");
  root.write("sys/fs/cgroup/memory/jobs/memory.limit_in_bytes", "2147483648\n");
  root.write("sys/fs/cgroup/memory/jobs/memory.usage_in_bytes", "1073741824\n");
  root.write("sys/fs/cgroup/cpu/jobs/cpu.cfs_quota_us", "150000\n");
  root.write("sys/fs/cgroup/cpu/jobs/cpu.cfs_period_us", "100000\n");
  root.write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
  const Machine m = root.machine();
  CHECK(m.memory_limit == 2 * kGiB);
  CHECK(m.memory_available == 1 * kGiB);
  CHECK(m.cpu_quota == 1.5);
}

TEST_CASE("machine: strict accounting, GPUs on the bus and their nodes") {
  FakeRoot root;
  root.write("proc/sys/vm/overcommit_memory", "0\n");
  CHECK(root.machine().commit_left == -1);
  root.write("proc/sys/vm/overcommit_memory", "2\n");
  CHECK(root.machine().commit_left == 3 * kGiB);
  root.write("proc/meminfo", "CommitLimit: 1 kB\nCommitted_AS: 2 kB\n");
  CHECK(root.machine().commit_left == 0);

  root.write("sys/bus/pci/devices/0000:01:00.0/vendor", "0x10de\n");
  root.write("sys/bus/pci/devices/0000:01:00.0/class", "0x040300\n");  // its sound
  CHECK_FALSE(root.machine().has_nvidia_device);
  root.write("sys/bus/pci/devices/0000:01:00.1/vendor", "0x10de\n");
  root.write("sys/bus/pci/devices/0000:01:00.1/class", "0x030200\n");
  CHECK(root.machine().has_nvidia_device);
  root.write("dev/nvidia0", "");
  CHECK(root.machine().has_nvidia_node);
}

TEST_CASE("machine: the one that this is") {
  const Machine m = describe_machine();
  CHECK(m.n_processors >= 1);
  CHECK(m.memory_total > 0);
  CHECK(m.memory_available <= m.memory_total);
  CHECK_FALSE(m.file_system.empty());
  CHECK_FALSE(m.character_set.empty());
}
