// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// The header in C: a fill-mask request as a C program writes it.
#include "engine/api/qlora_engine.h"

int fill_in_c(qe_model* model, const char* text, qe_answer* answers, size_t capacity,
              qe_error* error) {
  qe_text one;
  size_t n_answers = 0;
  one.bytes = text;
  one.n_bytes = SIZE_MAX;
  if (qe_fill_mask(model, &one, 1, 5, NULL, 0, NULL, answers, capacity, &n_answers, error) !=
      QE_OK) {
    return -1;
  }
  return (int)n_answers;
}
