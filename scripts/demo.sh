#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors
#
# Fine-tunes the small example model on the King James Bible and shows what changed: the plan, the
# loss before and after, and the answers to the same sentences. Writes to ./demo only.
# Usage: demo.sh PATH-OF-qlora-engine
set -euo pipefail
engine=$(realpath "$1")
cd "$(dirname "$0")/.."
config=examples/kjv_demo.json
model=examples/tiny-mlm

title() { printf '\n== %s\n' "$1"; }

title "What will be trained, and what it needs (qlora-engine plan $config)"
"$engine" plan "$config"

title "Before: the 4-bit base on verses it has not seen (qlora-engine eval $config)"
"$engine" eval "$config"

title "Training (qlora-engine train $config)"
"$engine" train "$config" --resume no

title "After: the same with the adapter (qlora-engine eval $config --adapter_name_or_path demo)"
"$engine" eval "$config" --adapter_name_or_path demo

title "Fill-mask, before and after (qlora-engine fill-mask --model $model --adapter demo --compare)"
"$engine" fill-mask --model "$model" --adapter demo --compare --top_k 3 <<'SENTENCES'
And the LORD spake [MASK] Moses, saying,
And it came to [MASK] in those days, that there went out a decree.
Behold, the man [MASK] unto him.
And he begat sons and [MASK].
Thou [MASK] not steal.
The LORD is my [MASK]; I shall not want.
This program is free [MASK].
She opened the [MASK] and walked into the room.
SENTENCES

title "Where things are"
cat <<'FILES'
demo/adapter_model.safetensors   the adapter; loads in peft with demo/adapter_config.json
demo/loss.svg                    the loss curve, for any browser
demo/metrics.jsonl               every update and evaluation
demo/checkpoint-*/               what "qlora-engine train --resume auto" continues from
FILES
