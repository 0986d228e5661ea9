#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors
"""Compares fill-mask on a real model folder with transformers, in fp32 on the CPU.

    compare_fill_mask.py PROGRAM FOLDER [--texts FILE] [--n 50] [--seed 1]

Masks about every seventh token of the first N lines, gives the texts with their mask tokens to both,
and compares for every mask the probabilities of the whole vocabulary:
  log p   largest absolute difference of log-probabilities, over tokens of at least 1e-6
  logits  the same over all tokens: what differs between logits, up to one number for each mask
  top 5   masks whose five best tokens are the same, in the same order; ones that differ only where
          two of the reference's probabilities are within 1e-5 of each other count as the same
The tokenizer is the folder's, in both. Exit status 1 when logits differ by more than 1e-3 or a top 5
differs.

pip packages: torch transformers.
"""

import json
import math
import random
import subprocess
import sys
import tempfile

import torch
import transformers

import torch_reference as ref


def masked(text, tokenizer, rng, max_length):
    """The text with some of its tokens replaced by masks; "" when it is too short or too long."""
    encoding = tokenizer(text, return_offsets_mapping=True)
    spans = [(a, b) for a, b in encoding["offset_mapping"] if a < b]
    if len(spans) < 2 or len(encoding["input_ids"]) > max_length:
        return ""
    chosen = sorted(rng.sample(spans, max(1, len(spans) // 7)))
    out, end = "", 0
    for begin, stop in chosen:
        if begin < end:
            continue
        out += text[end:begin] + tokenizer.mask_token
        end = stop
    return out + text[end:]


def reference(texts, model, tokenizer):
    """For every text the log-probabilities (masks, V) at its masks."""
    rows = []
    for text in texts:
        batch = tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            logits = model(**batch).logits[0]
        rows.append(torch.log_softmax(
            logits[batch["input_ids"][0] == tokenizer.mask_token_id].double(), -1))
    return rows


def ours(program, folder, texts, n_tokens):
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.write("\n".join(texts) + "\n")
        file.flush()
        out = subprocess.run(
            [program, "fill-mask", "--json", "--device", "cpu", "--bits", "32", "--top_k",
             str(n_tokens), "--model", str(folder)],
            stdin=open(file.name, encoding="utf-8"), check=True, capture_output=True, text=True)
    rows = []
    for line in out.stdout.splitlines():
        answers = json.loads(line)
        if answers and isinstance(answers[0], dict):
            answers = [answers]
        table = torch.full((len(answers), n_tokens), -math.inf, dtype=torch.float64)
        for i, mask in enumerate(answers):
            for answer in mask:
                table[i, answer["token"]] = math.log(max(answer["score"], 1e-300))
        rows.append(table)
    return rows


def same_best(a, b):
    """a: reference."""
    best = torch.topk(a, 6).indices.tolist()
    found = torch.topk(b, 5).indices.tolist()
    return all(x == y or abs(math.exp(a[x]) - math.exp(a[y])) < 1e-5 for x, y in zip(best, found))


def main():
    parser = ref.comparison_parser(__doc__, 50)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    tokenizer = ref.load_tokenizer(options.folder)
    model = transformers.AutoModelForMaskedLM.from_pretrained(
        options.folder, attn_implementation="eager").float().eval()
    rng = random.Random(options.seed)
    texts = []
    for line in options.texts.read_text(encoding="utf-8").splitlines():
        text = masked(line.strip(), tokenizer, rng, 500)
        if text and "\n" not in text:
            texts.append(text)
        if len(texts) == options.n:
            break
    expected = reference(texts, model, tokenizer)
    found = ours(options.program, options.folder, texts, expected[0].shape[1])
    assert len(expected) == len(found) and all(a.shape == b.shape for a, b in zip(expected, found))
    a, b = torch.cat(expected), torch.cat(found)
    difference = (a - b).abs()
    difference[a < math.log(1e-290)] = 0  # beneath what is printed
    likely = difference[a > math.log(1e-6)].max().item()
    same = sum(same_best(x, y) for x, y in zip(a, b))
    print(f"{options.folder}: {len(texts)} texts, {len(a)} masks: log p {likely:.2e}, "
          f"logits {difference.max().item():.2e}, top 5 {same} of {len(a)}")
    sys.exit(difference.max().item() > 1e-3 or same < len(a))


if __name__ == "__main__":
    main()
