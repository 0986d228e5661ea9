// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Tensor names that families took over from BERT, for their readers to change where they differ.

#include <string>

#include "formats/encoder_config.h"

namespace qe::bert_names {

/// Of a model under `model` ("bert", "roberta"): embeddings, layers and their norms as BERT calls
/// them. Without a head.
EncoderNames encoder(const std::string& model);

/// BERT's head, cls.predictions.
void add_bert_head(EncoderNames& names);
/// RoBERTa's head, lm_head.
void add_roberta_head(EncoderNames& names);

}  // namespace qe::bert_names
