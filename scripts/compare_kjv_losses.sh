#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors
#
# The loss of every update on examples/kjv beside that of transformers and peft on the same batches,
# from the same adapter, without dropout, in fp32 on the CPU: of the fp32 base and of an NF4 base
# (bitsandbytes' codes and scales; and those that the engine's quantize writes, as bitsandbytes' CPU
# code does not always take the nearest code of a scale), by both rules of AdamW.
#   scripts/compare_kjv_losses.sh PROGRAM [PYTHON] [UPDATES]
# PYTHON has torch, transformers, peft and bitsandbytes. Tables of all updates go to $OUT (default: a
# new folder). Exit status 1: some update's losses differ by more than 1e-3 of themselves.
set -euo pipefail

program=$(realpath "${1:?the program}") python=${2:-python3} updates=${3:-300}
cd "$(dirname "$0")/.."
out=${OUT:-$(mktemp -d)}
mkdir -p "$out"

train() { # NAME BITS OPTIM RATE UPDATES: a run in $out/NAME
  mkdir -p "$out/$1"
  cat >"$out/$1/config.json" <<CONFIG
{"model_name_or_path": "examples/tiny-mlm", "train_file": "examples/kjv/train.txt",
 "output_dir": "$out/$1/run", "device": "cpu", "max_seq_length": 128,
 "per_device_train_batch_size": 2, "gradient_accumulation_steps": 2, "bits": $2,
 "quant_type": "nf4", "double_quant": true, "lora_r": 16, "lora_alpha": 32,
 "target_modules": "all-linear", "optim": "$3", "learning_rate": $4, "weight_decay": 0.01,
 "warmup_steps": 20, "max_steps": $5, "save_strategy": "no", "logging_steps": 1}
CONFIG
  "$program" train "$out/$1/config.json" --dump_batches "$out/$1/batches.jsonl" \
    >"$out/$1/train.log" 2>&1
}

compare() { # NAME WHAT OPTION ...: both losses of every update of the run NAME
  local name=$1 what=$2 table=$out/$1/losses-$2.txt
  shift 2
  "$python" scripts/compare_training.py examples/tiny-mlm "$out/initial/run" \
    "$out/$name/batches.jsonl" "$out/$name/config.json" "$out/$name/run/metrics.jsonl" \
    --final-adapter "$out/$name/run" --tolerance 1e-3 "$@" \
    >"$table" 2>"$out/$name/compare-$what.log" || failed=1
  echo "$name, $what: $(tail -n 2 "$table" | paste -sd ';')"
}

train initial 32 adamw_torch 0 1 # its adapter is as it began
"$program" quantize --model examples/tiny-mlm --output "$out/quantized" >"$out/quantize.log" 2>&1
failed=0
for optim in adamw_torch paged_adamw_32bit; do
  train "fp32-$optim" 32 "$optim" 0.002 "$updates"
  compare "fp32-$optim" fp32
  train "nf4-$optim" 4 "$optim" 0.002 "$updates"
  compare "nf4-$optim" bitsandbytes
  compare "nf4-$optim" codes --codes "$out/quantized"
done
compare fp32-adamw_torch float64 --float64
echo "tables: $out/*/losses-*.txt"
exit "$failed"
