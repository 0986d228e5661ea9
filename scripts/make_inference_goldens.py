#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors
"""Writes tests/golden/inference.json: what transformers and peft make of the tiny models of
tests/golden/bert and tests/golden/families, one sequence at a time and by the definitions alone:
pseudo-log-likelihoods, embeddings, masks filled jointly, words of several tokens.
tests/golden/README.md says what it holds.

    make_inference_goldens.py tests/golden                write it
    make_inference_goldens.py tests/golden --check        make it again and compare
"""

import argparse
import json
import pathlib
import sys

import numpy as np
import peft
import tokenizers
import torch
import transformers

TEXTS = {"bert": ["The king of the land said unto them.", "Light!", "and thy people israel"],
         "": ["the king of b the land", "sea", "day and night of the people z q house heaven earth"]}
MASKED = {"bert": "the [MASK] of [MASK] and [MASK].", "": "the <mask> of <mask> and <mask>"}
WORDS = {"bert": ["king", "people and", "israel"], "": ["king", "people and", "sea water z"]}
TOP_K, BEAMS = 3, 7


def load(folder, adapter):
    model = transformers.AutoModelForMaskedLM.from_pretrained(
        folder / "model", attn_implementation="eager", dtype=torch.float32)
    if adapter:
        model = peft.PeftModel.from_pretrained(model, folder / "adapter")
    return model.eval()


def rounded(values):
    return [float(f"{v:.7g}") for v in np.asarray(values, dtype=np.float64).ravel()]


class Reference:
    def __init__(self, folder, adapter):
        self.model = load(folder, adapter)
        self.tokenizer = tokenizers.Tokenizer.from_file(str(folder / "model/tokenizer.json"))
        mask = json.loads((folder / "model/tokenizer_config.json").read_text())["mask_token"]
        self.mask = self.tokenizer.token_to_id(mask if isinstance(mask, str) else mask["content"])

    @torch.no_grad()
    def log_probabilities(self, ids):
        """(tokens, vocabulary)"""
        return torch.log_softmax(self.model(input_ids=torch.tensor([ids])).logits[0], -1).double()

    def score(self, text, within_word):
        """log p of each token that is not special, it alone masked, or with the later tokens of
        its word."""
        encoding = self.tokenizer.encode(text)
        found = []
        for i, token in enumerate(encoding.ids):
            if encoding.special_tokens_mask[i]:
                continue
            masked = list(encoding.ids)
            for j in range(i, len(masked)):
                if j == i or within_word and encoding.word_ids[j] == encoding.word_ids[i]:
                    masked[j] = self.mask
            found.append(float(self.log_probabilities(masked)[i, token]))
        return found

    @torch.no_grad()
    def embeddings(self, text):
        """mean and cls of every layer's hidden states; the last as the encoder returns it."""
        ids = torch.tensor([self.tokenizer.encode(text).ids])
        model = self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model
        out = model.base_model(input_ids=ids, attention_mask=torch.ones_like(ids),
                               output_hidden_states=True)
        states = {"0.cls": out.hidden_states[0], "1.mean": out.hidden_states[1],
                  "last.mean": out.last_hidden_state, "last.cls": out.last_hidden_state}
        return {name: rounded(h[0].mean(0) if name.endswith("mean") else h[0, 0])
                for name, h in states.items()}

    def fill_jointly(self, text, order):
        """[[tokens by mask, log p]]; one hypothesis at a time."""
        start = self.tokenizer.encode(text).ids
        places = [i for i, token in enumerate(start) if token == self.mask]
        ways = [(0.0, start, places)]
        for step in range(len(places)):
            extended = []
            for log_p, ids, left in ways:
                rows = self.log_probabilities(ids)
                at = max(left, key=lambda i: float(rows[i].max())) if order == "confidence" else left[0]
                n = BEAMS if order == "beam" else TOP_K if step == 0 else 1
                for p, token in zip(*torch.topk(rows[at], n)):
                    extended.append((log_p + float(p), ids[:at] + [int(token)] + ids[at + 1:],
                                     [i for i in left if i != at]))
            ways = sorted(extended, key=lambda way: -way[0])
            ways = ways[:BEAMS if order == "beam" else TOP_K]
        return [{"tokens": [ids[i] for i in places], "log_probability": log_p}
                for log_p, ids, _ in ways[:TOP_K]]

    def fill_with(self, text, word):
        """Per mask, the word's tokens from left to right, masks for those to come."""
        start = self.tokenizer.encode(text).ids
        tokens = self.tokenizer.encode(word, add_special_tokens=False).ids
        sums = []
        for at in [i for i, token in enumerate(start) if token == self.mask]:
            log_p = 0.0
            for n, token in enumerate(tokens):
                ids = start[:at] + tokens[:n] + [self.mask] * (len(tokens) - n) + start[at + 1:]
                log_p += float(self.log_probabilities(ids)[at + n, token])
            sums.append(log_p)
        return {"tokens": tokens, "log_probabilities": sums}


def of_folder(folder, kind):
    found = {}
    for adapter in (False, True):
        reference = Reference(folder, adapter)
        texts = TEXTS.get(kind, TEXTS[""])
        of_kind = found["adapter" if adapter else "base"] = {
            "scores": [rounded(reference.score(text, False)) for text in texts],
            "embeddings": reference.embeddings(texts[0])}
        if adapter:
            of_kind["embeddings"] = {"last.mean": of_kind["embeddings"]["last.mean"]}
        if kind == "bert":
            of_kind["within_word"] = [rounded(reference.score(text, True)) for text in texts]
        if adapter:
            continue
        masked = MASKED.get(kind, MASKED[""])
        of_kind["joint"] = {order: reference.fill_jointly(masked, order)
                            for order in ("left-to-right", "confidence", "beam")}
        of_kind["words"] = [reference.fill_with(masked, word)
                            for word in WORDS.get(kind, WORDS[""])]
    return found


def make(root):
    folders = {f.name: f for f in sorted((root / "families").iterdir())}
    folders["bert"] = root / "bert"  # with a tokenizer of words of several tokens
    return {"made_with": {m.__name__: m.__version__ for m in (torch, transformers, peft)},
            "texts": TEXTS, "masked": MASKED, "words": WORDS, "top_k": TOP_K, "beams": BEAMS,
            "models": {name: of_folder(folder, name) for name, folder in folders.items()}}


def largest_difference(a, b):
    if isinstance(a, dict):
        return max((largest_difference(a[k], b[k]) for k in a), default=0.0)
    if isinstance(a, list):
        return max((largest_difference(x, y) for x, y in zip(a, b, strict=True)), default=0.0)
    return abs(a - b) if isinstance(a, float) else 0.0 if a == b else float("inf")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=pathlib.Path)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    options = parser.parse_args()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    found = make(options.root)
    path = options.root / "inference.json"
    if options.check:
        worst = largest_difference(json.loads(path.read_text())["models"], found["models"])
        print(f"largest difference {worst:.3g}")
        sys.exit(worst > 1e-4)
    path.write_text(json.dumps(found, sort_keys=True).replace('"base": {', '\n"base": {')
                    .replace('"adapter": {', '\n"adapter": {') + "\n")


if __name__ == "__main__":
    main()
