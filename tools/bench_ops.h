// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Each kernel on an encoder's shapes, beside what the device can do at best: one list for the CPU
// and for GPUs.

#include <functional>
#include <string>

#include "formats/encoder_config.h"
#include "tools/op_timer.h"

namespace qe::tools {

struct BenchOpsOptions {
  OpTimerOptions timer;
  int64_t tokens = 1024;
  int64_t length = 128;  ///< of the sequences that attention sees
  int64_t lora_r = 16;
  std::string only;  ///< part of the names of the ops to time; "" = all
  std::string blas;  ///< CPU: a CBLAS library to compare dense products with; "" = none
};

struct OpRate {
  std::string op;     ///< "4-bit forward"
  std::string shape;  ///< "1024 x 3072 x 768"
  OpTime time;
  double flops = 0;          ///< multiplications and additions of one run
  double bytes = 0;          ///< read and written at least; 0: products in a CPU's caches
  double floor_seconds = 0;  ///< of one run, at the ceilings

  bool bound_by_flops = false;  ///< which of them decides the floor
};

struct Ceilings {
  double gflops = 0;
  double copy_gbytes = 0;
};
/// Of the context's device and threads; needs no arena. Takes 128 MiB a thread, or 2 GiB of a GPU,
/// for the while.
Ceilings measure_ceilings(Context& ctx);

/// Hands over the device, the ceilings and the CBLAS library's own name ("" without one), then
/// every kernel as it is done. Dense products are timed in turns with the library's, and compared.
void bench_ops(
    const EncoderConfig& config, const BenchOpsOptions& options,
    const std::function<void(const Context&, const Ceilings&, const std::string& blas)>& on_start,
    const std::function<void(const OpRate&)>& on_rate);

}  // namespace qe::tools
