#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors
# Runs that are killed (SIGKILL) at random moments and started again end with the bytes of the run
# that never was. Usage: kill_test.sh PROGRAM [KILLS] [SEED].
# shellcheck source=expect.sh
. "$(dirname "$0")/expect.sh" "$1"

n_kills=${2:-30}
RANDOM=${3:-1}
head -n 120 "$root/examples/kjv/train.txt" >train.txt
cat >config.json <<CONFIG
{"model_name_or_path": "$root/tests/golden/bert/model", "train_file": "train.txt",
 "validation_file": "train.txt", "max_eval_samples": 4, "max_seq_length": 40, "line_by_line": true,
 "max_steps": 40, "per_device_train_batch_size": 3, "gradient_accumulation_steps": 2, "lora_r": 4,
 "lora_dropout": 0.1, "learning_rate": 0.005, "optim": "adamw_bnb_8bit", "warmup_steps": 5,
 "logging_steps": 3, "eval_strategy": "steps", "eval_steps": 2, "save_steps": 2,
 "save_total_limit": 3, "load_best_model_at_end": true, "threads": 1}
CONFIG

milliseconds() { echo $(($(date +%s%N) / 1000000)); }
newest() { # FOLDER: the step of its newest checkpoint
  find "$1" -maxdepth 1 -name 'checkpoint-*' 2>find.err | sed 's/.*-//' | sort -n | tail -n 1
}
steps_in() { # FOLDER: of every line of metrics.jsonl
  sed -E 's/^\{"step": ([0-9]+), .*("loss"|"eval_loss").*/\1 \2/' "$1/metrics.jsonl"
}

begin=$(milliseconds)
run "$engine" train config.json --output_dir whole
expect "the run that is never killed ends well" [ "$status" -eq 0 ]
whole_ms=$(($(milliseconds) - begin))
# Long enough that a run gets somewhere, short enough that it is killed often.
longest_ms=$((whole_ms / 4 + 20))

rounds=0
kills=0
in_writing=0
while [ "$kills" -lt "$n_kills" ]; do
  rounds=$((rounds + 1))
  out=round-$rounds
  before=0
  while :; do
    if [ "$kills" -lt "$n_kills" ]; then
      delay=$((RANDOM * 32768 + RANDOM))
      delay=$((delay % longest_ms))
    else
      delay= # the last one may end
    fi
    "$engine" train config.json --output_dir "$out" >stdout 2>stderr </dev/null &
    pid=$!
    if [ -n "$delay" ]; then
      sleep "$(printf '%d.%03d' $((delay / 1000)) $((delay % 1000)))"
      kill -KILL "$pid" 2>kill.err
    fi
    wait "$pid" 2>wait.err
    status=$?
    expect "a killed run says nothing of errors: $(cat stderr)" sh -c '! grep -Eq "error|broken" stderr'
    [ "$status" -eq 137 ] || break
    kills=$((kills + 1))
    after=$(newest "$out")
    expect "no checkpoint is lost: $before, then ${after:-0}" [ "${after:-0}" -ge "$before" ]
    before=${after:-0}
    [ -z "$(find "$out" -maxdepth 1 -name '.checkpoint-*' 2>find.err)" ] || in_writing=$((in_writing + 1))
    printf 'kill %d after %d ms: round %d, checkpoint %s\n' "$kills" "$delay" "$rounds" "$before"
  done
  expect "a run that is not killed ends well: $(tail -n 1 stderr)" [ "$status" -eq 0 ]
  expect "the adapter of the run that was never killed" \
    cmp whole/adapter_model.safetensors "$out/adapter_model.safetensors"
  for step in $(find whole -maxdepth 1 -name 'checkpoint-*' | sed 's/.*-//'); do
    for name in adapter_model optimizer; do
      expect "its $name at step $step" \
        cmp "whole/checkpoint-$step/$name.safetensors" "$out/checkpoint-$step/$name.safetensors"
    done
  done
  steps_in whole >whole.steps
  steps_in "$out" >round.steps
  expect "every step in metrics.jsonl, once" cmp whole.steps round.steps
  expect "nothing is left beside" [ -z "$(find "$out" -maxdepth 1 -name '.checkpoint-*')" ]
  rm -rf "$out"
done
printf '%d kills in %d rounds, %d of them while a checkpoint was written; a run takes %d ms\n' \
  "$kills" "$rounds" "$in_writing" "$whole_ms"
finish
