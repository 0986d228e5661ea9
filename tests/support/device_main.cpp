// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// The main of test programs whose DEVICE_TEST_CASEs also run on a GPU (tests/support/device.h).
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <iostream>

#include "kernels/core/cuda.h"
#include "kernels/ops/backend.h"
#include "tests/support/device.h"

int main(int argc, char** argv) {
  constexpr int kSkipped = 77;  // CTest's SKIP_RETURN_CODE
  doctest::Context context;
  const char* type = std::getenv("QE_TEST_DEVICE");
  if (type != nullptr) {
    if (qe::cuda::device_count() == 0) {
      std::cout << "SKIPPED, nothing was tested: " << qe::cuda::unavailable_reason() << "\n";
      return kSkipped;
    }
    context.addFilter("test-suite", "device");
  }
  context.applyCommandLine(argc, argv);
  const int status = context.run();
  if (type == nullptr || context.shouldExit()) return status;
  const int64_t n = qe::test::n_launches();
  const std::string name = qe::backend_name(qe::test::device());
  qe::test::close_device();
  std::cout << n << " kernel launches on " << name << ", computing in " << type << "\n";
  if (n > 0 || argc > 1) return status;  // chosen cases need not launch any
  std::cout << "FAILED: no kernel ran on the GPU\n";
  return 1;
}
