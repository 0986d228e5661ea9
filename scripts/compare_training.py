#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors
"""Trains with peft on the very batches the engine trained on, and prints both losses per step.

    compare_training.py BASE_DIR INITIAL_ADAPTER_DIR DUMP.jsonl CONFIG.json METRICS.jsonl
        [--set key=value ...] [--final-adapter DIR] [--codes FOLDER] [--float64]

DUMP.jsonl is what `qlora-engine train --dump_batches FILE` writes, one micro-batch a line:
{"step", "micro_step", "sample_ids": [..], "input_ids": [[..]], "token_type_ids": [[..]],
"labels": [[..]]}, rows of any lengths, masks applied, -100 = no label. CONFIG.json is the run's
own (flat keys, missing ones have run_mlm.py's and qlora.py's defaults; --set replaces one).
METRICS.jsonl has {"step", "loss", ...} lines; with logging_steps > 1 a line is the mean since the
one before. Everything here is fp32 (or --float64) on the CPU without dropout; bits 4 is the
bitsandbytes round trip of the encoder Linears. Exit status 1: losses differ by more than
--tolerance.

pip packages: torch transformers peft safetensors, and bitsandbytes when bits is 4.
"""

import argparse
import json
import math
import os
import pathlib
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

import peft
import torch
from safetensors.torch import load_file
from transformers import AutoModelForMaskedLM, logging

import torch_reference as ref

DEFAULTS = {"learning_rate": 5e-5, "weight_decay": 0.0, "adam_beta1": 0.9, "adam_beta2": 0.999,
            "adam_epsilon": 1e-8, "max_grad_norm": 1.0, "lr_scheduler_type": "linear",
            "warmup_steps": 0, "warmup_ratio": 0, "max_steps": -1, "optim": "adamw_torch",
            "bits": 4, "quant_type": "nf4", "double_quant": True, "quant_block_size": 64,
            "lora_dropout": 0.0, "lr_scheduler_kwargs": {}, "label_smoothing_factor": 0.0,
            "loss_norm": "token", "neftune_noise_alpha": 0.0}
RULES = {"adamw_torch": "torch", "adamw_torch_fused": "torch", "adamw_bnb_32bit": "bnb",
         "adamw_32bit": "bnb", "paged_adamw_32bit": "bnb", "paged_adamw": "bnb",
         "adamw_bnb_8bit": "bnb8", "adamw_8bit": "bnb8", "paged_adamw_8bit": "bnb8"}


def read_settings(path, replacements):
    config = json.loads(pathlib.Path(path).read_text())
    for text in replacements:
        key, value = text.split("=", 1)
        try:
            config[key] = json.loads(value)
        except json.JSONDecodeError:
            config[key] = value
    if "preset" in config:
        sys.exit("a preset is not expanded here: write its keys out, or give them with --set")
    settings = {key: config.get(key, default) for key, default in DEFAULTS.items()}
    if settings["optim"] not in RULES:
        sys.exit(f"optim {settings['optim']!r} is not one of {', '.join(RULES)}")
    if settings["max_steps"] <= 0:
        sys.exit("the schedule needs the number of updates of the whole run: --set max_steps=N")
    if settings["lora_dropout"] or settings["neftune_noise_alpha"]:
        sys.exit("dropout and noise cannot be compared: train without them")
    return settings


def read_dump(path):
    """Updates in file order: [[padded micro-batch, ...], ...], keyed by 1-based step."""
    updates = {}
    for line in pathlib.Path(path).read_text().splitlines():
        record = json.loads(line)
        keys = [key for key in ("input_ids", "token_type_ids", "labels") if record.get(key)]
        rows = [dict(zip(keys, values)) for values in zip(*(record[key] for key in keys))]
        updates.setdefault(record["step"], []).append(ref.pad_rows(rows))
    shift = 1 if 0 in updates else 0
    return {step + shift: batches for step, batches in updates.items()}


def read_metrics(path):
    records = [json.loads(line) for line in pathlib.Path(path).read_text().splitlines() if line]
    return [r for r in records if "loss" in r and "step" in r]


def load_model(base, adapter, settings, codes):
    model = AutoModelForMaskedLM.from_pretrained(base, dtype=torch.float32,
                                                 attn_implementation="eager")
    if codes:
        ref.decode_4bit(model, codes)
    elif settings["bits"] == 4:
        ref.round_trip_4bit(model, settings["quant_type"], settings["double_quant"],
                            settings["quant_block_size"])
    return peft.PeftModel.from_pretrained(model, adapter, is_trainable=True).eval()


def train(model, updates, settings):
    total = settings["max_steps"]
    warmup = settings["warmup_steps"] or settings["warmup_ratio"]
    yield from ref.train(
        model, updates, rule=RULES[settings["optim"]], lr=settings["learning_rate"],
        betas=(settings["adam_beta1"], settings["adam_beta2"]), eps=settings["adam_epsilon"],
        weight_decay=settings["weight_decay"], scheduler=settings["lr_scheduler_type"],
        warmup_steps=math.ceil(total * warmup) if warmup < 1 else int(warmup), total_steps=total,
        max_grad_norm=settings["max_grad_norm"],
        scheduler_kwargs=settings["lr_scheduler_kwargs"],
        label_smoothing=settings["label_smoothing_factor"],
        mean_of_means=settings["loss_norm"] == "microbatch")


def print_table(theirs, ours):
    """theirs: step -> record of the reference; ours: metrics records. Largest relative gap, and the
    last step that was compared."""
    worst, before = 0.0, min(theirs) - 1
    print(f"{'step':>6} {'torch':>12} {'engine':>12} {'relative':>10}   grad norms")
    for record in ours:
        span = [theirs[s] for s in range(before + 1, record["step"] + 1) if s in theirs]
        if len(span) != record["step"] - before:
            break  # the dump ends here
        before = record["step"]
        loss = sum(r["loss"] for r in span) / len(span)
        gap = abs(record["loss"] - loss) / abs(loss)
        worst = max(worst, gap)
        norms = f"{span[-1]['grad_norm']:.6g} {record.get('grad_norm', float('nan')):.6g}"
        print(f"{record['step']:6} {loss:12.6f} {record['loss']:12.6f} {gap:10.2e}   {norms}")
    if before < min(theirs):
        sys.exit("no step is in both the dump and the metrics")
    return worst, before


def compare_adapters(model, folder):
    tensors = load_file(pathlib.Path(folder) / "adapter_model.safetensors")
    mine = {name: p.detach() for name, p in ref.lora_parameters(model)}
    if tensors.keys() != mine.keys():
        sys.exit(f"tensors differ: {sorted(tensors.keys() ^ mine.keys())}")
    gap = max(float((tensors[name] - mine[name]).abs().max()) for name in mine)
    largest = max(float(p.abs().max()) for p in mine.values())
    print(f"final adapter: largest difference {gap:.3g} (largest value {largest:.3g})")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("base", "initial_adapter", "dump", "config", "metrics"):
        parser.add_argument(name)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--final-adapter", help="compare A and B after the dump's last step")
    parser.add_argument("--codes", metavar="FOLDER",
                        help="4-bit weights of this folder, by `qlora-engine quantize`")
    parser.add_argument("--float64", action="store_true",
                        help="train the reference in float64: what differs is the engine's rounding")
    parser.add_argument("--tolerance", type=float, default=1e-4)
    options = parser.parse_args()
    logging.disable_progress_bar()

    settings = read_settings(options.config, options.set)
    updates = read_dump(options.dump)
    model = load_model(options.base, options.initial_adapter, settings, options.codes)
    if options.float64:
        model.double()
    theirs = dict(zip(updates, list(train(model, list(updates.values()), settings))))
    worst, last = print_table(theirs, read_metrics(options.metrics))
    print(f"updates {min(theirs)} to {last}: largest relative difference {worst:.3g} "
          f"(allowed {options.tolerance})")
    if options.final_adapter:
        compare_adapters(model, options.final_adapter)
    sys.exit(not worst <= options.tolerance)


if __name__ == "__main__":
    main()
