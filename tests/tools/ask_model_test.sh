#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors
# score, embed, and masks filled jointly or with words of several tokens, as a user runs them.
# Usage: ask_model_test.sh PROGRAM
# shellcheck source=expect.sh
. "$(dirname "$0")/expect.sh" "$1"

model=$root/examples/tiny-mlm
long="$(printf 'word %.0s' {1..600})"
printf 'The capital of France is Paris.\n\nAnd the king said.\r\n' >texts.txt
printf '{"text": "The capital of France is Paris."}\n{"text": ""}\n{"text": "And the king said."}\n' >texts.jsonl

# ---- score
score() { "$engine" score --model "$model" --device cpu "$@"; }
expect_ok stdout $'-13.6797985\t7\t-1.95425693\t7.05867199' score --bits 32 "The capital of France is Paris."
score <texts.txt >from_stdin
expect "a header and a line for every text" [ "$(wc -l <from_stdin)" -eq 4 ]
expect "a text without tokens" [ "$(sed -n 3p from_stdin)" = $'0.0\t0\tnan\tnan' ]
for name in texts.jsonl texts.txt; do
  expect "$name" score --input "$name" --output from_file
  expect "$name: the same lines" cmp from_stdin from_file
done
expect_ok stdout '"token": "##yl"' score --json "The xylophonist."
plain=$(score "The xylophonist.")
expect "later tokens of a word masked: another sum" [ "$plain" != "$(score --within-word-l2r "The xylophonist.")" ]
expect "words of one token: the same sum" \
  [ "$(score "And the king said.")" = "$(score --within-word-l2r "And the king said.")" ]
expect "any batch, the same bits" cmp <(score --json --input texts.jsonl) \
  <(score --json --input texts.jsonl --batch_tokens 0 --threads 1)
expect_error 1 'text 1: the text has 602 tokens; the model has positions for 512' score --output none "$long"
printf 'short\n%s\n' "$long" >long.txt
expect_error 1 'long.txt:2: the text has 602 tokens' score --output none --input long.txt
expect "no output" [ ! -e none ]
expect_ok stderr '1 texts were cut to 512 tokens' score --truncate "short" "$(printf 'word %.0s' {1..511})"
printf '{"text": "a"}\n{"txt": "b"}\n' >bad.jsonl
expect_error 1 'bad.jsonl:2: ' score --output none --input bad.jsonl
printf '{"text": "a", "text_pair": "b"}\n' >pair.jsonl
expect_error 1 'pair.jsonl:1: expected a row with one text' score --output none --input pair.jsonl
expect_error 2 '--input takes no TEXT' score --output none --input texts.txt "text"
expect_error 2 '--batch_tokens: expected an integer' score --batch_tokens -1 "text"
expect_error 1 'none.txt: cannot open' score --input none.txt --output none

# ---- embed
embed() { "$engine" embed --model "$model" --device cpu "$@"; }
expect "a .npy file" embed --input texts.jsonl --output rows.npy
expect "the header says how many" grep -qa "'descr': '<f4', 'fortran_order': False, 'shape': (3, 256), }" rows.npy
expect "header and numbers" [ "$(stat -c %s rows.npy)" -eq $((128 + 3 * 256 * 4)) ]
embed <texts.txt >rows
expect "a .jsonl file" embed --input texts.jsonl --output rows.jsonl
expect "standard input and a file" cmp rows rows.jsonl
embed --output stdin.npy --batch_tokens 0 <texts.txt
expect "rows of one batch or of their own" cmp rows.npy stdin.npy
expect "mean is what is not said" [ "$(embed hello)" = "$(embed --pooling mean hello)" ]
expect "cls is another row" [ "$(embed hello)" != "$(embed --pooling cls hello)" ]
expect "a layer is another row" [ "$(embed hello)" != "$(embed --layer 1 hello)" ]
expect "length 1" [ "$(embed --normalize hello | tr -d '[]' | tr ',' '\n' |
  awk '{ s += $1 * $1 } END { print (s > 0.99999 && s < 1.00001) }')" -eq 1 ]
expect_error 2 '--pooling: expected mean or cls, got "max"' embed --pooling max hello
expect_error 2 '--output: expected a name in .npy or .jsonl, got "rows.bin"' embed --output rows.bin hello
expect_error 1 'layer: expected 0 .. ' embed --layer 99 hello
expect_error 1 'long.txt:2: the text has 602 tokens' embed --input long.txt --output none.npy
expect_ok stderr '1 texts were cut to 512 tokens' embed --input long.txt --output cut.npy --truncate
expect_error 1 'standard input: no text' embed --output none.npy
expect "nothing is left" [ -z "$(find . -maxdepth 1 -name '*none*')" ]

# ---- fill-mask
fill() { "$engine" fill-mask --model "$model" --device cpu --bits 32 "$@"; }
two="The [MASK] of France is [MASK]."
expect_ok stdout '"token_strs": ["king", "england"], "sequence": "the king of france is england."' \
  fill --json --joint left-to-right "$two"
expect_ok stdout '"token_strs": ["capital", "france"]' fill --json --joint confidence --top_k 2 "$two"
expect_ok stdout 'the kingdom of france is england.' fill --joint beam --beams 50 "$two"
expect_ok stdout 'x ##yl ##oph ##on ##ist' fill --whole_targets --targets paris,xylophonist "The capital is [MASK]."
printf '{"text": "%s", "top_k": 2}\n{"text": "It is [MASK]."}\n' "$two" >requests.jsonl
expect_ok stderr '2 answers' fill --joint beam --input requests.jsonl --output answers
expect "a file's answers are those of single texts" \
  [ "$(head -n 1 answers)" = "$(fill --joint beam --top_k 2 --json "$two")" ]
printf '{"text": "It is [MASK].", "targets": ["xylophonist", "king"]}\n' >targets.jsonl
expect_ok stderr '1 answers' fill --whole_targets --input targets.jsonl --output answers
expect "the best first" grep -q '^\[{[^}]*"king"[^}]*}, {[^}]*"##yl"' answers
expect_error 1 'requests.jsonl:1: the request has no targets' \
  fill --whole_targets --input requests.jsonl --output none
expect_error 2 '--joint: expected left-to-right, confidence or beam, got "all"' fill --joint all "$two"
expect_error 2 '--beams is for --joint beam' fill --joint confidence --beams 5 "$two"
expect_error 2 '--beams: expected at least --top_k' fill --joint beam --beams 3 "$two"
expect_error 2 '--joint takes no --whole_targets' fill --joint beam --whole_targets --targets a "$two"
expect_error 2 '--whole_targets needs --targets' fill --whole_targets "$two"
expect_error 1 'No mask_token' fill --joint beam "no mask"
finish
