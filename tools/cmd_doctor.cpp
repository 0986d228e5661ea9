// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include <algorithm>
#include <cstdlib>
#include <iostream>

#include "formats/json.h"
#include "formats/library_versions.h"
#include "kernels/core/cuda.h"
#include "kernels/core/error.h"
#include "kernels/ops/backend.h"
#include "tools/commands.h"
#include "tools/diagnosis.h"
#include "tools/table.h"

namespace qe::tools {
namespace {

/// Beside the diagnosis what is only shown.
struct Report {
  Diagnosis diagnosis;
  std::vector<Finding> findings;
  std::vector<std::string> backends;
  std::vector<LibraryVersion> libraries;
  std::string nccl;  ///< the library found; "" none
};

Report examine() {
  Report r;
  r.diagnosis = {.machine = describe_machine(),
                 .driver = probe_gpu_driver(),
                 .backend = backend_name({}),
                 .forced_backend = std::getenv("QE_FORCE_ISA") != nullptr,
                 .built_with_cuda = cuda_built_in(),
                 .n_usable_gpus = cuda::device_count(),
                 .unusable_reason = cuda::unavailable_reason(),
                 .cublaslt = first_library({"libcublasLt.so.13", "libcublasLt.so.12",
                                            "/usr/local/cuda/lib64/libcublasLt.so"}),
                 .checks = run_self_checks()};
  r.findings = find_problems(r.diagnosis);
  r.backends = cpu_backends();
  r.libraries = library_versions();
  r.nccl = first_library({"libnccl.so.2"});
  return r;
}

Json limit_json(int64_t value) { return value > 0 ? Json(value) : Json(); }

Json to_json(const Machine& m) {
  return Json::object(
      {{"system", m.system},
       {"processor", m.processor},
       {"processors", m.n_processors},
       {"usable_processors", m.n_usable},
       {"cpu_quota", m.cpu_quota > 0 ? Json(m.cpu_quota) : Json()},
       {"memory_bytes", m.memory_total},
       {"available_memory_bytes", m.memory_available},
       {"memory_limit_bytes", limit_json(m.memory_limit)},
       {"commit_left_bytes", m.commit_left >= 0 ? Json(m.commit_left) : Json()},
       {"open_files", limit_json(m.open_files)},
       {"locked_memory_bytes", m.locked_memory >= 0 ? Json(m.locked_memory) : Json()},
       {"address_space_bytes", limit_json(m.address_space)},
       {"folder", m.folder},
       {"folder_writable", m.folder_writable},
       {"disk_bytes", m.disk_total},
       {"free_disk_bytes", m.disk_free},
       {"file_system", m.file_system},
       {"character_set", m.character_set},
       {"terminal", m.terminal.empty() ? Json() : Json(m.terminal)}});
}

Json to_json(const GpuDriver& driver) {
  Json gpus = Json::array();
  for (const Gpu& gpu : driver.gpus) {
    gpus.push_back(Json::object({{"name", gpu.name},
                                 {"compute_capability", gpu.compute_capability},
                                 {"memory_bytes", gpu.memory_bytes},
                                 {"concurrent_managed_access", gpu.concurrent_managed_access}}));
  }
  return Json::object({{"driver", driver.installed},
                       {"cuda_version", driver.cuda_version},
                       {"problem", driver.problem},
                       {"devices", std::move(gpus)}});
}

Json to_json(const Report& r) {
  const Diagnosis& d = r.diagnosis;
  Json backends = Json::array(), libraries = Json::array(), checks = Json::array();
  Json findings = Json::array();
  for (const std::string& name : r.backends) backends.push_back(name);
  for (const LibraryVersion& library : r.libraries) {
    libraries.push_back(Json::object(
        {{"name", library.name}, {"version", library.version}, {"detail", library.detail}}));
  }
  for (const SelfCheck& check : d.checks) {
    checks.push_back(
        Json::object({{"name", check.name}, {"ok", check.ok}, {"detail", check.detail}}));
  }
  for (const Finding& finding : r.findings) {
    findings.push_back(Json::object({{"what", finding.what}, {"mend", finding.mend}}));
  }
  return Json::object({{"version", QE_VERSION},
                       {"healthy", d.healthy()},
                       {"machine", to_json(d.machine)},
                       {"instruction_set", d.backend},
                       {"instruction_sets", std::move(backends)},
                       {"gpu", to_json(d.driver)},
                       {"built_with_cuda", d.built_with_cuda},
                       {"usable_gpus", d.n_usable_gpus},
                       {"cublaslt", d.cublaslt},
                       {"nccl", r.nccl},
                       {"libraries", std::move(libraries)},
                       {"checks", std::move(checks)},
                       {"missing", std::move(findings)}});
}

std::string processors_text(const Machine& m) {
  std::string out = std::to_string(m.n_processors);
  if (m.n_usable != m.n_processors) out += cat(", usable by this process: ", m.n_usable);
  if (m.cpu_quota > 0) out += cat(", time of ", fixed(m.cpu_quota, 1));
  return out;
}

std::string gpu_text(const GpuDriver& driver) {
  if (!driver.installed) return "no driver (libcuda.so.1)";
  const std::string version = cat("driver for CUDA ", driver.cuda_version);
  return driver.problem.empty() ? version : cat(version, ": ", driver.problem);
}

std::string limits_text(const Machine& m) {
  const auto size = [](int64_t n) { return human_bytes(static_cast<uint64_t>(n)); };
  return cat("open files ", m.open_files > 0 ? human_count(m.open_files) : "unlimited",
             ", locked memory ", m.locked_memory >= 0 ? size(m.locked_memory) : "unlimited",
             ", addresses ", m.address_space > 0 ? size(m.address_space) : "unlimited",
             m.commit_left >= 0 ? cat(", memory left to ask for ", size(m.commit_left)) : "");
}

std::string text_of(const Report& r) {
  const Diagnosis& d = r.diagnosis;
  const Machine& m = d.machine;
  Table table("ll");
  const auto section = [&](const char* name) { table.add({name}); };
  const auto line = [&](const std::string& name, const std::string& value) {
    table.add({"  " + name, value});
  };
  section("Machine");
  line("system", m.system);
  line("processor", m.processor);
  line("processors", processors_text(m));
  std::string sets;
  for (const std::string& name : r.backends) sets += (sets.empty() ? "" : ", ") + name;
  line("instruction set", cat(d.backend, " (of ", sets, ")"));
  line("memory", cat(human_bytes(m.memory_available), " available of ",
                     human_bytes(m.memory_limit > 0 ? std::min(m.memory_limit, m.memory_total)
                                                    : m.memory_total)));
  line("disk", cat(human_bytes(m.disk_free), " free of ", human_bytes(m.disk_total), ", ",
                   m.file_system, ", ", m.folder));
  line("limits", limits_text(m));
  line("terminal", cat(m.terminal.empty() ? "none" : m.terminal, ", ", m.character_set));
  line("GPU", gpu_text(d.driver));
  for (const Gpu& gpu : d.driver.gpus) {
    line("", cat(gpu.name, ", ", human_bytes(gpu.memory_bytes), ", compute capability ",
                 gpu.compute_capability));
  }
  line("CUDA libraries", cat("cuBLASLt: ", d.cublaslt.empty() ? "not found" : d.cublaslt,
                             ", NCCL: ", r.nccl.empty() ? "not found" : r.nccl));
  section("Program");
  line("qlora-engine", cat(QE_VERSION, d.built_with_cuda ? ", CPU and CUDA" : ", CPU only"));
  for (const LibraryVersion& library : r.libraries) {
    line(library.name,
         library.detail.empty() ? library.version : cat(library.version, ", ", library.detail));
  }
  section("Checks");
  for (const SelfCheck& check : d.checks) {
    line(check.name, cat(check.ok ? "ok: " : "FAILED: ", check.detail));
  }
  std::string out = table.text();
  out += r.findings.empty() ? "Nothing is missing.\n" : "Missing\n";
  for (const Finding& finding : r.findings) {
    out += cat("  ", finding.what, "\n    ", finding.mend, "\n");
  }
  return out;
}

int run_doctor(const Arguments& arguments) {
  const Report report = examine();
  std::cout << (arguments.has("json") ? to_json(report).dump(2) + "\n" : text_of(report));
  return report.diagnosis.healthy() ? 0 : 1;
}

}  // namespace

Command doctor_command() {
  return {.name = "doctor",
          .summary = "what this machine has, what is missing, and whether it computes right",
          .positionals = "",
          .max_positionals = 0,
          .takes_settings = false,
          .description =
              "Shows the processor, memory, disk, limits and GPUs, the libraries in use, what is\n"
              "missing and how to mend it, and checks a quantization and a matrix product against "
              "known\n"
              "answers. Writes nothing. Exit status 1 when a check fails.",
          .options = {{"json", nullptr, "the same as JSON"}},
          .example = "qlora-engine doctor",
          .run = run_doctor};
}

}  // namespace qe::tools
