#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors
"""Compares embed and score on a real model folder with transformers, in fp32 on the CPU.

    compare_texts.py PROGRAM FOLDER [--texts FILE] [--n 30] [--no_head]

The first N lines that are short enough, given to both:
  embed   largest |difference| of a component, relative to the length of the vector: mean over the
          attention mask (a padded batch there, a packed one here), first token, and layer 1's mean
  score   largest difference of a token's log-probability when it is masked
Exit status 1 when embed differs by more than 1e-4 or score by more than 1e-3. A folder without a
masked-LM head (--no_head) is compared by embed alone.

pip packages: numpy torch transformers.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch
import transformers

import torch_reference as ref


def run(program, command, folder, path, *more):
    done = subprocess.run([program, command, "--device", "cpu", "--bits", "32", "--model",
                           str(folder), "--input", str(path), *more],
                          check=True, capture_output=True, text=True)
    return done.stdout


def relative(found, expected):
    return float((np.abs(found - expected).max(1) / np.linalg.norm(expected, axis=1)).max())


@torch.no_grad()
def compare_embed(options, texts, path, tokenizer):
    model = transformers.AutoModel.from_pretrained(options.folder,
                                                   attn_implementation="eager").float().eval()
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    out = model(**batch, output_hidden_states=True)
    weight = batch["attention_mask"].unsqueeze(-1).float()

    def mean(hidden):
        return ((hidden * weight).sum(1) / weight.sum(1)).numpy()

    def embed(*more):
        target = path.with_suffix(".npy")
        run(options.program, "embed", options.folder, path, "--output", str(target), *more)
        return np.load(target)

    last = out.last_hidden_state
    unit = torch.nn.functional.normalize(torch.from_numpy(mean(last))).numpy()
    return max(relative(embed(), mean(last)),
               relative(embed("--pooling", "cls"), last[:, 0].numpy()),
               relative(embed("--layer", "1"), mean(out.hidden_states[1])),
               relative(embed("--normalize"), unit))


@torch.no_grad()
def compare_score(options, texts, path, tokenizer):
    model = transformers.AutoModelForMaskedLM.from_pretrained(
        options.folder, attn_implementation="eager").float().eval()
    lines = run(options.program, "score", options.folder, path, "--json").splitlines()
    worst = 0.0
    for text, line in zip(texts, lines, strict=True):
        encoding = tokenizer(text, return_tensors="pt", return_special_tokens_mask=True)
        ids = encoding["input_ids"][0]
        places = (encoding["special_tokens_mask"][0] == 0).nonzero()[:, 0]
        rows = ids.repeat(len(places), 1)
        rows[torch.arange(len(places)), places] = tokenizer.mask_token_id
        logits = model(input_ids=rows).logits[torch.arange(len(places)), places]
        expected = torch.log_softmax(logits.double(), -1)[torch.arange(len(places)), ids[places]]
        found = json.loads(line)["tokens"]
        assert [t["id"] for t in found] == ids[places].tolist()
        found = torch.tensor([t["log_probability"] for t in found], dtype=torch.float64)
        worst = max(worst, float((found - expected).abs().max()))
    return worst


def main():
    parser = ref.comparison_parser(__doc__, 30)
    parser.add_argument("--no_head", action="store_true", help="the folder has none: embed alone")
    options = parser.parse_args()
    tokenizer = ref.load_tokenizer(options.folder)
    lines = [line.strip() for line in options.texts.read_text(encoding="utf-8").splitlines()]
    texts = [line for line in lines if line and len(tokenizer(line)["input_ids"]) < 100][:options.n]
    with tempfile.TemporaryDirectory() as work:
        path = pathlib.Path(work) / "texts.txt"
        path.write_text("\n".join(texts) + "\n", encoding="utf-8")
        embed = compare_embed(options, texts, path, tokenizer)
        score = 0.0 if options.no_head else compare_score(options, texts, path, tokenizer)
    print(f"{options.folder}: {len(texts)} texts: embed {embed:.2e}, score {score:.2e}")
    sys.exit(embed > 1e-4 or score > 1e-3)


if __name__ == "__main__":
    main()
