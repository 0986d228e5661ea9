#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors
#
# Trains the example model for a few updates on every instruction set this machine has and on
# several thread counts, and compares the adapters byte for byte. Exit status 1: they differ.
# Usage: check_isas.sh PATH-OF-qlora-engine [UPDATES]
set -euo pipefail
engine=$(realpath "$1")
updates=${2:-30}
cd "$(dirname "$0")/.."
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

train() { # NAME ISA THREADS
  QE_FORCE_ISA=$2 "$engine" train examples/kjv_demo.json --output_dir "$out/$1" \
    --max_steps "$updates" --lora_dropout 0.1 --eval_strategy no --save_strategy no \
    --threads "$3" >"$out/log" 2>&1
}

reference=""
for isa in scalar avx2 avx512 neon; do
  QE_FORCE_ISA=$isa "$engine" plan examples/kjv_demo.json >/dev/null 2>&1 || continue
  for threads in 1 2 4; do
    [ "$isa" != scalar ] || [ "$threads" -eq 4 ] || continue # slow
    SECONDS=0
    train "$isa-$threads" "$isa" "$threads"
    hash=$(sha256sum <"$out/$isa-$threads/adapter_model.safetensors")
    reference=${reference:-$hash}
    verdict=same
    [ "$hash" = "$reference" ] || verdict=DIFFERENT
    grep -h tokens/s "$out/log" | tail -1 | sed "s|^|$isa, $threads threads: ${hash:0:16} $verdict, $SECONDS s, |"
    [ "$verdict" = same ] || exit 1
  done
done
