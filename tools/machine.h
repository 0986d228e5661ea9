// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// What this machine has, as Linux says.

#include <cstdint>
#include <string>
#include <vector>

namespace qe::tools {

struct Machine {
  std::string system;     ///< "Linux 6.1.0 x86_64"
  std::string processor;  ///< model name; "" when unknown
  int n_processors = 0;   ///< online
  int n_usable = 0;       ///< that this process may run on
  double cpu_quota = 0;   ///< processors' worth of time that its control group may use; 0: no limit
  int64_t memory_total = 0;
  int64_t memory_available = 0;  ///< without swapping, within the control group's limit
  int64_t memory_limit = 0;      ///< of the control group; 0: none
  std::string folder;            ///< the current one
  int64_t disk_total = 0;        ///< of the file system that holds it
  int64_t disk_free = 0;         ///< for this user
  std::string file_system;       ///< "ext4", "tmpfs", or a number in hexadecimal digits
  bool folder_writable = false;
  int64_t open_files = 0;      ///< how many files this process may have open; 0: any number
  int64_t locked_memory = -1;  ///< bytes it may lock; -1: any number
  int64_t address_space = 0;   ///< bytes of addresses it may have; 0: any number
  /// Strict accounting (vm.overcommit_memory 2): bytes that may still be promised; -1: not strict.
  int64_t commit_left = -1;
  std::string character_set;       ///< of the locale: "UTF-8", "ANSI_X3.4-1968"
  std::string terminal;            ///< TERM, where standard error is a terminal
  bool has_nvidia_device = false;  ///< on the PCI bus, with or without a driver
  bool has_nvidia_node = false;    ///< /dev/nvidia0: what the driver is talked to through
};

/// Never throws: what cannot be found out stays 0 or empty. root: what stands for / (tests have a
/// folder with files of /proc and /sys).
Machine describe_machine(const std::string& root = "");

struct Gpu {
  std::string name;
  std::string compute_capability;  ///< "9.0"
  int64_t memory_bytes = 0;
  bool concurrent_managed_access = true;  ///< cuda::DeviceInfo's
};

struct GpuDriver {
  bool installed = false;
  std::string cuda_version;  ///< the newest CUDA that the driver supports, "13.0"
  std::string problem;       ///< why there are no GPUs although it is installed; else ""
  std::vector<Gpu> gpus;
};

/// The first of these shared libraries that can be loaded; "" when none can.
std::string first_library(const std::vector<std::string>& names);

/// Asks NVIDIA's driver library, which is opened for this and need not be there.
GpuDriver probe_gpu_driver();

}  // namespace qe::tools
