// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "tools/diagnosis.h"

#include <algorithm>
#include <cstdlib>

#include "kernels/core/error.h"
#include "tools/table.h"

namespace qe::tools {
namespace {

constexpr int64_t kLittleMemory = int64_t{1} << 30;
constexpr int64_t kLittleDisk = int64_t{1} << 30;
constexpr int64_t kFewFiles = 256;  // shards of data and weights are mapped, one file each
constexpr double kOldestCapability = 7.5;

class Finder {
 public:
  explicit Finder(const Diagnosis& d) : d_(d), m_(d.machine) {}

  std::vector<Finding> find() {
    find_in_processor();
    find_in_memory();
    find_in_folder();
    find_in_terminal();
    find_in_gpus();
    for (const SelfCheck& check : d_.checks) {
      if (check.ok) continue;
      add(cat("the check of ", check.name, " fails: ", check.detail),
          "build anew; if it still fails, do not trust results of this machine");
    }
    return std::move(findings_);
  }

 private:
  void add(const std::string& what, const std::string& mend) { findings_.push_back({what, mend}); }

  static std::string bytes(int64_t n) { return human_bytes(static_cast<uint64_t>(n)); }

  void find_in_processor() {
    if (d_.forced_backend) {
      add(cat("QE_FORCE_ISA asks for ", d_.backend), "unset it for full speed");
    } else if (d_.backend == "scalar") {
      add("a processor without AVX2 and FMA (or NEON): everything is slow",
          "in a virtual machine, give it the host's processor model");
    }
    const int usable = std::min(m_.n_usable, m_.n_processors);
    if (m_.n_usable < m_.n_processors) {
      add(cat("this process may run on ", m_.n_usable, " of ", m_.n_processors, " processors"),
          "taskset or the batch system's request for cores says so");
    }
    if (m_.cpu_quota > 0 && m_.cpu_quota < usable) {
      add(cat("the control group grants ", fixed(m_.cpu_quota, 1), " of ", usable, " processors"),
          cat("set threads to ", std::max(1, static_cast<int>(m_.cpu_quota)),
              ", or give the container more (docker run --cpus)"));
    }
  }

  void find_in_memory() {
    if (m_.memory_limit > 0 && m_.memory_limit < m_.memory_total) {
      add(cat("the control group grants ", bytes(m_.memory_limit), " of ", bytes(m_.memory_total),
              " of memory"),
          "beyond that a run is killed: plan says what it needs; docker run --memory raises it");
    }
    if (m_.memory_available < kLittleMemory) {
      add(cat("only ", bytes(m_.memory_available), " of memory available"),
          "the plan command says what a run needs; end other programs");
    }
    if (m_.commit_left >= 0 && m_.commit_left < m_.memory_available) {
      add(cat("strict accounting of memory (vm.overcommit_memory 2) leaves ", bytes(m_.commit_left),
              " to ask for"),
          "sysctl vm.overcommit_memory=0, or raise vm.overcommit_ratio");
    }
    if (m_.address_space > 0) {
      add(cat("addresses of a process are limited to ", bytes(m_.address_space),
              ": data and weights are mapped, and CUDA reserves more than there is memory"),
          "ulimit -v unlimited");
    }
    if (m_.open_files > 0 && m_.open_files < kFewFiles) {
      add(cat("only ", m_.open_files, " files may be open"), "ulimit -n 4096");
    }
  }

  void find_in_folder() {
    if (m_.disk_free < kLittleDisk) {
      add(cat("only ", bytes(m_.disk_free), " of disk free in ", m_.folder),
          "set output_dir to a folder on another disk");
    }
    if (!m_.folder_writable) {
      add(cat(m_.folder, " is not writable"), "set output_dir to a folder of yours");
    }
    if (m_.file_system == "tmpfs" || m_.file_system == "ramfs") {
      add(cat(m_.folder, " is in memory (", m_.file_system,
              "): what is written there takes memory and is gone after a restart"),
          "set output_dir to a folder on a disk");
    }
  }

  void find_in_terminal() {
    if (!m_.terminal.empty() && m_.character_set != "UTF-8") {
      add(cat("the locale's characters are ", m_.character_set,
              ", not UTF-8: texts and bars may look wrong in this terminal"),
          "export LC_ALL=C.UTF-8");
    }
  }

  void find_in_gpus() {
    const GpuDriver& driver = d_.driver;
    const bool there = m_.has_nvidia_device || m_.has_nvidia_node;
    if (there && !driver.installed) {
      add("an NVIDIA GPU without its driver (libcuda.so.1)",
          "install nvidia-driver (Debian, section non-free), or run ubuntu-drivers install "
          "(Ubuntu); in a container, pass the GPU in (docker run --gpus all)");
    } else if (!driver.problem.empty() && (there || driver.problem != kNoDevice)) {
      add(cat("the NVIDIA driver gives no GPU: ", driver.problem),
          m_.has_nvidia_node ? "nvidia-smi says more; after an update of the driver, restart"
                             : "in a container, pass the GPU in (docker run --gpus all); else "
                               "nvidia-smi says more; after an update of the driver, restart");
    } else if (!driver.gpus.empty()) {
      find_in_usable_gpus();
    }
  }

  void find_in_usable_gpus() {
    if (!d_.built_with_cuda) {
      add("a GPU that this program was built without",
          "make cuda, where nvcc is (package nvidia-cuda-toolkit)");
      return;
    }
    if (d_.n_usable_gpus == 0) {
      add(cat("the driver (for CUDA ", d_.driver.cuda_version,
              ") and this program's CUDA do not go together: ", d_.unusable_reason),
          "update the driver, or build with an older CUDA toolkit");
    }
    if (d_.cublaslt.empty()) {
      add("cuBLASLt is not on the library path",
          "install the CUDA libraries (libcublas, 12 or 13), or add their folder to "
          "LD_LIBRARY_PATH");
    }
    for (const Gpu& gpu : d_.driver.gpus) {
      if (std::atof(gpu.compute_capability.c_str()) < kOldestCapability) {
        add(cat(gpu.name, " has compute capability ", gpu.compute_capability),
            "7.5 (Turing) is the oldest that works; --device cpu does without");
      } else if (!gpu.concurrent_managed_access) {
        add(cat(gpu.name,
                " and the host cannot share managed memory: paged optimizer states stay "
                "in pinned memory, which cannot be swapped out"),
            "nothing to mend, except in a virtual machine or under WSL: run on the host");
      }
    }
  }

  static constexpr const char* kNoDevice = "no CUDA-capable device is detected";

  const Diagnosis& d_;
  const Machine& m_;
  std::vector<Finding> findings_;
};

}  // namespace

bool Diagnosis::healthy() const {
  return std::all_of(checks.begin(), checks.end(), [](const SelfCheck& c) { return c.ok; });
}

std::vector<Finding> find_problems(const Diagnosis& diagnosis) { return Finder(diagnosis).find(); }

}  // namespace qe::tools
