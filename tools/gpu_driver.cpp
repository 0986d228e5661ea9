// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include <dlfcn.h>

#include "kernels/core/error.h"
#include "tools/machine.h"

namespace qe::tools {
namespace {

// The few functions of the CUDA driver interface that are called here; all give 0 for success.
struct Driver {
  int (*init)(unsigned flags);
  int (*driver_version)(int* version);
  int (*device_count)(int* count);
  int (*device)(int* device, int index);
  int (*name)(char* name, int size, int device);
  int (*total_memory)(size_t* n_bytes, int device);
  int (*attribute)(int* value, int attribute, int device);
  int (*error_string)(int code, const char** text);
};
constexpr int kMajor = 75, kMinor = 76;  // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_...
constexpr int kConcurrentManagedAccess = 89;

template <class Function>
bool load(void* library, const char* name, Function*& function) {
  function = reinterpret_cast<Function*>(::dlsym(library, name));
  return function != nullptr;
}

bool load_all(void* library, Driver& d) {
  return load(library, "cuInit", d.init) && load(library, "cuDriverGetVersion", d.driver_version) &&
         load(library, "cuDeviceGetCount", d.device_count) &&
         load(library, "cuDeviceGet", d.device) && load(library, "cuDeviceGetName", d.name) &&
         load(library, "cuDeviceTotalMem_v2", d.total_memory) &&
         load(library, "cuDeviceGetAttribute", d.attribute) &&
         load(library, "cuGetErrorString", d.error_string);
}

Gpu describe(const Driver& driver, int index) {
  Gpu gpu;
  int device = 0, major = 0, minor = 0, concurrent = 1;
  size_t n_bytes = 0;
  char name[256] = "";
  driver.device(&device, index);
  driver.name(name, sizeof name - 1, device);
  driver.total_memory(&n_bytes, device);
  driver.attribute(&major, kMajor, device);
  driver.attribute(&minor, kMinor, device);
  driver.attribute(&concurrent, kConcurrentManagedAccess, device);
  gpu.concurrent_managed_access = concurrent != 0;
  gpu.name = name;
  gpu.compute_capability = cat(major, '.', minor);
  gpu.memory_bytes = static_cast<int64_t>(n_bytes);
  return gpu;
}

}  // namespace

std::string first_library(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    if (::dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL) != nullptr) return name;
  }
  return "";
}

GpuDriver probe_gpu_driver() {
  GpuDriver out;
  void* const library = ::dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (!library) return out;
  out.installed = true;
  Driver driver{};
  int version = 0, count = 0;
  if (!load_all(library, driver)) {
    out.problem = "libcuda.so.1 is not a CUDA driver";
    return out;
  }
  if (driver.driver_version(&version) == 0) {
    out.cuda_version = cat(version / 1000, '.', version % 1000 / 10);
  }
  int code = driver.init(0);
  if (code == 0) code = driver.device_count(&count);
  if (code != 0) {
    const char* text = nullptr;
    driver.error_string(code, &text);
    out.problem = text ? text : cat("error ", code);
  }
  for (int i = 0; code == 0 && i < count; ++i) out.gpus.push_back(describe(driver, i));
  return out;  // the library stays open: it starts threads of its own
}

}  // namespace qe::tools
