// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "tools/cblas_library.h"

#include <dlfcn.h>

#include "kernels/core/error.h"

namespace qe::tools {
namespace {

// The C interface's constants.
constexpr int kRowMajor = 101, kNoTranspose = 111, kTranspose = 112;
using Sgemm = void (*)(int order, int transpose_a, int transpose_b, int m, int n, int k,
                       float alpha, const float* a, int lda, const float* b, int ldb, float beta,
                       float* c, int ldc);

}  // namespace

void CblasLibrary::Close::operator()(void* library) const { dlclose(library); }

CblasLibrary::CblasLibrary(const std::string& path)
    : library_(dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)), name_(path) {
  QE_CHECK(library_, "cannot open the BLAS library: ", dlerror());
  sgemm_ = dlsym(library_.get(), "cblas_sgemm");
  QE_CHECK(sgemm_, path, ": expected a library with cblas_sgemm");
  if (void* set_threads = dlsym(library_.get(), "openblas_set_num_threads")) {
    reinterpret_cast<void (*)(int)>(set_threads)(1);
  }
  if (void* core = dlsym(library_.get(), "openblas_get_corename")) {
    name_ += std::string(", kernels for ") + reinterpret_cast<char* (*)()>(core)();
  }
}

void CblasLibrary::sgemm(const Gemm& g) const {
  const auto size = [](int64_t n) { return static_cast<int>(n); };
  reinterpret_cast<Sgemm>(sgemm_)(kRowMajor, g.a_transposed ? kTranspose : kNoTranspose,
                                  g.b_transposed ? kTranspose : kNoTranspose, size(g.c.rows),
                                  size(g.c.cols), size(g.a_transposed ? g.a.rows : g.a.cols), 1.0f,
                                  g.a.f32(), size(g.a.stride), g.b.f32(), size(g.b.stride), 0.0f,
                                  g.c.f32(), size(g.c.stride));
}

}  // namespace qe::tools
