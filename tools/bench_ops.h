// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Each kernel on an encoder's shapes, beside what the machine can do at best.

#include <functional>
#include <string>

#include "formats/encoder_config.h"
#include "kernels/core/context.h"

namespace qe::tools {

struct BenchOpsOptions {
  int64_t tokens = 1024;
  int64_t length = 128;  ///< of the sequences that attention sees
  int64_t lora_r = 16;
  int threads = 1;
  double seconds = 0.2;  ///< per measurement
  std::string blas;      ///< a CBLAS library to compare dense products with; "" = none
};

/// The best of several runs of one kernel.
struct OpRate {
  std::string op;     ///< "4-bit forward"
  std::string shape;  ///< "1024 x 3072 x 768"
  double seconds = 0;
  double work = 0;  ///< operations or bytes of one run
  bool is_flops = false;
  double ceiling = 0;           ///< of work per second, on all threads
  double opponent_seconds = 0;  ///< the CBLAS library's, one thread; 0: not compared
};

struct Ceilings {
  double gflops = 0;
  double copy_gbytes = 0;
};
/// Of the context's threads; needs no arena. Takes 128 MiB a thread for the while.
Ceilings measure_ceilings(Context& ctx);

/// Hands over the ceilings and the CBLAS library's own name ("" without one), then every kernel as
/// it is done. Dense products are timed in turns with the library's, and compared.
void bench_ops(const EncoderConfig& config, const BenchOpsOptions& options,
               const std::function<void(const Ceilings&, const std::string& blas)>& on_start,
               const std::function<void(const OpRate&)>& on_rate);

}  // namespace qe::tools
