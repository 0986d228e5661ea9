#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors
# inspect, quantize and merge as a user runs them. Usage: convert_test.sh PROGRAM
# shellcheck source=expect.sh
. "$(dirname "$0")/expect.sh" "$1"

golden=$root/tests/golden/bert
model=$golden/model
adapter=$golden/adapter
text='the king of [MASK] said unto the people'
answers() { "$engine" fill-mask --json --device cpu "$@" "$text"; }

# ---- Quantize
expect_ok stdout '12 linear layers' "$engine" quantize --model "$model" --output nf4
for name in config.json model.safetensors tokenizer.json tokenizer_config.json; do
  expect "quantize writes $name" [ -s "nf4/$name" ]
done
expect "no folder is left beside" [ -z "$(find . -maxdepth 1 -name '.nf4*')" ]
expect "the same answers as quantizing while loading" \
  [ "$(answers --model nf4)" = "$(answers --model "$model" --bits 4)" ]
expect_ok stdout '13 linear layers' "$engine" quantize --model "$model" --output head --quantize_head \
  --quant_type fp4 --double_quant false --quant_block_size 128 --storage bfloat16
expect "the storage type is in config.json" grep -q '"bnb_4bit_quant_storage": "bfloat16"' head/config.json
expect_ok stdout '"token_str"' "$engine" fill-mask --json --model head "$text"
"$engine" quantize --model "$model" --output one --threads 1 >/dev/null
expect "the same bytes with one thread" cmp nf4/model.safetensors one/model.safetensors

# What train would do with such a folder: its own weights, not quant_type's; or their decoded values.
cat >config.json <<CONFIG
{"model_name_or_path": "head", "train_file": "$golden/train.jsonl", "output_dir": "out", "max_seq_length": 40,
 "max_steps": 1, "per_device_train_batch_size": 4}
CONFIG
expect_ok stdout 'linear layers in fp4, as the folder holds them' "$engine" plan config.json --quant_type nf4
expect_ok stdout "in 32 bits, decoded from the folder's fp4" "$engine" plan config.json --bits 32
for bits in 4 32; do
  expect_ok stdout 'updates' "$engine" train config.json --bits $bits --output_dir out$bits
done
expect "trained on codes or on what they decode to: the same adapter" \
  cmp out4/adapter_model.safetensors out32/adapter_model.safetensors
expect_ok stdout 'loss' "$engine" eval config.json --validation_file "$golden/train.jsonl" --adapter_name_or_path out4

expect_error 2 '--output DIR is missing' "$engine" quantize --model "$model"
expect_error 2 '--storage: expected uint8' "$engine" quantize --model "$model" --output x --storage int4
expect_error 1 'quant_block_size' "$engine" quantize --model "$model" --output x --quant_block_size 100
expect_error 1 'is stored in 4 bits' "$engine" quantize --model nf4 --output x
expect_error 1 'nf4: is there already' "$engine" quantize --model "$model" --output nf4
expect_error 1 'none' "$engine" quantize --model none --output x
expect "nothing is written after an error" [ ! -e x ]

# ---- Merge
expect_ok stdout '13 linear layers' "$engine" merge --model "$model" --output merged "$adapter"
expect "the drift of every target" [ "$(grep -Ec '^(trained|original|4bit) +[0-9]+\.[0-9]+ ' stdout)" -eq 3 ]
expect "the target that was trained has none" grep -Eq '^trained +0\.0000[0-9] ' stdout
expect "merged: a plain folder" sh -c '! grep -q quantization_config merged/config.json'
expect_ok stdout '"token_str"' "$engine" fill-mask --json --model merged --bits 32 "$text"
expect_ok stdout 'quantized again' "$engine" merge --model nf4 --output merged4 --onto 4bit --no_drift "$adapter:0.7" "$adapter:0.3"
expect "merged onto 4 bits: 4 bits" grep -q '"load_in_4bit": true' merged4/config.json
expect_ok stdout 'not possible' "$engine" merge --model nf4 --output merged16 --dtype float16 "$adapter"
printf 'the dog\n\nin the day\n' >texts.txt
expect_ok stdout 'over 2 texts' "$engine" merge --model "$model" --output texts --texts texts.txt "$adapter"

expect_error 2 'no adapter' "$engine" merge --model "$model" --output x
expect_error 2 '--onto: expected trained, original or 4bit' "$engine" merge --model "$model" --output x --onto base "$adapter"
expect_error 2 'FOLDER:WEIGHT' "$engine" merge --model "$model" --output x "$adapter:heavy"
expect_error 1 'no original floats' "$engine" merge --model nf4 --output x --onto original "$adapter"
expect_error 1 'the adapter is for another base' "$engine" merge --model "$root/examples/tiny-mlm" --output x "$adapter"
expect_error 1 'none: no such folder' "$engine" merge --model "$model" --output x none
expect_error 1 'merged: is there already' "$engine" merge --model "$model" --output merged "$adapter"
expect_error 1 'finite' "$engine" merge --model "$model" --output x --dtype float16 "$adapter:1e9"
mkdir linked
cp "$adapter/adapter_config.json" linked/
ln -s "$adapter/adapter_model.safetensors" linked/
expect_error 1 'is a link that leaves the folder' "$engine" merge --model "$model" --output x linked
expect "nothing is written after an error" [ ! -e x ]

# ---- Combine
expect_ok stdout '2 adapters of 13 linear layers, rank 8' "$engine" combine --output both "$adapter:0.7" "$adapter:0.3"
words() { answers --model "$model" --adapter "$1" | grep -o '"token_str": *"[^"]*"'; }
expect "combined: the answers of the one" [ "$(words both)" = "$(words "$adapter")" ]
expect_ok stdout 'rank 3' "$engine" combine --output small --type svd --rank 3 "$adapter" "$adapter:-0.5"
expect_error 2 '--type: expected cat, svd or linear' "$engine" combine --output x --type ties "$adapter"
expect_error 2 'only --type svd has a choice' "$engine" combine --output x --rank 3 "$adapter"
expect_error 2 'no adapter given' "$engine" combine --output x
expect_error 1 'is there already' "$engine" combine --output both "$adapter"
expect_error 1 'none: no such folder' "$engine" combine --output x none
expect "nothing is written after an error" [ ! -e x ]

# ---- Inspect
expect_ok stdout 'masked language model' "$engine" inspect "$model"
expect "every preset" [ "$(grep -Ec '^(all-linear|qlora|attention|peft-default) ' stdout)" -eq 4 ]
expect_ok stdout '"n_modules": 13' "$engine" inspect "$model" --json
expect_ok stdout '"quantized_linears": 12' "$engine" inspect nf4 --json
expect_ok stdout '1,536' "$engine" inspect "$model" --target_modules query,value --lora_r 4
expect_ok stdout 'layer.{i}.attention.self.key' "$engine" inspect "$model" --target_modules '.*\.key'
expect_ok stdout '5,504 parameters' "$engine" inspect "$adapter"
expect_ok stdout '"r": 4' "$engine" inspect "$adapter" --json
expect_error 1 'no-folder' "$engine" inspect no-folder
mkdir empty
expect_error 1 'empty' "$engine" inspect empty
expect_error 1 'is a link that leaves the folder' "$engine" inspect linked
expect_error 2 'no folder given' "$engine" inspect

# ---- Files of torch.save: one, and in shards; an adapter
families=$root/tests/golden/families
for name in electra eurobert; do
  mkdir $name && cp "$families/$name"/model/*.json $name/ && cp "$root/tests/golden/torch_files/$name"/pytorch_model* $name/
  expect "$name: as many parameters" [ "$("$engine" inspect --json $name | grep -o '"parameters": *[0-9]*' | head -1)" = \
    "$("$engine" inspect --json "$families/$name/model" | grep -o '"parameters": *[0-9]*' | head -1)" ]
  for model in "$name" "$families/$name/model"; do
    expect_ok stdout 'linear layers' "$engine" quantize --model "$model" --output "$name-$(basename "$model")"
  done
done
expect_ok stdout 'in pytorch_model.bin' "$engine" inspect electra
expect_ok stdout 'in 2 files' "$engine" inspect eurobert
expect "the same folder from shards of torch" cmp eurobert-model/model.safetensors eurobert-eurobert/model.safetensors
mkdir torch-adapter
cp "$families/electra/adapter/adapter_config.json" "$root/tests/golden/torch_files/electra/adapter_model.bin" torch-adapter/
expect_ok stdout '"n_modules": 14' "$engine" inspect --json torch-adapter
expect_ok stdout 'merged' "$engine" merge --no_drift --model electra --output merged-electra torch-adapter
expect "the tied decoder is written once" [ "$(grep -c generator_lm_head.weight merged-electra/model.safetensors)" -eq 0 ]
for type in float32 bfloat16; do # of a model in bf16
  expect_ok stdout 'merged' "$engine" merge --no_drift --model "$families/eurobert/model" --output as-$type \
    --dtype $type "$families/eurobert/adapter"
  expect "config.json says $type" grep -q "\"dtype\": \"$type\"" as-$type/config.json
done
text='the king of <mask> in the land'
expect "the same answers with and without it" [ "$(answers --model electra --adapter torch-adapter)" = \
  "$(answers --model "$families/electra/model" --adapter "$families/electra/adapter")" ]
finish
