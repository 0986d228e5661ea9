#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors
# Every command on a folder of every model family. Usage: families_test.sh PROGRAM
# shellcheck source=expect.sh
. "$(dirname "$0")/expect.sh" "$1"

text='the king of <mask> in the land'
# The best answer and the first four digits of its score.
top() {
  "$engine" fill-mask --json --device cpu --bits 32 --top_k 1 "$@" "$text" |
    grep -oE '"score": 0\.[0-9]{4}|"token": [0-9]+' | tr '\n' ' '
}

for golden in "$root"/tests/golden/families/*; do
  family=$(basename "$golden")
  model=$golden/model
  mkdir "$family" && cd "$family" || exit 1
  cat >config.json <<CONFIG
{"model_name_or_path": "$model", "train_file": "$golden/train.jsonl", "validation_file": "$golden/train.jsonl",
 "output_dir": "out", "device": "cpu", "max_seq_length": 150, "max_steps": 2, "per_device_train_batch_size": 2,
 "learning_rate": 0.01, "target_modules": "all-linear"}
CONFIG
  expect_ok stdout '"masked_lm_head": true' "$engine" inspect --json "$model"
  expect "$family: every preset but peft's finds layers" \
    [ "$("$engine" inspect --json "$model" | grep -o '"error"' | wc -l)" -le 1 ]
  expect_ok stdout 'updates' "$engine" plan config.json
  expect_ok stdout 'updates' "$engine" train config.json
  expect_ok stdout 'loss' "$engine" eval config.json --adapter_name_or_path out
  expect_ok stdout '"token_str"' "$engine" fill-mask --json --device cpu --model "$model" --adapter out "$text"
  expect_ok stdout 'linear layers' "$engine" merge --no_drift --model "$model" --output merged \
    --onto original --dtype float32 "$golden/adapter"
  expect "$family: merged, the same answer as with the adapter" \
    [ "$(top --model merged)" = "$(top --model "$model" --adapter "$golden/adapter")" ]
  cd ..
done
finish
