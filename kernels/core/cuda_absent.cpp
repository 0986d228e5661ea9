// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// kernels/core/cuda.h in a program without the CUDA backend.
#include "kernels/core/cuda.h"
#include "kernels/core/error.h"

namespace qe::cuda {
namespace {

[[noreturn]] void absent() { fail(unavailable_reason()); }

}  // namespace

bool built_in() { return false; }
int device_count() { return 0; }
std::string unavailable_reason() { return "this build has no CUDA backend"; }
DeviceInfo device_info(int) { absent(); }
void* allocate(int, MemorySpace, size_t) { absent(); }
void release(MemorySpace, void*) noexcept {}
size_t allocated_bytes(int) { return 0; }
size_t overhead_bytes(int) { absent(); }
void* create_stream(int) { absent(); }
void destroy_stream(void*) noexcept {}
void copy(void*, const void*, size_t, void*) { absent(); }
void zero(void*, size_t, void*) { absent(); }
void synchronize(void*) { absent(); }
Event::Event(int, bool) { absent(); }
Event::~Event() = default;
void Event::record(void*) { absent(); }
void Event::wait() const { absent(); }
void Event::hold(void*) const { absent(); }
double Event::milliseconds_since(const Event&) const { absent(); }
Graph::Graph(void*, const std::function<void()>&) { absent(); }
Graph::~Graph() = default;
void Graph::launch(void*) const { absent(); }

}  // namespace qe::cuda
