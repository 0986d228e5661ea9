#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors
# Bad settings, files and texts end the program with one line that says what and where, status 1 (2
# for wrong usage), and leave nothing half-written. Usage: bad_input_test.sh PROGRAM
# shellcheck source=expect.sh
. "$(dirname "$0")/expect.sh" "$1"

head -n 300 "$root/examples/kjv/train.txt" >train.txt
head -n 60 "$root/examples/kjv/valid.txt" >valid.txt
model=$root/examples/tiny-mlm
cat >config.json <<CONFIG
{"model_name_or_path": "$model", "train_file": "train.txt", "validation_file": "valid.txt",
 "output_dir": "out", "max_seq_length": 32, "line_by_line": true, "max_steps": 2, "lora_r": 4,
 "per_device_train_batch_size": 2, "threads": 1}
CONFIG
mask="The capital of France is [MASK]."

# ---- Wrong usage
expect_error 2 'unknown command "tarin"' "$engine" tarin
expect_error 2 'a configuration file is missing' "$engine" train
expect_error 2 'unexpected argument "more"' "$engine" train config.json more
expect_error 2 '--model DIR is missing' "$engine" fill-mask "$mask"
expect_error 2 'unknown option --modell' "$engine" fill-mask --modell x
expect_error 2 '--top_k: expected an integer from 1' "$engine" fill-mask --model "$model" --top_k 0 "$mask"
expect_error 2 '--compare needs --adapter' "$engine" fill-mask --model "$model" --compare "$mask"
run "$engine"
expect "no arguments: usage and status 2" [ "$status" -eq 2 ]

# ---- Configuration
expect_error 1 'missing.json' "$engine" train missing.json
printf '{"learning_rate": 1e-3,\n "bits" 4}' >bad.json
expect_error 1 'bad.json' "$engine" plan bad.json
printf '[]' >bad.json
expect_error 1 'bad.json: expected a JSON object' "$engine" plan bad.json
printf '{"learning_rat": 1}' >bad.json
expect_error 1 'bad.json: /learning_rat: unknown key; did you mean "learning_rate"?' "$engine" plan bad.json
printf '{"learning_rate": "abc"}' >bad.json
expect_error 1 'bad.json: /learning_rate: expected a number, got "abc"' "$engine" plan bad.json
expect_error 1 '--lora_rang: unknown key; did you mean "lora_r"?' "$engine" train config.json --lora_rang 4
expect_error 1 '--max_steps: expected an integer, got "many"' "$engine" train config.json --max_steps many
expect_error 1 '--bits: "8": 8-bit weights are not supported' "$engine" train config.json --bits 8
expect_error 1 'max_seq_length: 513 exceeds the 512 positions' "$engine" train config.json --max_seq_length 513
expect_error 1 'no_such_module' "$engine" train config.json --target_modules no_such_module

# ---- Model folders
expect_error 1 'no-such-folder' "$engine" plan config.json --model_name_or_path no-such-folder
model_copy config
for edit in 's/"bert"/"brt"/' 's/"hidden_size": 256/"hidden_size": "wide"/' \
  's/"hidden_size": 256/"hidden_size": -1/' 's/"hidden_size": 256/"hidden_size": 255/' 's/}//'; do
  rm config/config.json
  sed "$edit" "$model/config.json" >config/config.json
  expect_error 1 'config/config.json' "$engine" plan config.json --model_name_or_path config
done
rm config/config.json
expect_error 1 'config/config.json' "$engine" plan config.json --model_name_or_path config

# Weights: what FILTER makes of model.safetensors is refused with TEXT by plan and by fill-mask.
bad_weights() { # TEXT FILTER ...
  local text=$1
  shift
  model_copy weights
  rewrite weights/model.safetensors "$@"
  expect_error 1 "$text" "$engine" plan config.json --model_name_or_path weights
  expect_error 1 "$text" "$engine" fill-mask --model weights "$mask"
}
bytes() { printf '%b' "$1"; }
with_header() { # HEADER: an 8-byte length, the header, and no data
  # shellcheck disable=SC2059  # the format is made of octal bytes
  printf "\\$(printf %o $((${#1} % 256)))\\$(printf %o $((${#1} / 256)))\\0\\0\\0\\0\\0\\0"
  printf '%s' "$1"
}
file=weights/model.safetensors
bad_weights "$file" bytes ''
bad_weights "$file" head -c 7
bad_weights "$file" head -c 8
bad_weights "$file" head -c 1000
bad_weights "$file" head -c 5000000
bad_weights "$file" bytes '\377\377\377\377\377\377\377\377{}'
bad_weights "$file" bytes '\377\377\377\377\377\377\377\177{}'
bad_weights "$file" bytes '\002\0\0\0\0\0\0\0[]'
bad_weights "$file" with_header '{"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}'
bad_weights "$file" with_header '{"x": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 0]}}'
bad_weights "$file" with_header '{"x": {"dtype": "F99", "shape": [0], "data_offsets": [0, 0]}}'
bad_weights "$file" with_header '{"x": {"dtype": "F32", "shape": [4611686018427387904, 4], "data_offsets": [0, 0]}}'
bad_weights "$file" with_header '{"x": {"dtype": "F32", "shape": [0], "data_offsets": [9, 0]}}'
bad_weights "bert.encoder.layer.2.output.dense.weight" \
  sed 's/bert.encoder.layer.2.output.dense.weight/bert.encoder.layer.2.output.dense.weighX/'
bad_weights "bert.encoder.layer.1.intermediate.dense.weight" \
  sed 's/\("bert.encoder.layer.1.intermediate.dense.weight":{"dtype":"F16","shape":\[\)1024,256/\1256,1024/'
rm -r weights
model_copy weights
rm weights/model.safetensors
touch weights/pytorch_model.bin
expect_error 1 'torch.save' "$engine" plan config.json --model_name_or_path weights
rm weights/pytorch_model.bin
expect_error 1 'model.safetensors' "$engine" plan config.json --model_name_or_path weights

# ---- Tokenizers
model_copy tokenizer
rm tokenizer/{tokenizer.json,vocab.txt}
expect_error 1 'tokenizer' "$engine" tokenize --model tokenizer "text"
printf '{"model": ' >tokenizer/tokenizer.json
expect_error 1 'tokenizer/tokenizer.json' "$engine" tokenize --model tokenizer "text"
model_copy maskless
for name in tokenizer.json tokenizer_config.json special_tokens_map.json vocab.txt; do
  rewrite maskless/$name sed -e 's/"mask_token": "\[MASK\]"/"note": "none"/' -e 's/\[MASK\]/[MUSK]/g'
done
expect_error 1 'maskless: the tokenizer has no mask token' "$engine" fill-mask --model maskless "$mask"
expect_error 1 'maskless: the tokenizer has no mask token' "$engine" train config.json --model_name_or_path maskless
model_copy grown # a token that the model has no row for
rewrite grown/tokenizer.json sed -e \
  's/"added_tokens": \[/&{"id":8192,"content":"<new>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":false},/'
outside="id 8192 (\"<new>\"), outside the model's vocabulary of 8192"
expect_error 1 "$outside" "$engine" fill-mask --model grown "<new> $mask"
expect_error 1 "$outside" "$engine" fill-mask --model grown --targets '<new>' "$mask"

# ---- Texts
expect_error 1 'No mask_token ([MASK]) found on the input' "$engine" fill-mask --model "$model" "no mask here"
expect_error 1 'the model has positions for 512' "$engine" fill-mask --model "$model" \
  "[MASK] $(printf 'word %.0s' {1..600})"
expect_error 1 'targets' "$engine" fill-mask --model "$model" --targets ' ' "$mask"
expect_ok stderr '1 invalid UTF-8' "$engine" fill-mask --model "$model" --json $'caf\351 [MASK]'
expect_ok stderr '2 invalid UTF-8' "$engine" tokenize --model "$model" $'\351 and \xff'
expect_error 1 'request: /ids/0: expected an integer, got "x7"' "$engine" tokenize --model "$model" --decode '{"ids": ["x7"]}'
expect_error 1 '8192' "$engine" tokenize --model "$model" --decode '{"ids": [8192]}'
expect_error 1 'request: expected an object, got 7' "$engine" tokenize --model "$model" --decode '7'
expect_error 1 'request: /texts: unknown member' "$engine" tokenize --model "$model" --jsonl '{"texts": "a"}'
expect_error 2 '--jsonl and --decode' "$engine" tokenize --model "$model" --jsonl --decode '{}'
expect_error 2 '--max_length are for texts' "$engine" tokenize --model "$model" --jsonl --max_length 4 '{}'

# A file of requests: what cannot be answered ends the run, and the old output stays.
printf '{"text": "It is [MASK]."}\n' >good.jsonl
printf 'old' >answers.jsonl
bad_request() { # TEXT LINE: appended to a good line
  { cat good.jsonl; printf '%s\n' "$2"; } >bad.jsonl
  expect_error 1 "bad.jsonl:2: $1" "$engine" fill-mask --model "$model" --input bad.jsonl --output answers.jsonl
}
bad_request 'column 10: ' '{"text": '
bad_request 'expected an object, got [1]' '[1]'
bad_request 'missing key "text"' '{}'
bad_request '/txt: unknown member' '{"text": "[MASK]", "txt": 1}'
bad_request '/text: expected a string, got null' '{"text": null}'
bad_request '/top_k: expected an integer, got "5"' '{"text": "[MASK]", "top_k": "5"}'
bad_request 'top_k: expected a positive number, got 0' '{"text": "[MASK]", "top_k": 0}'
bad_request 'targets: none of them' '{"text": "[MASK]", "targets": []}'
bad_request '/targets/0: expected a string, got 7' '{"text": "[MASK]", "targets": [7]}'
bad_request 'No mask_token' '{"text": "none"}'
bad_request 'the text has 602 tokens' "{\"text\": \"[MASK]$(printf ' word%.0s' {1..599})\"}"
fill() { "$engine" fill-mask --model "$model" "$@"; }
expect_error 1 'none.jsonl: cannot open' fill --input none.jsonl --output answers.jsonl
expect_error 1 'Parquet is not read; convert it: python' fill --input good.parquet --output answers.jsonl
expect_error 1 'good.csv: expected .jsonl or .txt' fill --input good.csv --output answers.jsonl
expect_error 1 'no/answers.jsonl' fill --input good.jsonl --output no/answers.jsonl
cp "$root/tests/golden/dataset/small.csv.gz" cut.jsonl.gz
truncate -s 40 cut.jsonl.gz
expect_error 1 'cut.jsonl.gz: truncated' fill --input cut.jsonl.gz --output answers.jsonl --on_error skip
expect "the old answers stay" [ "$(cat answers.jsonl)" = old ]
expect "nothing is left beside" [ -z "$(find . -maxdepth 1 -name '.*tmp*')" ]
expect_error 2 '--input and --output' fill --input good.jsonl
expect_error 2 '--on_error: expected fail, skip or null, got "no"' fill --input good.jsonl --output x --on_error no
expect_error 2 '--on_error is for --input' fill --on_error skip "$mask"
expect_error 2 '--input takes no TEXT' fill --input good.jsonl --output x "$mask"

# ---- Data
: >empty.txt
expect_error 1 'empty.txt' "$engine" train config.json --train_file empty.txt
printf '\n  \n\n' >blank.txt
expect_error 1 'blank.txt' "$engine" train config.json --train_file blank.txt
expect_error 1 'blank.txt' "$engine" eval config.json --validation_file blank.txt
expect_error 1 'missing.txt' "$engine" train config.json --train_file missing.txt
expect_error 1 'train.parquet' "$engine" train config.json --train_file train.parquet
printf '{"text": "good"}\n{"text": \n' >bad.jsonl
expect_error 1 'bad.jsonl' "$engine" train config.json --train_file bad.jsonl
printf 'id,text\n1,good\n2,"not closed\n' >open.csv
expect_error 1 'open.csv:3: field 2: the quote that begins here is not closed' "$engine" train config.json --train_file open.csv
printf 'id,text\n1,good\n2,a,b\n' >ragged.csv
expect_error 1 'ragged.csv:3: more than 2 fields' "$engine" train config.json --train_file ragged.csv
printf 'id,body\n1,good\n' >body.csv
expect_error 1 'body.csv:2: no column "title"; columns: id, body' \
  "$engine" train config.json --train_file body.csv --text_column_name title
printf '[{"text": "good"},\n{"text": null}]' >null.json
expect_error 1 'null.json:2: row 2: /text: expected a string, got null' "$engine" train config.json --train_file null.json
printf 'text,text_pair\na,b\n' >pair.csv
expect_error 1 'pair.csv:2: a row with a second text' "$engine" train config.json --train_file pair.csv --line_by_line false
for name in small.csv.gz small.csv.zst; do
  head -c 36 "$root/tests/golden/dataset/$name" >"cut.$name"
  expect_error 1 "cut.$name: truncated" "$engine" train config.json --train_file "cut.$name"
  printf 'text\nplain\n' >"plain.$name"
  expect_error 1 "plain.$name: c" "$engine" train config.json --train_file "plain.$name"
done
printf '{"input_ids": [2, 9000, 3]}\n' >ids.jsonl
expect_error 1 '9000' "$engine" train config.json --train_file ids.jsonl
{ cat train.txt; printf 'a stray \377 byte\n'; } >bytes.txt
expect_ok stderr '1 invalid UTF-8' "$engine" train config.json --train_file bytes.txt --output_dir stray

# ---- Adapters
expect_error 1 'no-adapter' "$engine" fill-mask --model "$model" --adapter no-adapter "$mask"
mkdir adapter
printf '{"peft_type": "LORA", "r": 4, "target_modules": ["query"]}' >adapter/adapter_config.json
expect_error 1 'adapter: no adapter weights' "$engine" fill-mask --model "$model" --adapter adapter "$mask"
with_header '{}' >adapter/adapter_model.safetensors
printf '{"peft_type": "IA3"}' >adapter/adapter_config.json
expect_error 1 'adapter/adapter_config.json' "$engine" fill-mask --model "$model" --adapter adapter "$mask"

# ---- Settings of training
expect_error 1 'pwoer: polynomial does not know this key; it has lr_end, power' "$engine" plan config.json \
  --lr_scheduler_type polynomial --lr_scheduler_kwargs '{"pwoer": 2}'
expect_error 1 'bits: "8": 8-bit weights are not supported: use 4, or 16' "$engine" plan config.json --bits 8
expect_error 1 'look-ahead and look-behind are not supported' "$engine" plan config.json \
  --target_modules '(?!.*key).*'
expect_error 1 'target_modules also match "cls.predictions.decoder"' "$engine" plan config.json --target_modules query,decoder
expect_error 1 'match no linear layer' "$engine" plan config.json --target_modules q_proj
expect_error 1 'load_best_model_at_end needs' "$engine" plan config.json --load_best_model_at_end true
expect_error 1 'reduce_lr_on_plateau needs evaluations' "$engine" plan config.json --lr_scheduler_type reduce_lr_on_plateau
expect_error 1 'metric_for_best_model: expected loss' "$engine" plan config.json --metric_for_best_model f1
expect_error 1 'dataloader_drop_last' "$engine" plan config.json --dataloader_drop_last true --per_device_train_batch_size 1000
expect_error 1 'use_qalora: "true" is refused' "$engine" plan config.json --use_qalora true
expect_ok stderr 'whole_word_mask: every token of a chosen word becomes the mask token' "$engine" plan config.json --whole_word_mask true

# An adapter of another base, in training, evaluation and use.
other=$root/tests/golden/settings/adapter
for command in "train config.json --output_dir other" "eval config.json"; do
  # shellcheck disable=SC2086  # words
  expect_error 1 'settings/adapter' "$engine" $command --adapter_name_or_path "$other"
done
expect_error 1 'the adapter is for another base' "$engine" fill-mask --model "$model" --adapter "$other" "$mask"

# ---- Output
: >file
expect_error 1 'file/out' "$engine" train config.json --output_dir file/out
expect_error 1 'output_dir' "$engine" train config.json --output_dir ''
expect_error 1 '/dev/full' "$engine" train config.json --dump_batches /dev/full --output_dir dumped
n_cases=$((n_cases + 1))
"$engine" tokenize --model "$model" "text" 2>stderr >/dev/full </dev/null
[ $? -eq 1 ] && grep -q '^error: standard output' stderr || complain "a full stdout is an error: $(cat stderr)"

# A disk that is full: files may not grow beyond 64 KiB. Whatever was begun is gone afterwards.
n_cases=$((n_cases + 1))
(
  trap '' XFSZ
  ulimit -f 64
  exec "$engine" train config.json --output_dir full --lora_r 64 </dev/null >stdout 2>stderr
)
[ $? -eq 1 ] || complain "a full disk is an error: $(tail -n 2 stderr)"
grep -q '^error: .*full/' stderr || complain "a full disk names the file: $(tail -n 2 stderr)"
left=$(find full -name '*.safetensors' -o -name '*tmp*' -o -name 'checkpoint-*' | head -n 3)
[ -z "$left" ] || complain "a full disk leaves nothing half-written: $left"

# No failed command above left anything in the place where its result would have been, but the whole
# tokenized data, which the next one finds.
for folder in out dumped; do
  expect "nothing in $folder" [ -z "$(find $folder -type f 2>/dev/null | grep -Ev '/metrics.jsonl$|/token_cache/tokens-[0-9a-f]{32}/')" ]
done
finish
