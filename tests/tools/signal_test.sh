#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors
# What SIGINT, SIGTERM and SIGUSR1 do, whatever the program is doing. Usage: signal_test.sh PROGRAM
# shellcheck source=expect.sh
. "$(dirname "$0")/expect.sh" "$1"
set -m # so that programs in the background can be interrupted

head -n 300 "$root/examples/kjv/train.txt" >train.txt
for _ in $(seq 100); do cat train.txt; done >long.txt
cat >config.json <<CONFIG
{"model_name_or_path": "$root/tests/golden/bert/model", "train_file": "train.txt",
 "max_seq_length": 40, "line_by_line": true, "max_steps": 150, "per_device_train_batch_size": 4,
 "lora_r": 4, "lora_dropout": 0.1, "save_strategy": "no", "logging_steps": 1, "threads": 1}
CONFIG

begin() { # COMMAND ...: in the background, as $pid
  : >stderr # what await reads is never the last program's
  "$@" >stdout 2>stderr </dev/null &
  pid=$!
}
await() { # PATTERN: until it is in stderr
  for _ in $(seq 400); do
    grep -q -- "$1" stderr && return
    sleep 0.02
  done
  complain "no \"$1\" in: $(cat stderr)"
}
end_with() { # WHAT SIGNAL STATUS: sends the signal and waits
  n_cases=$((n_cases + 1))
  kill "-$2" "$pid"
  wait "$pid" 2>wait.err
  status=$?
  [ "$status" -eq "$3" ] || complain "$1: status $status, not $3: $(tail -n 2 stderr)"
}

# ---- In training: a checkpoint, and the same command goes on to the same bytes.
run "$engine" train config.json --output_dir whole
for pair in INT:130 TERM:143 USR1:0; do
  name=${pair%:*}
  begin "$engine" train config.json --output_dir "out-$name"
  await '^update '
  end_with "SIG$name in training" "$name" "${pair#*:}"
  expect "SIG$name: it says so" grep -q '^stopped after update ' stderr
  expect "SIG$name: a checkpoint" sh -c "ls out-$name/checkpoint-*/manifest.json >list"
  expect "SIG$name: not the end" [ ! -e "out-$name/checkpoint-150" ]
  expect_ok stderr 'resuming from' "$engine" train config.json --output_dir "out-$name"
  expect "SIG$name: the bytes of the run that was not stopped" \
    cmp whole/adapter_model.safetensors "out-$name/adapter_model.safetensors"
done

# ---- A second signal does not wait for the end of a step, which here would take minutes.
for pair in INT:130 TERM:143 USR1:138; do
  name=${pair%:*}
  begin "$engine" train config.json --output_dir second --train_file long.txt \
    --gradient_accumulation_steps 5000 --cache_dir tokens
  await '^memory '
  kill -TERM "$pid"
  sleep 0.3
  expect "one signal waits for the end of the step" kill -0 "$pid"
  end_with "a second signal, SIG$name" "$name" "${pair#*:}"
  expect "a second signal: no checkpoint" sh -c '! ls second/checkpoint-* 2>list'
done

# ---- With nothing to save.
for _ in $(seq 40); do cat long.txt; done >longer.txt # takes seconds to tokenize
for pair in INT:130 TERM:143 USR1:0; do
  name=${pair%:*}
  begin "$engine" train config.json --output_dir "tokens-$name" --train_file longer.txt
  sleep 0.4
  end_with "SIG$name while tokenizing" "$name" "${pair#*:}"
  expect "SIG$name while tokenizing: one line: $(cat stderr)" [ "$(tail -n 1 stderr)" = stopped ]
  expect "SIG$name while tokenizing: nothing is left" \
    [ -z "$(find "tokens-$name/token_cache" -mindepth 1 2>find.err)" ]
  begin "$engine" plan config.json --output_dir "tokens-$name" --train_file longer.txt
  sleep 0.4
  end_with "SIG$name while planning" "$name" "${pair#*:}"
  begin "$engine" eval config.json --validation_file long.txt --cache_dir tokens
  sleep 0.8
  end_with "SIG$name while evaluating" "$name" "${pair#*:}"
  expect "SIG$name while evaluating: no result" [ ! -s stdout ]
done

# ---- While texts are answered: the output appears whole or not at all.
sed 's/$/ [MASK]/' longer.txt >masks.txt
written() { find . -maxdepth 1 -name '*answers*'; }
for pair in INT:130 TERM:143 USR1:0; do
  name=${pair%:*}
  for asked in "score longer.txt answers.tsv" "embed longer.txt answers.jsonl" \
    "fill-mask masks.txt answers.json"; do
    read -r command input output <<<"$asked"
    begin "$engine" "$command" --model "$root/examples/tiny-mlm" --device cpu --threads 1 \
      --input "$input" --output "$output"
    for _ in $(seq 400); do
      [ -z "$(written)" ] || break
      sleep 0.02
    done
    end_with "SIG$name in $command" "$name" "${pair#*:}"
    expect "SIG$name in $command: one line: $(cat stderr)" \
      [ "$(cat stderr)" = "stopped: $output is as it was" ]
    expect "SIG$name in $command: nothing is left" [ -z "$(written)" ]
  done
done
finish
