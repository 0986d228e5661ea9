// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// kernels/cuda/runtime.h in a program without the CUDA backend.
#include "kernels/core/cuda.h"
#include "kernels/core/error.h"
#include "kernels/cuda/runtime.h"

namespace qe::cuda {

Runtime::Runtime(int, void*) { fail(unavailable_reason()); }
Runtime::~Runtime() = default;
CublasLt& Runtime::cublaslt() { fail(unavailable_reason()); }
int64_t Runtime::n_launches() { return 0; }
void Runtime::launched(const char*) {}
void Runtime::set_deterministic(bool) {}
std::string Runtime::choices() const { return ""; }
std::string Runtime::adopt_choices(const Context&, const std::string&) { return ""; }

}  // namespace qe::cuda
