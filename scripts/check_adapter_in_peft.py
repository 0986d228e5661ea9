#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors
"""Loads an adapter folder in peft, refuses missing or unexpected tensors, and fills [MASK]s.

    check_adapter_in_peft.py BASE_DIR ADAPTER_DIR [TEXT ...] [--golden OUT.json]
    check_adapter_in_peft.py BASE_DIR ADAPTER_DIR --compare LOGITS.json
    check_adapter_in_peft.py BASE_DIR ADAPTER_DIR TEXT ... --fill-mask ANSWERS.json

LOGITS.json, as written by --golden or by the engine: a list of {"input_ids", "mask_position",
"top_ids", "top_logits"}; the logits are compared at those ids. ANSWERS.json: what
`qlora-engine fill-mask --json --model BASE_DIR --adapter ADAPTER_DIR TEXT ...` printed for the
same texts (one [MASK] each): one list of {"score", "token", ...} per text, as one JSON array or
as lines. Exit status 1: a key or a number differs.

pip packages: torch transformers peft safetensors (and bitsandbytes for --four-bit).
"""

import argparse
import json
import os
import pathlib
import sys
import warnings

os.environ["HF_HUB_OFFLINE"] = "1"

import peft
import torch
from safetensors import safe_open
from transformers import AutoModelForMaskedLM, AutoTokenizer, logging

import torch_reference as ref

TEXTS = ["And the LORD spake {} Moses, saying,", "The capital of France is {}.",
         "She opened the {} and walked into the room."]


def load_base(folder, four_bit):
    model = AutoModelForMaskedLM.from_pretrained(folder, dtype=torch.float32,
                                                 attn_implementation="eager").eval()
    return ref.round_trip_4bit(model) if four_bit else model


def load_checked(base, folder):
    """The PeftModel, after checking that the file's tensors are exactly the ones it wants."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = peft.PeftModel.from_pretrained(base, folder).eval()
    complaints = [str(w.message) for w in caught if "adapter" in str(w.message).lower()
                  or "PeftConfig" in str(w.message) or "LoraConfig" in str(w.message)]
    wanted = peft.get_peft_model_state_dict(model)
    with safe_open(pathlib.Path(folder) / "adapter_model.safetensors", "pt") as file:
        found = {name: file.get_tensor(name) for name in file.keys()}
        if (file.metadata() or {}).get("format") != "pt":
            complaints.append(f'safetensors metadata is {file.metadata()}, not {{"format": "pt"}}')
    complaints += [f"missing tensor {name}" for name in sorted(wanted.keys() - found.keys())]
    complaints += [f"unexpected tensor {name}" for name in sorted(found.keys() - wanted.keys())]
    for name in sorted(wanted.keys() & found.keys()):
        a, b = found[name], wanted[name]
        if a.dtype != torch.float32 or a.shape != b.shape:
            complaints.append(f"{name}: {a.dtype} {list(a.shape)}, not float32 {list(b.shape)}")
        elif not torch.equal(a, b):
            complaints.append(f"{name}: loaded values differ from the file's")
    return model, len(found), complaints


def check_auto_class(folder, expected_logits, input_ids):
    """AutoPeftModel finds the base by the adapter's own settings; skipped if it is not there."""
    config = peft.PeftConfig.from_pretrained(folder)
    if not os.path.isdir(config.base_model_name_or_path or ""):
        return f"AutoPeftModel: skipped, no folder {config.base_model_name_or_path!r} from here"
    model = peft.AutoPeftModel.from_pretrained(folder, dtype=torch.float32,
                                               attn_implementation="eager").eval()
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([input_ids])).logits[0]
    drift = float((logits - expected_logits).abs().max())
    name = type(model.base_model.model).__name__
    return f"AutoPeftModel: {name}, largest logit drift {drift:.2g}"


@torch.no_grad()
def logits_of(model, input_ids):
    return model(input_ids=torch.tensor([input_ids])).logits[0]


def golden_entries(model, tokenizer, texts):
    entries = []
    for text in texts:
        ids = tokenizer(text)["input_ids"]
        for position in [i for i, token in enumerate(ids) if token == tokenizer.mask_token_id]:
            row = logits_of(model, ids)[position]
            top = row.topk(min(20, len(row)))
            entries.append({
                "text": text, "input_ids": ids, "mask_position": position,
                "top_ids": top.indices.tolist(), "top_logits": top.values.tolist(),
                "mean": row.mean().item(), "std_population": row.std(correction=0).item()})
            words = tokenizer.convert_ids_to_tokens(top.indices[:5].tolist())
            probabilities = row.softmax(-1)[top.indices[:5]].tolist()
            print(text, " ".join(f"{w}({p:.3f})" for w, p in zip(words, probabilities)))
    return entries


def read_json(path):
    text = pathlib.Path(path).read_text()
    try:
        return json.loads(text)
    except json.JSONDecodeError:  # JSON lines
        return [json.loads(line) for line in text.splitlines() if line.strip()]


def compare_logits(model, entries):
    worst = 0.0
    for entry in entries:
        row = logits_of(model, entry["input_ids"])[entry["mask_position"]]
        theirs = torch.tensor(entry["top_logits"])
        worst = max(worst, float((row[entry["top_ids"]] - theirs).abs().max()))
        better = int((row > row[entry["top_ids"]].min() + 1e-3).sum()) - len(entry["top_ids"])
        if better >= 0:
            print(f"{entry['input_ids']}: {better + 1} ids that belong to the top are not listed")
            worst = float("inf")
    return worst


def compare_scores(model, tokenizer, texts, answers):
    if answers and isinstance(answers[0], dict):
        answers = [answers]
    if len(answers) != len(texts):
        sys.exit(f"{len(answers)} answers for {len(texts)} texts")
    worst = 0.0
    for text, candidates in zip(texts, answers):
        ids = tokenizer(text)["input_ids"]
        scores = logits_of(model, ids)[ids.index(tokenizer.mask_token_id)].softmax(-1)
        worst = max([worst] + [abs(scores[c["token"]].item() - c["score"]) for c in candidates])
    return worst


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base")
    parser.add_argument("adapter")
    parser.add_argument("texts", nargs="*", help="with mask tokens; default: three sentences")
    parser.add_argument("--golden", help="write the logits at the masks to this file")
    parser.add_argument("--compare", help="LOGITS.json")
    parser.add_argument("--fill-mask", help="ANSWERS.json")
    parser.add_argument("--four-bit", action="store_true",
                        help="round-trip the base's encoder Linears through NF4 first")
    parser.add_argument("--tolerance", type=float, default=1e-4)
    options = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()

    tokenizer = AutoTokenizer.from_pretrained(options.base)
    texts = options.texts or [text.format(tokenizer.mask_token) for text in TEXTS]
    base = load_base(options.base, options.four_bit)
    model, n_tensors, complaints = load_checked(base, options.adapter)
    for complaint in complaints:
        print(complaint)
    print(f"{n_tensors} tensors, {len(complaints)} complaints")
    failed = bool(complaints)

    entries = golden_entries(model, tokenizer, texts)
    if not options.four_bit:
        first = entries[0]["input_ids"]
        print(check_auto_class(options.adapter, logits_of(model, first), first))
    if options.golden:
        pathlib.Path(options.golden).write_text(json.dumps(entries, indent=1) + "\n")
    for name, worst in [
            ("logit", options.compare and compare_logits(model, read_json(options.compare))),
            ("score", options.fill_mask and compare_scores(model, tokenizer, texts,
                                                           read_json(options.fill_mask)))]:
        if worst is not None:
            print(f"largest {name} difference {worst:.3g} (allowed {options.tolerance})")
            failed |= not worst <= options.tolerance
    sys.exit(failed)


if __name__ == "__main__":
    main()
