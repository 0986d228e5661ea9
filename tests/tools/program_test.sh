#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors
# Every command, end to end, as a user runs it. Usage: program_test.sh PROGRAM
# shellcheck source=expect.sh
. "$(dirname "$0")/expect.sh" "$1"

head -n 300 "$root/examples/kjv/train.txt" >train.txt
head -n 60 "$root/examples/kjv/valid.txt" >valid.txt
model=$root/examples/tiny-mlm
cat >config.json <<CONFIG
{"model_name_or_path": "$model", "train_file": "train.txt", "validation_file": "valid.txt",
 "output_dir": "out", "max_seq_length": 32, "line_by_line": true, "max_steps": 6, "lora_r": 4,
 "per_device_train_batch_size": 4, "learning_rate": 0.002, "eval_strategy": "steps",
 "eval_steps": 3, "save_steps": 3, "logging_steps": 2, "do_train": true}
CONFIG

# ---- Help
expect_ok stdout 'fill-mask' "$engine" --help
expect_ok stdout 'qlora-engine 0.' "$engine" --version
for library in simdjson xxHash zlib zstd; do
  expect "--version names $library" grep -Eq "^$library [0-9]+\.[0-9]+" stdout
done
for isa in scalar ''; do # '': the best there is
  expect_ok stdout 'as on every machine' env ${isa:+QE_FORCE_ISA=$isa} "$engine" doctor
  expect "doctor: both checks hold" [ "$(grep -c ' ok: .*bits as on every machine' stdout)" -eq 2 ]
done
expect_ok stdout '"healthy": true' "$engine" doctor --json
expect "doctor: limits and file system" grep -q '"file_system": "[a-z0-9]' stdout
run bash -c "ulimit -n 64; exec '$engine' doctor"
expect "doctor: few files, and how to have more" grep -q 'only 64 files may be open' stdout
expect "doctor: the way is beside it" grep -q 'ulimit -n 4096' stdout
for command in init train eval fill-mask score embed plan plot config-schema tokenize bench; do
  expect_ok stdout "Usage: qlora-engine $command" "$engine" "$command" --help
  expect "$command --help has an example" grep -q '^Example:' stdout
done
"$engine" train --help | awk 'length > 100 { exit 1 }'
expect "--help stays within 100 columns" [ "${PIPESTATUS[1]}" -eq 0 ]

expect_ok stdout '"$schema": "https://json-schema.org/draft/2020-12/schema"' "$engine" config-schema
expect_error 2 'config-schema' "$engine" config-schema config.json

# ---- Init
expect_ok stdout 'Next: qlora-engine train start.json --dry-run' "$engine" init --model "$model" \
  --train train.txt --validation valid.txt -o start.json --output_dir started --device cpu
expect "init: a choice with its reason" grep -Eq '^ +line_by_line +false +lines are short' stdout
expect "init: memory was planned" grep -Eq '^ +per_device_train_batch_size +8 .*; the run takes [0-9.]+ MiB$' stdout
expect_ok stdout 'updates of 32 sequences' "$engine" train start.json --dry-run
expect "init writes only the configuration" [ ! -e started ]
expect_error 1 'start.json: it exists already' "$engine" init --model "$model" --train train.txt -o start.json
sed -e 's/["\\]/\\&/g' -e 's/.*/{"text": "&"}/' train.txt >rows.jsonl
expect_ok stdout 'a row is a text' "$engine" init --model "$model" --train rows.jsonl \
  -o start.json --force --device cpu
expect_ok stdout 'updates of 32 sequences' "$engine" plan start.json --no-measure
expect_error 1 'absent.txt' "$engine" init --model "$model" --train absent.txt -o other.json
expect_error 2 '--model DIR is missing' "$engine" init --train train.txt

# ---- Plan
expect_ok stdout 'total' "$engine" plan config.json --lora_alpha=32 --weight_decay 0.1
expect "plan: value and origin of a setting" grep -Eq '^ +lora_alpha +32\.0 +--lora_alpha$' stdout
expect "plan: the file as origin" grep -Eq '^ +max_steps +6 +config.json$' stdout
expect "plan: a default's origin" grep -Eq '^ +adam_beta1 +0.9 +default \(run_mlm.py\)$' stdout
expect "plan: a key without effect is noted" grep -q '/do_train does nothing here' stderr
expect "plan: the time, from updates that were done" \
  grep -Eq '^time +about [0-9.:]+( m?s)?: 6 updates of .* \(3 measured, [0-9,]+ tokens/s\), 2 evaluations of ' stdout
expect "plan: modules by layer, with counts" \
  grep -Eq '^ +4 +bert\.encoder\.layer\.\{i\}\.attention\.self\.query +4 +[0-9]+ x [0-9]+ +[0-9,]+$' stdout
expect "plan: the share that is trained" grep -Eq '^adapter .* parameters \([0-9.]+ % of the base.s\) in ' stdout
expect_ok stdout 'What is trained' "$engine" plan config.json --no-measure
expect "plan --no-measure: no time" sh -c '! grep -q "^time" stdout'
cp stdout planned
expect_ok stdout 'What is trained' "$engine" train config.json --dry-run --no-measure
expect "train --dry-run prints what plan prints" cmp planned stdout
expect_ok stdout 'tokens in all' "$engine" train config.json --dry-run
expect_error 1 'output_dir: not given' "$engine" train config.json --dry-run --output_dir ''
expect "plan and --dry-run write nothing" [ ! -e out ]
# For a GPU that is not here, in any build.
expect_ok stdout 'on cuda:99' "$engine" plan config.json --device cuda:99
expect "plan: no time of a device that is not here" sh -c '! grep -q "^time" stdout'
expect "plan: CUDA's own memory is a row" grep -q 'CUDA context' stdout
expect "plan: weights are resident where there is room" \
  grep -Eq '^ +resident_weights +true +auto: there is room$' stdout
expect_ok stderr 'resident_weights: those of 2 of 4 layers, to fit 610.0 MB of max_memory_MB' \
  "$engine" plan config.json --device cuda:99 --memory 610MB
expect_error 1 'more than the 400.0 MB of max_memory_MB; nothing makes it fit' \
  "$engine" plan config.json --device cuda:99 --memory 0.4GB
expect_error 1 'it fits with per_device_train_batch_size=2 gradient_accumulation_steps=2' \
  "$engine" plan config.json --device cuda:99 --memory 605MB

# ---- Train
expect_ok stdout 'updates' "$engine" train config.json --dump-batches batches.jsonl
for name in adapter_config.json adapter_model.safetensors tokenizer.json trainer_state.json \
  metrics.jsonl loss.svg checkpoint-3/adapter_model.safetensors checkpoint-6/trainer_state.json; do
  expect "train writes $name" [ -s "out/$name" ]
done
expect "train: plain lines when stderr is a file" grep -q '^update 6/6 ' stderr
expect "train: no escape codes in a file" sh -c '! grep -q "$(printf "\033")" stderr'
expect "train dumps every batch" [ "$(wc -l <batches.jsonl)" -eq 6 ]
expect "the loss curve is an SVG" grep -q '</svg>' out/loss.svg

expect_ok stderr 'wrote losses.svg' "$engine" plot out out/trainer_state.json -o losses.svg
expect "plot: both runs are in the legend" grep -q '>out/trainer_state.json</text>' losses.svg
expect_ok stdout '>learning rate (logarithmic)</text>' "$engine" plot out --metric learning_rate --log --x epoch
expect_error 1 'out: it has no lr; it has data_wait, epoch, ' "$engine" plot out --metric lr
expect_error 1 'no metrics.jsonl' "$engine" plot .
expect_error 2 'no run given' "$engine" plot
expect_error 2 '--smooth: expected a number from 0 to below 1, got "1"' "$engine" plot out --smooth 1

# The same bits again, with another number of threads; and after a resume from the middle.
run "$engine" train config.json --output_dir again --threads 1
expect "the same adapter with one thread" cmp out/adapter_model.safetensors again/adapter_model.safetensors
run "$engine" train config.json --output_dir resumed --resume out/checkpoint-3
expect "the same adapter after a resume" cmp out/adapter_model.safetensors resumed/adapter_model.safetensors
expect "train keeps what it tokenized" [ "$(find out/token_cache -name tokens.json | wc -l)" -eq 2 ]
expect_ok stderr '300 samples from out/token_cache/tokens-' "$engine" plan config.json
expect_ok stderr '60 samples from out/token_cache/tokens-' "$engine" eval config.json
mkdir many && split -l 100 train.txt many/ --additional-suffix=.txt
for files in many 'many/*.txt'; do
  run "$engine" train config.json --output_dir many-out --cache_dir tokens --train_file "$files" --resume no
  expect "the same adapter from $files" cmp out/adapter_model.safetensors many-out/adapter_model.safetensors
done
expect "cache_dir holds the data of all three" [ "$(find tokens -name tokens.json | wc -l)" -eq 2 ]
expect_ok stderr '300 samples from tokens/' "$engine" train config.json --output_dir many-out --cache_dir tokens --train_file many --resume no
expect "the same adapter from the cache" cmp out/adapter_model.safetensors many-out/adapter_model.safetensors
run "$engine" train config.json --output_dir many-out --cache_dir tokens --train_file many --resume no --overwrite_cache
expect "overwrite_cache tokenizes again" sh -c '! grep -q "samples from" stderr'
expect_error 1 'learning_rate' "$engine" train config.json --learning_rate 1e-3 --resume out/checkpoint-3

# Ctrl-C: a checkpoint, status 130, and the same command goes on.
n_cases=$((n_cases + 1))
"$engine" train config.json --output_dir stopped --max_steps 200 --eval_strategy no --save_strategy no \
  >stop.out 2>stop.err </dev/null &
pid=$!
for _ in $(seq 200); do
  grep -q '^update ' stop.err && break
  sleep 0.05
done
kill -TERM "$pid"
wait "$pid"
status=$?
[ "$status" -eq 143 ] || complain "a stopped run: exit status $status, not 143: $(tail -n 2 stop.err)"
expect "a stopped run says so" grep -q '^stopped after update ' stop.err
expect "a stopped run leaves a checkpoint" sh -c 'ls stopped/checkpoint-*/optimizer.safetensors >list'

# The same rows in any clothes: the same adapter.
quoted_csv() { # the text column second, all in quotes
  printf 'id,text\r\n'
  sed -e 's/"/""/g' -e 's/.*/1,"&"\r/' "$1"
}
quoted_csv train.txt >train.csv
gzip -c train.csv >train.csv.gz
sed -e 's/["\\]/\\&/g' -e 's/.*/{"text": "&"},/' -e '1s/^/[/' -e '$s/,$/]/' train.txt >train.json
for name in train.csv train.csv.gz train.json; do
  run "$engine" train config.json --output_dir "from-$name" --train_file "$name"
  expect "the same adapter from $name" cmp out/adapter_model.safetensors "from-$name/adapter_model.safetensors"
done
printf 'a\tb\n%s\n' $'the first text\tthe second one' >pair.tsv
expect_ok stdout 'updates' "$engine" train config.json --output_dir pair --train_file pair.tsv --text_pair_column_name b \
  --validation_file '' --eval_strategy no --max_steps 1 --dump-batches pair.jsonl
expect "pairs have types" grep -q '0, 1, 1' pair.jsonl

# ---- Eval
expect_ok stdout '"eval_loss": ' "$engine" eval config.json --json
base=$(cat stdout)
expect_ok stdout '"eval_loss": ' "$engine" eval config.json --json --adapter_name_or_path out
expect "the adapter changes the loss" [ "$base" != "$(cat stdout)" ]
expect_ok stdout 'perplexity' "$engine" eval config.json

expect_ok stdout '"sets": [{"file": "valid.txt", "models": [{"step": 0, ' "$engine" eval config.json --json --adapter out
loss_of='s/.*"eval_loss": \([0-9.]*\), .*/\1/'
expect "comparing: the base's loss is eval's" grep -qF "\"eval_loss\": $(echo "$base" | sed "$loss_of"), " stdout
expect "comparing: a difference with its interval" \
  grep -Eq '"adapter": "out", "difference": \{"eval_loss": -0[.0-9]+, "low": -[.0-9]+, "high": -?[.0-9]+\}' stdout
expect_ok stdout 'train.txt: 300 sequences' "$engine" eval --model "$model" --max_seq_length 32 --line_by_line \
  --adapter out --adapter again --file valid.txt --file train.txt
expect "comparing: two tables of three models" [ "$(grep -Ec '^  (base|out|again) +[0-9]\.[0-9]{4}' stdout)" -eq 6 ]
expect "comparing: the same adapter twice differs alike" \
  [ "$(awk '$1 == "out" || $1 == "again" { $1 = ""; print }' stdout | sort -u | wc -l)" -eq 2 ]
expect_ok stdout 'perplexity' "$engine" eval config.json --file train.txt --adapter_name_or_path out
expect_error 1 'give only one of both' "$engine" eval config.json --adapter out --adapter_name_or_path out
expect_ok stdout 'the validation part of train.txt: 15 sequences' "$engine" eval config.json \
  --validation_file '' --adapter out

# ---- Fill-mask
paris="The capital of France is [MASK]."
expect_ok stdout '"token_str": "france"' "$engine" fill-mask --model "$model" --bits 32 --json "$paris"
expect "one JSON list of five answers" grep -Eq '^\[(\{"score": 0\.17655[0-9]*, "token": 4749, "token_str": "france", "sequence": "the capital of france is france\."\})(, \{[^}]*\}){4}\]$' stdout
expect_ok stdout '[[{"score": ' "$engine" fill-mask --model "$model" --json --top_k 2 "[MASK] is [MASK]."
expect_ok stdout '"token_str": "england"' "$engine" fill-mask --model "$model" --json --targets england,spain "$paris"
expect "targets: two answers" grep -Eq '^\[\{[^}]*"england"[^}]*\}, \{[^}]*"spain"[^}]*\}\]$' stdout
expect_ok stdout 'france' "$engine" fill-mask --model "$model" "$paris"
expect_ok stdout 'adapter' "$engine" fill-mask --model "$model" --adapter out --compare "$paris"
n_cases=$((n_cases + 1))
printf '%s\r\n%s\n' "$paris" "[MASK] and [MASK]" | "$engine" fill-mask --model "$model" --json >lines
[ "$(wc -l <lines)" -eq 2 ] || complain "two lines in, two lines out: $(cat lines)"
n_cases=$((n_cases + 1))
printf '%s\nnothing\n' "$paris" | "$engine" fill-mask --model "$model" --json >stdout 2>stderr
grep -q 'error: standard input: line 2: No mask_token' stderr || complain "the line is named: $(cat stderr)"

# Files of requests: the answers of single runs, in order, whatever shares a batch.
sed -n '1,150s/\([a-z]\) [a-z]* /\1 [MASK] /p' train.txt | grep -F '[MASK]' >masked.txt
sed -e 's/["\\]/\\&/g' -e 's/.*/{"text": "&", "top_k": 5}/' masked.txt >masked.jsonl
expect "there are texts with masks" [ "$(wc -l <masked.txt)" -gt 100 ]
"$engine" fill-mask --model "$model" --json <masked.txt >single
for name in masked.txt masked.jsonl; do
  run "$engine" fill-mask --model "$model" --input "$name" --output filled --threads 2
  expect "--input $name answers as single runs do" cmp single filled
done
{
  echo '{"text": "The capital of [MASK] is [MASK].", "top_k": 1}'
  echo
  echo '{"text": "no mask"}'
  echo '{"text": "The capital of France is [MASK].", "targets": ["england", "spain"], "top_k": null}'
  echo '{"text": '
  echo '{"text": "The capital of France is [MASK].", "targets": "spain"}'
} >requests.jsonl
gzip -kf requests.jsonl
expect_ok stderr '2 lines have no answer; the first: requests.jsonl:3: No mask_token' \
  "$engine" fill-mask --model "$model" --input requests.jsonl --output answers --on_error skip
expect "skip: three answers" [ "$(wc -l <answers)" -eq 3 ]
expect "two masks, one answer each" grep -Eq '^\[\[\{[^}]*\}\], \[\{[^}]*\}\]\]$' answers
expect "a line's own targets" grep -Eq '^\[\{[^}]*"england"[^}]*\}, \{[^}]*"spain"[^}]*\}\]$' answers
expect "one target" grep -Eq '^\[\{[^}]*"spain"[^}]*\}\]$' answers
expect_ok stderr '2 lines have no answer' \
  "$engine" fill-mask --model "$model" --input requests.jsonl.gz --output answers --on-error=null
expect "null: a line for every request" [ "$(grep -n '^null$' answers | tr '\n' ' ')" = "2:null 4:null " ]

# A stop signal leaves the old answers.
n_cases=$((n_cases + 1))
for _ in $(seq 300); do cat masked.txt; done >many.txt
before=$(cat answers)
"$engine" fill-mask --model "$model" --input many.txt --output answers >stdout 2>stderr </dev/null &
pid=$!
for _ in $(seq 200); do
  [ -n "$(find . -maxdepth 1 -name '.answers.tmp-*' -size +0)" ] && break
  sleep 0.05
done
kill -INT "$pid"
wait "$pid"
status=$?
[ "$status" -eq 130 ] || complain "a stopped fill-mask: exit status $status, not 130: $(cat stderr)"
expect "the old answers stay" [ "$before" = "$(cat answers)" ]
expect "nothing is left beside them" [ -z "$(find . -maxdepth 1 -name '.answers.tmp-*')" ]

# ---- Tokenize
expect_ok stdout '2 184 847 191 4749 202 4 16 3' "$engine" tokenize --model "$model" "$paris"
expect_ok stdout '"ids": [2, 184, 847, 191, 4749, 202, 4, 16, 3]' "$engine" tokenize --model "$model" --jsonl "{\"text\": \"$paris\"}"
expect_ok stdout '{"text": "france is"}' "$engine" tokenize --model "$model" --decode '{"ids": [4749, 202]}'
expect_ok stdout '{"text": "the capital of france is."}' "$engine" tokenize --model "$model" --decode \
  '{"ids": [2, 184, 847, 191, 4749, 202, 4, 16, 3], "skip_special_tokens": true}'
# A program asks, waits for the answer, asks again.
n_cases=$((n_cases + 1))
coproc asked { "$engine" tokenize --model "$model" --jsonl 2>stderr; }
answers=
for word in the france; do
  printf '{"text": "%s", "add_special_tokens": false}\n' "$word" >&"${asked[1]}"
  read -r -t 20 line <&"${asked[0]}" && answers+=$line
done
# shellcheck disable=SC2154  # coproc sets it
kill "$asked_PID" 2>kill.err
case $answers in
  *'"ids": [184]'*'"ids": [4749]'*) ;;
  *) complain "an answer comes before the next request: $answers" ;;
esac

# ---- Bench
expect_ok stdout '"tokens_per_second": ' "$engine" bench train --shape bert-base --sequences 1 --length 8 --steps 1 --warmup 0 --json
expect "bench train: planned and resident memory" grep -Eq '"memory": \{"planned": [0-9]{9}, "device_planned": 0, "device_used": 0, "peak_resident": [0-9]{9}\}' stdout
expect_ok stdout '% of it' "$engine" bench infer --shape bert-base --bits 32 --steps 1 --warmup 0 --threads 1
expect_ok stdout '"op": "4-bit backward", "shape": "16 x 768 x 3072"' "$engine" bench ops --sequences 1 --length 32 --milliseconds 1 --json
expect_error 2 'known: bert-base, bert-large' "$engine" bench infer --shape gpt-2
expect_error 2 'expected train, infer, ops, tokenize or data' "$engine" bench
expect_ok stdout '"tokens_per_second": ' "$engine" bench tokenize --model "$model" --text valid.txt --steps 2 --json
expect "bench tokenize: what was read" grep -Eq '"texts": 60, "bytes": [0-9]{4}, "tokens": [0-9]{4}' stdout
expect_ok stdout 'M tokens/s' "$engine" bench tokenize --model "$model" --text valid.txt --threads 1 --steps 1
expect_error 2 'needs --model DIR and --text FILE' "$engine" bench tokenize --model "$model"
expect_ok stdout '"masking": "spans"' "$engine" bench data --model "$model" --text valid.txt --length 32 --steps 1 --warmup 0 --json
expect "bench data: whole epochs" grep -Eq '"length": 32, "round_tokens": 10[0-9]{6}' stdout
expect_ok stdout ' % of all to predict' "$engine" bench data --model "$model" --text valid.txt --length 64 --steps 1 --warmup 0
expect_error 2 'needs --model DIR and --text FILE' "$engine" bench data --model "$model"
finish
