// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "tools/diagnosis.h"

#include <doctest/doctest.h>

using namespace qe::tools;

namespace {

constexpr int64_t kGiB = int64_t{1} << 30;

/// A machine with a GPU that lacks nothing.
Diagnosis healthy() {
  Diagnosis d;
  d.machine = {.n_processors = 8,
               .n_usable = 8,
               .memory_total = 64 * kGiB,
               .memory_available = 60 * kGiB,
               .folder = "/home/me",
               .disk_total = 900 * kGiB,
               .disk_free = 500 * kGiB,
               .file_system = "ext4",
               .folder_writable = true,
               .open_files = 1024,
               .locked_memory = 8 << 20,
               .character_set = "UTF-8",
               .terminal = "xterm",
               .has_nvidia_device = true,
               .has_nvidia_node = true};
  d.driver = {.installed = true,
              .cuda_version = "13.0",
              .problem = "",
              .gpus = {{.name = "GPU", .compute_capability = "9.0", .memory_bytes = 80 * kGiB}}};
  d.backend = "avx2";
  d.built_with_cuda = true;
  d.n_usable_gpus = 1;
  d.cublaslt = "libcublasLt.so.13";
  d.checks = {{"products", true, ""}};
  return d;
}

Diagnosis without_gpu() {
  Diagnosis d = healthy();
  d.machine.has_nvidia_device = d.machine.has_nvidia_node = false;
  d.driver = {};
  d.n_usable_gpus = 0;
  return d;
}

/// The one finding names `what`, and `mend` mends it; each is one line.
void check_one(const Diagnosis& d, const char* what, const char* mend) {
  const std::vector<Finding> findings = find_problems(d);
  REQUIRE(findings.size() == 1);
  CAPTURE(findings[0].what);
  CAPTURE(findings[0].mend);
  CHECK(findings[0].what.find(what) != std::string::npos);
  CHECK(findings[0].mend.find(mend) != std::string::npos);
  CHECK((findings[0].what + findings[0].mend).find('\n') == std::string::npos);
}

}  // namespace

TEST_CASE("diagnosis: nothing is missing, with a GPU and without") {
  CHECK(find_problems(healthy()).empty());
  CHECK(healthy().healthy());
  Diagnosis d = without_gpu();
  CHECK(find_problems(d).empty());
  d.driver = {.installed = true, .problem = "no CUDA-capable device is detected"};
  CHECK(find_problems(d).empty());  // a driver in a machine without a GPU
  d.built_with_cuda = false;
  CHECK(find_problems(d).empty());
}

TEST_CASE("diagnosis: processors") {
  Diagnosis d = healthy();
  d.backend = "scalar";
  check_one(d, "without AVX2", "processor model");
  d.forced_backend = true;
  check_one(d, "QE_FORCE_ISA asks for scalar", "unset");
  d = healthy();
  d.machine.n_usable = 2;
  check_one(d, "may run on 2 of 8 processors", "taskset");
  d = healthy();
  d.machine.cpu_quota = 2.5;
  check_one(d, "grants 2.5 of 8 processors", "threads to 2");
  d.machine.cpu_quota = 8;
  CHECK(find_problems(d).empty());
}

TEST_CASE("diagnosis: memory and limits") {
  Diagnosis d = healthy();
  d.machine.memory_limit = 4 * kGiB;
  check_one(d, "grants 4.0 GiB of 64.0 GiB", "--memory");
  d = healthy();
  d.machine.memory_available = kGiB / 2;
  check_one(d, "512.0 MiB of memory available", "end other programs");
  d = healthy();
  d.machine.commit_left = 3 * kGiB;
  check_one(d, "leaves 3.0 GiB", "vm.overcommit_memory=0");
  d = healthy();
  d.machine.address_space = 8 * kGiB;
  check_one(d, "limited to 8.0 GiB", "ulimit -v unlimited");
  d = healthy();
  d.machine.open_files = 64;
  check_one(d, "only 64 files", "ulimit -n");
  d.machine.open_files = 0;  // any number
  CHECK(find_problems(d).empty());
}

TEST_CASE("diagnosis: folder and terminal") {
  Diagnosis d = healthy();
  d.machine.folder_writable = false;
  check_one(d, "/home/me is not writable", "output_dir");
  d = healthy();
  d.machine.disk_free = 1 << 20;
  check_one(d, "only 1.0 MiB of disk", "another disk");
  d = healthy();
  d.machine.file_system = "tmpfs";
  check_one(d, "is in memory (tmpfs)", "on a disk");
  d = healthy();
  d.machine.character_set = "ANSI_X3.4-1968";
  check_one(d, "ANSI_X3.4-1968", "LC_ALL=C.UTF-8");
  d.machine.terminal = "";  // nobody looks
  CHECK(find_problems(d).empty());
}

TEST_CASE("diagnosis: GPUs") {
  Diagnosis d = healthy();
  d.driver = {};
  check_one(d, "without its driver", "install nvidia-driver");
  d.driver = {.installed = true, .problem = "unknown error"};
  check_one(d, "unknown error", "restart");
  d.machine.has_nvidia_node = false;
  check_one(d, "unknown error", "docker run --gpus all");
  d = healthy();
  d.built_with_cuda = false;
  d.cublaslt = "";
  check_one(d, "built without", "nvcc");
  d = healthy();
  d.n_usable_gpus = 0;
  d.driver.cuda_version = "11.4";
  d.unusable_reason = "driver version is insufficient";
  check_one(d, "driver (for CUDA 11.4)", "update the driver");
  d = healthy();
  d.cublaslt = "";
  check_one(d, "cuBLASLt", "LD_LIBRARY_PATH");
  d = healthy();
  d.driver.gpus[0].compute_capability = "7.0";
  check_one(d, "capability 7.0", "7.5");
  d.driver.gpus[0].compute_capability = "10.0";
  CHECK(find_problems(d).empty());
  d.driver.gpus[0].concurrent_managed_access = false;
  check_one(d, "cannot share managed memory", "run on the host");
}

TEST_CASE("diagnosis: a check that fails is no health") {
  Diagnosis d = healthy();
  d.checks.push_back({"quantization", false, "off by one"});
  check_one(d, "quantization fails: off by one", "build anew");
  CHECK_FALSE(d.healthy());
}
