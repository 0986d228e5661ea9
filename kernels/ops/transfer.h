// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Moving and clearing memory of the context's device: what engine code does where CPU-only code
// would use memcpy or std::fill. In stream order; nothing happens while planning.

#include <cstddef>

#include "kernels/core/context.h"
#include "kernels/core/tensor.h"

namespace qe {

/// Between any two of host and the context's device memory. On a GPU a host side in pinned memory
/// is read or written later, when the stream gets there; pageable memory may hold up the caller.
void copy_bytes(Context& ctx, void* to, const void* from, size_t n_bytes);
/// copy_bytes between a GPU's own memory and managed memory that is mapped for it, by a kernel of a
/// few blocks: the bus is the limit, where copies of managed memory pass through other host memory.
/// Fast where both begin at multiples of 16 bytes.
void copy_mapped(Context& ctx, void* to, const void* from, size_t n_bytes);
/// Sets device memory to zero.
void zero_bytes(Context& ctx, void* memory, size_t n_bytes);
/// Waits for everything the context's stream was given; on the CPU everything is done already.
void synchronize(Context& ctx);

/// y = x, rounded to y's type once. (T, C), each F32, F16 or BF16; not the same memory.
void cast(Context& ctx, const Tensor& x, const Tensor& y);

}  // namespace qe
