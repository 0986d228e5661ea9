#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors
"""Loads folders that `quantize` and `merge` wrote in transformers and compares fill-mask answers.

    check_converted_in_transformers.py PROGRAM MODEL_DIR [ADAPTER_DIR] [--text TEXT ...]

Quantizes MODEL_DIR in every variant (code, double quantization, storage type) and merges
ADAPTER_DIR onto each target, into a temporary folder; loads each result in transformers (4-bit ones
through bitsandbytes, all in fp32 on the CPU) and compares the probabilities at the masks with what
the program answers for the same folder. Exit status 1: a folder does not load, has missing or
unexpected tensors, or a probability differs by more than --tolerance.

pip packages: torch transformers bitsandbytes accelerate.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from bitsandbytes.nn import Linear4bit, Params4bit
from transformers import AutoModelForMaskedLM, AutoTokenizer, logging

from torch_reference import dequantize_4bit

logging.set_verbosity_error()


def answers(program, folder, texts):
    out = subprocess.run([program, "fill-mask", "--json", "--device", "cpu", "--model", folder,
                          "--bits", "4" if quantized(folder) else "32", *texts],
                         check=True, capture_output=True, text=True).stdout
    return [json.loads(line) for line in out.splitlines()]


def quantized(folder):
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
        return "quantization_config" in json.load(file)


def decode_linears(model):
    """Linear4bit to Linear: bitsandbytes' own product rounds to 16 bits on some CPUs."""
    n_linears = 0
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, Linear4bit):
                weight = dequantize_4bit(child.weight.data, child.weight.quant_state)
                linear = torch.nn.Linear(weight.shape[1], weight.shape[0])
                linear.weight.data, linear.bias.data = weight.float(), child.bias.data.float()
                setattr(parent, name, linear)
                n_linears += 1
    return n_linears


def difference(program, folder, texts):
    model, info = AutoModelForMaskedLM.from_pretrained(folder, dtype=torch.float32,
                                                       output_loading_info=True)
    if info["missing_keys"] or info["unexpected_keys"]:
        raise SystemExit(f"{folder}: missing {info['missing_keys']}, "
                         f"unexpected {info['unexpected_keys']}")
    for parameter in model.parameters():  # what stayed in fp16; codes may have that type, too
        if parameter.dtype == torch.float16 and not isinstance(parameter, Params4bit):
            parameter.data = parameter.data.float()
    n_linears = decode_linears(model)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    worst = 0.0
    for text, ours in zip(texts, answers(program, folder, texts)):
        encoded = tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            logits = model(**encoded).logits[0].float()
        mask = (encoded["input_ids"][0] == tokenizer.mask_token_id).nonzero()[0, 0]
        scores = logits[mask].softmax(-1)
        worst = max([worst] + [abs(scores[a["token"]].item() - a["score"]) for a in ours])
    return worst, n_linears


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program")
    parser.add_argument("model")
    parser.add_argument("adapter", nargs="?")
    parser.add_argument("--text", action="append")
    parser.add_argument("--tolerance", type=float, default=1e-5)
    args = parser.parse_args()
    texts = args.text or ["The capital of France is [MASK].", "She opened the [MASK] and left."]
    runs = []
    storages = ("uint8", "int8", "float16", "bfloat16", "float32", "float64")
    for kind, double, storage in itertools.product(("nf4", "fp4"), ("true", "false"), storages):
        runs.append(["quantize", "--quant_type", kind, "--double_quant", double,
                     "--storage", storage])
    runs.append(["quantize", "--quantize-head"])
    for onto in ("trained", "original", "4bit") if args.adapter else ():
        runs.append(["merge", "--onto", onto, args.adapter])
    failed = False
    with tempfile.TemporaryDirectory() as scratch:
        for i, words in enumerate(runs):
            folder = os.path.join(scratch, str(i))
            subprocess.run([args.program, *words, "--model", args.model, "--output", folder],
                           check=True, stdout=subprocess.DEVNULL)
            worst, n_linears = difference(args.program, folder, texts)
            failed |= not worst <= args.tolerance
            print(f"{worst:.2e}  {n_linears:3} in 4 bits  {' '.join(words)}", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
