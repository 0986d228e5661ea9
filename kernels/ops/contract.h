// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The checks that every op's contract is made of. A failed check names the op and the argument.

#include <string_view>

#include "kernels/core/context.h"
#include "kernels/core/tensor.h"
#include "kernels/ops/dropout.h"

namespace qe::contract {

/// Throws Error unless `t` is a rows x cols matrix of `dtype` on the context's device. Data may be
/// absent while planning and in an empty matrix.
void check_matrix(const Context& ctx, std::string_view op, std::string_view name, const Tensor& t,
                  int64_t rows, int64_t cols, DType dtype = DType::kF32);

/// As check_matrix, for what is of the context's compute type: activations, their gradients, biases
/// and LoRA matrices.
void check_computed(const Context& ctx, std::string_view op, std::string_view name, const Tensor& t,
                    int64_t rows, int64_t cols);

/// As check_matrix, for a frozen weight: F32, F16 or BF16.
void check_weight(const Context& ctx, std::string_view op, std::string_view name, const Tensor& t,
                  int64_t rows, int64_t cols);

/// Throws Error unless a per-row list has one entry for each row.
void check_count(std::string_view op, std::string_view name, size_t found, int64_t expected);

/// Throws Error unless `spec` describes the dropout of a rows x cols matrix. Does nothing at p ==
/// 0.
void check_dropout(const Context& ctx, std::string_view op, const Dropout& spec, int64_t rows,
                   int64_t cols);

/// Whether the two views share an element, as far as their ranges and strides tell.
bool overlap(const Tensor& a, const Tensor& b);
/// Whether both views are the same elements in the same layout: what "may be the same memory"
/// means.
bool same_memory(const Tensor& a, const Tensor& b);
/// Throws Error when the two views overlap in any way but elementwise.
void check_in_place(std::string_view op, std::string_view name_a, const Tensor& a,
                    std::string_view name_b, const Tensor& b);
/// Throws Error when the two views overlap.
void check_disjoint(std::string_view op, std::string_view name_a, const Tensor& a,
                    std::string_view name_b, const Tensor& b);

}  // namespace qe::contract
