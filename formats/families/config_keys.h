// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Reading the keys of a config.json: defaults, ranges, and errors that name file, key and value.
// For the families' readers.

#include <cstdint>
#include <string>

#include "formats/encoder_config.h"
#include "formats/json.h"

namespace qe::config_keys {

// Largest sizes that are believed; with them every product of two or three stays within int64.
inline constexpr int64_t kMaxVocabulary = int64_t{1} << 26;
inline constexpr int64_t kMaxWidth = int64_t{1} << 17;  ///< hidden_size, intermediate_size
inline constexpr int64_t kMaxLayers = 1024;
inline constexpr int64_t kMaxPositions = int64_t{1} << 16;  ///< rows in a random-number counter
inline constexpr int64_t kMaxHeadDim = 1024;

/// The integer `key`, or `standard` when it is absent or null. Error outside [low, high].
int64_t read_int(const Json& config, const char* key, int64_t standard, int64_t low, int64_t high);

/// A probability in [0, 1).
float read_dropout(const Json& config, const char* key, float standard);

/// A normalization epsilon: in (0, 1) and not lost in fp32.
float read_epsilon(const Json& config, const char* key, float standard);

bool read_bool(const Json& config, const char* key, bool standard);

/// Error unless the flag is absent, null or false: what it asks for is not supported, and why.
void refuse_flag(const Json& config, const char* key, const char* reason);

/// `key` as an activation; Error names the supported ones.
HiddenAct read_activation(const Json& config, const char* key, const char* standard);

/// The checks that join several keys: hidden_size a multiple of the heads, head_dim's limit, a
/// pad id inside the vocabulary, at least one usable position.
void check_sizes(const EncoderConfig& encoder, const Json& config);

}  // namespace qe::config_keys
