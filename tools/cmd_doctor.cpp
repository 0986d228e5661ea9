// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include <algorithm>
#include <cstdlib>
#include <iostream>

#include "formats/json.h"
#include "formats/library_versions.h"
#include "kernels/core/error.h"
#include "kernels/ops/backend.h"
#include "tools/commands.h"
#include "tools/machine.h"
#include "tools/self_check.h"
#include "tools/table.h"

namespace qe::tools {
namespace {

constexpr int64_t kLittleMemory = int64_t{1} << 30;
constexpr int64_t kLittleDisk = int64_t{1} << 30;

/// Something that is missing, and how to mend it.
struct Finding {
  std::string what, mend;
};

struct Diagnosis {
  Machine machine;
  GpuDriver driver;
  std::string backend;
  std::vector<std::string> backends;
  bool built_with_cuda = false;
  std::vector<LibraryVersion> libraries;
  std::vector<SelfCheck> checks;
  std::vector<Finding> findings;

  bool healthy() const {
    return std::all_of(checks.begin(), checks.end(), [](const SelfCheck& c) { return c.ok; });
  }
};

void find_gpu_problems(Diagnosis& d) {
  const bool usable = !d.driver.gpus.empty();
  if (d.machine.has_nvidia_device && !d.driver.installed) {
    d.findings.push_back({"an NVIDIA GPU without its driver (libcuda.so.1)",
                          "install nvidia-driver (Debian, section non-free), or run "
                          "ubuntu-drivers install (Ubuntu); in a container, pass the GPU in"});
  } else if (!d.driver.problem.empty()) {
    d.findings.push_back({cat("the NVIDIA driver gives no GPU: ", d.driver.problem),
                          "nvidia-smi says more; after an update of the driver, restart"});
  } else if (usable && !d.built_with_cuda) {
    d.findings.push_back({"a GPU that this program was built without",
                          "build it where nvcc is (package nvidia-cuda-toolkit)"});
  }
}

void find_problems(Diagnosis& d) {
  const Machine& m = d.machine;
  if (std::getenv("QE_FORCE_ISA")) {
    d.findings.push_back({cat("QE_FORCE_ISA asks for ", d.backend), "unset it for full speed"});
  } else if (d.backend == "scalar") {
    d.findings.push_back({"a processor without AVX2 and FMA (or NEON): everything is slow",
                          "in a virtual machine, give it the host's processor model"});
  }
  const int usable = std::min(m.n_usable, m.n_processors);
  if (m.cpu_quota > 0 && m.cpu_quota < usable) {
    d.findings.push_back(
        {cat("the control group grants ", fixed(m.cpu_quota, 1), " of ", usable, " processors"),
         cat("set threads to ", std::max(1, static_cast<int>(m.cpu_quota)))});
  }
  if (m.memory_available < kLittleMemory) {
    d.findings.push_back({cat("only ", human_bytes(m.memory_available), " of memory available"),
                          "the plan command says what a run needs; end other programs"});
  }
  if (m.disk_free < kLittleDisk) {
    d.findings.push_back({cat("only ", human_bytes(m.disk_free), " of disk free in ", m.folder),
                          "set output_dir to a folder on another disk"});
  }
  if (!m.folder_writable) {
    d.findings.push_back(
        {cat(m.folder, " is not writable"), "set output_dir to a folder of yours"});
  }
  find_gpu_problems(d);
  for (const SelfCheck& check : d.checks) {
    if (!check.ok) {
      d.findings.push_back({cat("the check of ", check.name, " fails: ", check.detail),
                            "build anew; if it still fails, do not trust results of this machine"});
    }
  }
}

Diagnosis diagnose() {
  Diagnosis d;
  d.machine = describe_machine();
  d.driver = probe_gpu_driver();
  d.backend = backend_name({});
  d.backends = cpu_backends();
  d.built_with_cuda = cuda_built_in();
  d.libraries = library_versions();
  d.checks = run_self_checks();
  find_problems(d);
  return d;
}

Json to_json(const Machine& m) {
  return Json::object({{"system", m.system},
                       {"processor", m.processor},
                       {"processors", m.n_processors},
                       {"usable_processors", m.n_usable},
                       {"cpu_quota", m.cpu_quota > 0 ? Json(m.cpu_quota) : Json()},
                       {"memory_bytes", m.memory_total},
                       {"available_memory_bytes", m.memory_available},
                       {"memory_limit_bytes", m.memory_limit > 0 ? Json(m.memory_limit) : Json()},
                       {"folder", m.folder},
                       {"folder_writable", m.folder_writable},
                       {"disk_bytes", m.disk_total},
                       {"free_disk_bytes", m.disk_free}});
}

Json to_json(const GpuDriver& driver) {
  Json gpus = Json::array();
  for (const Gpu& gpu : driver.gpus) {
    gpus.push_back(Json::object({{"name", gpu.name},
                                 {"compute_capability", gpu.compute_capability},
                                 {"memory_bytes", gpu.memory_bytes}}));
  }
  return Json::object({{"driver", driver.installed},
                       {"cuda_version", driver.cuda_version},
                       {"problem", driver.problem},
                       {"devices", std::move(gpus)}});
}

Json to_json(const Diagnosis& d) {
  Json backends = Json::array(), libraries = Json::array(), checks = Json::array();
  Json findings = Json::array();
  for (const std::string& name : d.backends) backends.push_back(name);
  for (const LibraryVersion& library : d.libraries) {
    libraries.push_back(Json::object(
        {{"name", library.name}, {"version", library.version}, {"detail", library.detail}}));
  }
  for (const SelfCheck& check : d.checks) {
    checks.push_back(
        Json::object({{"name", check.name}, {"ok", check.ok}, {"detail", check.detail}}));
  }
  for (const Finding& finding : d.findings) {
    findings.push_back(Json::object({{"what", finding.what}, {"mend", finding.mend}}));
  }
  return Json::object({{"version", QE_VERSION},
                       {"healthy", d.healthy()},
                       {"machine", to_json(d.machine)},
                       {"instruction_set", d.backend},
                       {"instruction_sets", std::move(backends)},
                       {"gpu", to_json(d.driver)},
                       {"built_with_cuda", d.built_with_cuda},
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

std::string text_of(const Diagnosis& d) {
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
  for (const std::string& name : d.backends) sets += (sets.empty() ? "" : ", ") + name;
  line("instruction set", cat(d.backend, " (of ", sets, ")"));
  line("memory", cat(human_bytes(m.memory_available), " available of ",
                     human_bytes(m.memory_limit > 0 ? std::min(m.memory_limit, m.memory_total)
                                                    : m.memory_total)));
  line("disk",
       cat(human_bytes(m.disk_free), " free of ", human_bytes(m.disk_total), ", ", m.folder));
  line("GPU", gpu_text(d.driver));
  for (const Gpu& gpu : d.driver.gpus) {
    line("", cat(gpu.name, ", ", human_bytes(gpu.memory_bytes), ", compute capability ",
                 gpu.compute_capability));
  }
  section("Program");
  line("qlora-engine", cat(QE_VERSION, d.built_with_cuda ? ", CPU and CUDA" : ", CPU only"));
  for (const LibraryVersion& library : d.libraries) {
    line(library.name,
         library.detail.empty() ? library.version : cat(library.version, ", ", library.detail));
  }
  section("Checks");
  for (const SelfCheck& check : d.checks) {
    line(check.name, cat(check.ok ? "ok: " : "FAILED: ", check.detail));
  }
  std::string out = table.text();
  out += d.findings.empty() ? "Nothing is missing.\n" : "Missing\n";
  for (const Finding& finding : d.findings) {
    out += cat("  ", finding.what, "\n    ", finding.mend, "\n");
  }
  return out;
}

int run_doctor(const Arguments& arguments) {
  const Diagnosis diagnosis = diagnose();
  if (arguments.has("json"))
    std::cout << to_json(diagnosis).dump(2) << "\n";
  else
    std::cout << text_of(diagnosis);
  return diagnosis.healthy() ? 0 : 1;
}

}  // namespace

Command doctor_command() {
  return {.name = "doctor",
          .summary = "what this machine has, what is missing, and whether it computes right",
          .positionals = "",
          .max_positionals = 0,
          .takes_settings = false,
          .description =
              "Shows the processor, memory, disk and GPUs, the libraries in use, what is missing\n"
              "and how to mend it, and checks a quantization and a matrix product against known\n"
              "answers. Writes nothing. Exit status 1 when a check fails.",
          .options = {{"json", nullptr, "the same as JSON"}},
          .example = "qlora-engine doctor",
          .run = run_doctor};
}

}  // namespace qe::tools
