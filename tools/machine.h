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
  bool folder_writable = false;
  bool has_nvidia_device = false;  ///< on the PCI bus, with or without a driver
};

/// Never throws: what cannot be found out stays 0 or empty.
Machine describe_machine();

struct Gpu {
  std::string name;
  std::string compute_capability;  ///< "9.0"
  int64_t memory_bytes = 0;
};

struct GpuDriver {
  bool installed = false;
  std::string cuda_version;  ///< the newest CUDA that the driver supports, "13.0"
  std::string problem;       ///< why there are no GPUs although it is installed; else ""
  std::vector<Gpu> gpus;
};

/// Asks NVIDIA's driver library, which is opened for this and need not be there.
GpuDriver probe_gpu_driver();

}  // namespace qe::tools
