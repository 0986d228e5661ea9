// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/core/cuda.h"

#include <cuda_runtime.h>
#include <dlfcn.h>

#include <algorithm>
#include <map>
#include <mutex>

#include "kernels/core/error.h"

namespace qe::cuda {
namespace {

void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // an error that does not stick is gone now
  fail(what, ": ", cudaGetErrorString(status), " (", cudaGetErrorName(status), ")");
}

// nvmlMemory_v2_t: used leaves out what the driver keeps for itself, as cudaMemGetInfo does.
struct NvmlMemory {
  unsigned int version = sizeof(NvmlMemory) | (2u << 24);
  unsigned long long total = 0, reserved = 0, free = 0, used = 0;
};

// The memory of a device as the management library sees it, which needs no context. Zeros where
// there is no such library, or it does not know the device.
NvmlMemory nvml_memory(int device) {
  NvmlMemory memory;
  char bus_id[32] = {};
  void* const library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return memory;
  const auto init = reinterpret_cast<int (*)()>(dlsym(library, "nvmlInit_v2"));
  const auto find = reinterpret_cast<int (*)(const char*, void**)>(
      dlsym(library, "nvmlDeviceGetHandleByPciBusId_v2"));
  const auto read =
      reinterpret_cast<int (*)(void*, NvmlMemory*)>(dlsym(library, "nvmlDeviceGetMemoryInfo_v2"));
  const auto shutdown = reinterpret_cast<int (*)()>(dlsym(library, "nvmlShutdown"));
  void* handle = nullptr;
  if (init != nullptr && find != nullptr && read != nullptr && shutdown != nullptr && init() == 0) {
    const bool known = cudaDeviceGetPCIBusId(bus_id, sizeof bus_id, device) == cudaSuccess &&
                       find(bus_id, &handle) == 0 && read(handle, &memory) == 0;
    if (!known) memory = {};
    shutdown();
  }
  dlclose(library);
  return memory;
}

// Of each device, what NVML said before this process had a context there.
class Baselines {
 public:
  void note(int device) {
    const std::lock_guard lock(mutex_);
    if (noted_.count(device) == 0) noted_[device] = nvml_memory(device);
  }
  NvmlMemory of(int device) {
    const std::lock_guard lock(mutex_);
    return noted_[device];
  }

 private:
  std::mutex mutex_;
  std::map<int, NvmlMemory> noted_;
};

Baselines& baselines() {
  static Baselines* const all = new Baselines;
  return *all;
}

// Every call on a device names it: which one is current is a property of the thread.
void use(int device) {
  thread_local int last = -1;
  if (last != device) baselines().note(device);
  last = device;
  check(cudaSetDevice(device), "cudaSetDevice");
}

int attribute(cudaDeviceAttr attr, int device) {
  int value = 0;
  check(cudaDeviceGetAttribute(&value, attr, device), "cudaDeviceGetAttribute");
  return value;
}

// What allocate has given out of each device's own memory.
class Given {
 public:
  void add(void* memory, int device, size_t n_bytes) {
    constexpr size_t kPage = size_t{2} << 20;
    const std::lock_guard lock(mutex_);
    blocks_[memory] = {device, (n_bytes + kPage - 1) / kPage * kPage};
  }
  void remove(void* memory) {
    const std::lock_guard lock(mutex_);
    blocks_.erase(memory);
  }
  size_t bytes(int device) {
    const std::lock_guard lock(mutex_);
    size_t sum = 0;
    for (const auto& [memory, block] : blocks_) sum += block.device == device ? block.n_bytes : 0;
    return sum;
  }

 private:
  struct Block {
    int device;
    size_t n_bytes;
  };
  std::mutex mutex_;
  std::map<void*, Block> blocks_;
};

// Never destroyed: blocks may be released at the end of the process.
Given& given() {
  static Given* const all = new Given;
  return *all;
}

cudaStream_t stream_of(void* stream) { return static_cast<cudaStream_t>(stream); }

// Keeps managed memory on the host, mapped for the GPU: neither side's use moves pages.
void keep_on_host(void* memory, size_t n_bytes, int device) {
#if CUDART_VERSION >= 13000
  const cudaMemLocation host{cudaMemLocationTypeHost, 0};
  const cudaMemLocation gpu{cudaMemLocationTypeDevice, device};
#else
  const int host = cudaCpuDeviceId, gpu = device;
#endif
  check(cudaMemAdvise(memory, n_bytes, cudaMemAdviseSetPreferredLocation, host), "cudaMemAdvise");
  check(cudaMemAdvise(memory, n_bytes, cudaMemAdviseSetAccessedBy, gpu), "cudaMemAdvise");
}

}  // namespace

bool built_in() { return true; }

int device_count() {
  int n = 0;
  if (cudaGetDeviceCount(&n) == cudaSuccess) return n;
  cudaGetLastError();
  return 0;
}

std::string unavailable_reason() {
  int n = 0;
  const cudaError_t status = cudaGetDeviceCount(&n);
  cudaGetLastError();
  if (status == cudaSuccess) return n > 0 ? "" : "there is no CUDA device";
  return cat("there is no usable CUDA device: ", cudaGetErrorString(status));
}

DeviceInfo device_info(int device) {
  const int n = device_count();
  QE_CHECK(n > 0, "cuda:", device, ": ", unavailable_reason());
  QE_CHECK(device >= 0 && device < n, "cuda:", device, ": there are ", n,
           " CUDA devices, numbered from 0");
  use(device);
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties");
  DeviceInfo info{
      .name = properties.name,
      .compute_capability = 10 * properties.major + properties.minor,
      .n_multiprocessors = properties.multiProcessorCount,
      .shared_bytes = properties.sharedMemPerBlockOptin,
      .concurrent_managed_access = attribute(cudaDevAttrConcurrentManagedAccess, device) != 0};
  check(cudaMemGetInfo(&info.free_bytes, &info.total_bytes), "cudaMemGetInfo");
  return info;
}

void* allocate(int device, MemorySpace space, size_t n_bytes) {
  use(device);
  void* memory = nullptr;
  cudaError_t status = cudaSuccess;
  if (space == MemorySpace::kDevice) {
    status = cudaMalloc(&memory, n_bytes);
  } else if (space == MemorySpace::kPinned) {
    status = cudaMallocHost(&memory, n_bytes);
  } else {
    status = cudaMallocManaged(&memory, n_bytes, cudaMemAttachGlobal);
  }
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    size_t n_free = 0, n_total = 0;
    check(cudaMemGetInfo(&n_free, &n_total), "cudaMemGetInfo");
    fail("out of memory on cuda:", device, ": ", n_bytes, " bytes requested, ", n_free, " of ",
         n_total, " are free");
  }
  check(status, "allocating memory");
  if (space == MemorySpace::kDevice) given().add(memory, device, n_bytes);
  if (space == MemorySpace::kManaged &&
      attribute(cudaDevAttrConcurrentManagedAccess, device) != 0) {
    keep_on_host(memory, n_bytes, device);
  }
  return memory;
}

// At the end of the process the driver may be gone before the last owner: nothing to report then.
void release(MemorySpace space, void* memory) noexcept {
  if (space == MemorySpace::kPinned) {
    cudaFreeHost(memory);
  } else {
    if (space == MemorySpace::kDevice) given().remove(memory);
    cudaFree(memory);
  }
}

size_t allocated_bytes(int device) { return given().bytes(device); }

size_t overhead_bytes(int device) {
  use(device);
  size_t n_free = 0, n_total = 0;
  check(cudaMemGetInfo(&n_free, &n_total), "cudaMemGetInfo");
  const size_t in_use = n_total - n_free;
  const size_t ours = allocated_bytes(device);
  const size_t taken = in_use - std::min(in_use, ours);
  // Of a part of a GPU (MIG) NVML may tell the whole's.
  const NvmlMemory before = baselines().of(device);
  const bool same_device = before.total >= n_total && before.total - n_total < n_total / 20;
  return taken - (same_device ? std::min<size_t>(taken, before.used) : 0);
}

void* create_stream(int device) {
  use(device);
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  return stream;
}
void destroy_stream(void* stream) noexcept { cudaStreamDestroy(stream_of(stream)); }

void copy(void* to, const void* from, size_t n_bytes, void* stream) {
  if (n_bytes == 0) return;
  check(cudaMemcpyAsync(to, from, n_bytes, cudaMemcpyDefault, stream_of(stream)),
        "cudaMemcpyAsync");
}
void zero(void* memory, size_t n_bytes, void* stream) {
  if (n_bytes == 0) return;
  check(cudaMemsetAsync(memory, 0, n_bytes, stream_of(stream)), "cudaMemsetAsync");
}
void synchronize(void* stream) {
  check(cudaStreamSynchronize(stream_of(stream)), "cudaStreamSynchronize");
}

Event::Event(int device, bool timed) {
  use(device);
  cudaEvent_t event = nullptr;
  check(cudaEventCreateWithFlags(&event, timed ? cudaEventDefault : cudaEventDisableTiming),
        "cudaEventCreateWithFlags");
  event_ = event;
}
Event::~Event() { cudaEventDestroy(static_cast<cudaEvent_t>(event_)); }
void Event::record(void* stream) {
  check(cudaEventRecord(static_cast<cudaEvent_t>(event_), stream_of(stream)), "cudaEventRecord");
}
void Event::wait() const {
  check(cudaEventSynchronize(static_cast<cudaEvent_t>(event_)), "cudaEventSynchronize");
}
void Event::hold(void* stream) const {
  check(cudaStreamWaitEvent(stream_of(stream), static_cast<cudaEvent_t>(event_), 0),
        "cudaStreamWaitEvent");
}
double Event::milliseconds_since(const Event& earlier) const {
  float milliseconds = 0;
  check(cudaEventElapsedTime(&milliseconds, static_cast<cudaEvent_t>(earlier.event_),
                             static_cast<cudaEvent_t>(event_)),
        "cudaEventElapsedTime");
  return milliseconds;
}

Graph::Graph(void* stream, const std::function<void()>& body) {
  check(cudaStreamBeginCapture(stream_of(stream), cudaStreamCaptureModeThreadLocal),
        "cudaStreamBeginCapture");
  cudaGraph_t graph = nullptr;
  try {
    body();
  } catch (...) {
    cudaStreamEndCapture(stream_of(stream), &graph);
    cudaGraphDestroy(graph);
    cudaGetLastError();
    throw;
  }
  check(cudaStreamEndCapture(stream_of(stream), &graph), "cudaStreamEndCapture");
  cudaGraphExec_t recorded = nullptr;
  const cudaError_t status = cudaGraphInstantiate(&recorded, graph, 0);
  cudaGraphDestroy(graph);
  check(status, "cudaGraphInstantiate");
  recorded_ = recorded;
}
Graph::~Graph() { cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(recorded_)); }
void Graph::launch(void* stream) const {
  check(cudaGraphLaunch(static_cast<cudaGraphExec_t>(recorded_), stream_of(stream)),
        "cudaGraphLaunch");
}

}  // namespace qe::cuda
