#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors
#
# Runs the fuzz targets one after the other, FUZZ_SECONDS (60) each:
#   fuzz.sh BUILD_FOLDER [TARGET...]
# What a target learns stays in BUILD_FOLDER/fuzz/corpus; an input that ends it goes to
# BUILD_FOLDER/fuzz/findings. BUILD_FOLDER/tests/fuzz/TARGET_fuzz FILE runs one input again.
set -euo pipefail
export LC_ALL=C.UTF-8
[ $# -ge 1 ] || { echo "usage: fuzz.sh BUILD_FOLDER [TARGET...]" >&2; exit 2; }
build=$(realpath "$1")
shift
cd "$(dirname "$0")/.."
golden=tests/golden
findings=$build/fuzz/findings
mkdir -p "$findings"
# Targets write the files they read.
if [ -z "${TMPDIR:-}" ] && [ -w /dev/shm ]; then export TMPDIR=/dev/shm; fi

seed() { # TARGET NAME < content
  mkdir -p "$build/fuzz/seeds/$1" "$build/fuzz/corpus/$1"
  cat >"$build/fuzz/seeds/$1/$2"
}
piece() { # TEXT TYPE: of a sentencepiece model, with score -1
  local n
  n=$(printf %s "$1" | wc -c)
  # shellcheck disable=SC2059  # the format is the bytes
  printf "\\x0a\\x$(printf %02x $((n + 9)))\\x0a\\x$(printf %02x "$n")%s\\x15\\0\\0\\x80\\xbf\\x18\\x0$2" "$1"
}
separator='\n----\n'

make_seeds() {
  local file name k
  for file in tests/fuzz/tokenizers/*.json; do
    name=$(basename "$file")
    { cat "$file" && printf '%bNé the [MASK]\t' "$separator"; } | seed tokenizer_json "$name"
    seed json "$name" <"$file"
  done
  for file in "$golden"/bert/model/*.json "$golden"/settings/adapter/*.json; do
    seed json "$(basename "$file")" <"$file"
  done
  k=0
  for file in tests/fuzz/tokenizers/*.json; do # a family each; the second byte holds options
    printf "\\x0${k}\\x3BThe days' hand 中文 <mask> e\u0301\ufb01  \$12.50%bthe\0\1\2\n" \
      "$separator" | seed encode "family$k"
    k=$((k + 1))
  done
  for k in 0 1 2 3 4 5 6 7 8 9 A B C; do
    printf "\\x0${k}\\x03\\x${k}2Né \u1112\u1161\u11ab e\u0323\u0301\u3000don't <a>  12" |
      seed normalize "kinds$k"
  done
  printf '\0\3aab\x0c\0\0\0\0\x05\0\0\x61\x05\0\0\0\0\0\x80X\0' | seed charsmap bytes
  sed -n 's/.*"precompiled_charsmap":"\([^"]*\)".*/\1/p' tests/fuzz/tokenizers/unigram.json |
    { printf '\x01\x08\ufb01e\u0301 ' && tr -d '\n'; } | seed charsmap base64
  sed -n 's/.*"Regex":"\([^"]*\)".*/\1/p' tests/fuzz/tokenizers/exact_split.json |
    { sed 's/\\\\/\\/g' | tr -d '\n' && printf "%bI'll  12345\r\n x" "$separator"; } |
    seed pattern split
  printf '[^\\s\\p{L}\\x41-\\x{1F600}]+?|(?i:ab{2,3})$%bAbb 12 !' "$separator" | seed pattern classes
  printf '{"text":"the \\u00e9","pair":"day","max_length":7,"add_special_tokens":true}' |
    seed requests encode
  printf '{"ids":[2,5,1],"skip_special_tokens":true}' | seed requests decode
  printf '[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\r\nthe\n##s\n中%bthes 中' "$separator" |
    seed vocab_txt bert
  { printf '{"<s>":0,"<pad>":1,"</s>":2,"<unk>":3,"<mask>":4,"a":5,"b":6,"ab":7,"Ġ":8,"Ġab":9}' &&
    printf '%b#version: 0.2\na b\nĠ ab\n%b{"tokenizer_class":"RobertaTokenizer"}%bab ab c' \
      "$separator" "$separator" "$separator"; } | seed vocab_files roberta
  for k in 0 1 2 3 4; do # a family each; the first also as BPE
    { printf "\\x0${k}\\x08 ab\u3000aA" && piece "<unk>" 2 && piece "<s>" 3 && piece "</s>" 3 &&
      piece "[CLS]" 3 && piece "[SEP]" 3 && piece "▁" 1 && piece a 1 && piece b 1 &&
      piece ab 1 && piece "▁ab" 1 && piece "<u>" 4 && piece "<0x41>" 6 &&
      printf '\x1a\x0e\x12\x0a\x04\0\0\0\0\0\0\0X\0\x18\x01'; } >"$build/fuzz/sentencepiece"
    seed sentencepiece "family$k" <"$build/fuzz/sentencepiece"
  done
  { printf '\0\0' && tail -c +11 "$build/fuzz/sentencepiece" && printf '\x12\x05\x18\x02\x98\x02\x01'; } |
    seed sentencepiece bpe
  { printf '{"tokenizer_class":"BertTokenizerFast","do_lower_case":false,"strip_accents":null,' &&
    printf '"model_max_length":1e30,"mask_token":{"content":"<m>","lstrip":true},' &&
    printf '"added_tokens_decoder":{"10":{"content":"<m>","special":true}}}%b%b{}%b' \
      "$separator" "$separator" "$separator" &&
    printf '{"model_type":"bert"}'; } | seed side_files config
  { printf '{"do_lower_case":true}%b' "$separator" &&
    printf '{"pad_token":"a","additional_special_tokens":["<x>",{"content":"b"}]}%b{"<y>":10}' \
      "$separator"; } | seed side_files map
  { printf '\x01{"a":{"dtype":"F16","shape":[2,1],"data_offsets":[0,4]},' &&
    printf '"__metadata__":{"format":"pt"}}%b\1\2\3\4' "$separator"; } | seed safetensors header
  { printf '\0' && head -c 6000 "$golden/quant4.safetensors"; } | seed safetensors quant4
  k=0
  for file in a.txt a.csv a.tsv a.json a.jsonl; do
    case $file in
      *.json*) printf "\\x0${k}\\x03"'{"text":"a","text_pair":"b"}\n{"text":"\\u00e9","x":[1]}' ;;
      *) printf "\\x0${k}\\x03"'text,text_pair\ttext\n"a ""b""\nc",d\r\n' ;;
    esac | seed dataset "$file"
    k=$((k + 1))
  done
  # Of two members each.
  { printf '\x06\0' && cat "$golden"/dataset/small.csv.gz{,}; } | seed dataset gzip
  { printf '\x08\0' && cat "$golden"/dataset/small.csv.zst{,}; } | seed dataset zstd
  seed settings run <examples/kjv_demo.json
  for file in "$golden"/bert/model/config.json "$golden"/families/*/model*/config.json; do
    name=$(basename "$(dirname "$(dirname "$file")")")
    { printf '\xff' && cat "$file" &&
      printf '%bencoder.layer.0.attention.self.query.LayerNorm.gamma' "$separator"; } |
      seed encoder_config "$name-$(basename "$(dirname "$file")")"
  done
  for name in longrope llama3; do
    { printf '\xff{"model_type":"eurobert","hidden_size":32,"num_attention_heads":4,' &&
      printf '"max_position_embeddings":64,"rope_parameters":{"rope_type":"%s","factor":2,' $name &&
      printf '"short_factor":[1,1.5,2,3],"low_freq_factor":1,"high_freq_factor":4,' &&
      printf '"original_max_position_embeddings":64}}%blayers.0.self_attn.q_proj.weight' \
        "$separator"; } | seed encoder_config "$name"
  done
  { printf '\x04' && cat "$golden/settings/adapter/adapter_config.json"; } |
    seed adapter_config golden
  { printf '\x02{"peft_type":"LORA","r":8,"lora_alpha":16,"target_modules":"all-linear",' &&
    printf '"rank_pattern":{"query":2,"^cls\\\\..*":2,"layer.11.output.dense":2},' &&
    printf '"layers_to_transform":[3,11],"layers_pattern":"layer"}'; } | seed adapter_config patterns
  { printf '\0{"peft_type":"LORA","r":2,"target_modules":["query"]}%b' "$separator" &&
    head -c 4000 "$golden/families/electra/adapter/adapter_model.safetensors"; } |
    seed adapter_config weights
  for name in state state_legacy; do
    { printf '\0' && cat "$golden/torch_files/$name.bin"; } | seed torch_file "$name"
  done
  for k in 1 2; do # a pickle of two tensors, in an archive and in a legacy file
    { printf "\x0$k\x80\x02}q\0(X\1\0\0\0xq\1ctorch._utils\n_rebuild_tensor_v2\nq\2(" &&
      printf '(X\7\0\0\0storageq\3ctorch\nFloatStorage\nq\4X\1\0\0\0\x30q\5X\3\0\0\0cpuq\6K\2tq\7Q' &&
      printf 'K\0K\1K\2\x86q\x08K\2K\1\x86q\x09\x89ccollections\nOrderedDict\nq\x0a)Rq\x0btq\x0cRq\x0d' &&
      printf 'X\1\0\0\0yq\x0eh\2((h\3ctorch\nHalfStorage\nX\1\0\0\0\x31h\6K\4tQ' &&
      printf 'K\0K\2K\2\x86K\1K\2\x86\x89h\x0a)RtRu.' &&
      if [ $k -eq 1 ]; then
        printf '%b12345678abcdefgh' "$separator"
      else
        printf '\x80\x02]q\0(X\1\0\0\0\x30q\1X\1\0\0\0\x31q\2e.%b' "$separator"
        printf '\2\0\0\0\0\0\0\x0012345678\4\0\0\0\0\0\0\0abcdefgh'
      fi; } | seed torch_file "pickle$k"
  done
}

run() { # TARGET
  echo "== $1"
  nice "$build/tests/fuzz/${1}_fuzz" -max_total_time="${FUZZ_SECONDS:-60}" -timeout=10 \
    -rss_limit_mb=1536 -max_len=8192 -dict=tests/fuzz/tokens.dict -artifact_prefix="$findings/$1-" \
    -verbosity=0 -print_final_stats=1 "$build/fuzz/corpus/$1" "$build/fuzz/seeds/$1"
}

make_seeds
if [ $# -eq 0 ]; then
  for file in tests/fuzz/*_fuzz.cpp; do set -- "$@" "$(basename "$file" _fuzz.cpp)"; done
fi
for target; do run "$target"; done
