#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors
"""Writes tests/golden/tokenizer_real.json: digests of what the Hugging Face libraries answer with
real tokenizers, whose files are not in this repository.

Requests are in the form of `qlora-engine tokenize --jsonl`. A digest is the first 8 hexadecimal
digits of the SHA-256 of the answer as `digest` writes it, or "refused" where the library refuses
the truncation. "files" has what stands beside the vocabulary when the same tokenizer is loaded
without tokenizer.json; "id_digests" those of ESM's tokenizer in Python, of the ids only, null where
the request truncates (Python's rules differ from the library's).

Usage: python3 scripts/make_real_tokenizer_goldens.py FOLDER
FOLDER holds a folder for each tokenizer. Needs the Python packages `tokenizers`, `transformers`.
"""
import hashlib
import json
import pathlib
import random
import shutil
import sys
import tempfile

from compare_tokenizers import SPECIALS, generated_line, glued_line, load_reference
from make_tokenizer_goldens import ROOT, write

ADDED = SPECIALS + ["<mask>", "<s>", "</s>", "<pad>", "<unk>", "<cls>", "<eos>", "<null_1>",
                    "|||IP_ADDRESS|||", "    "]  # fmt: skip
# Beside the vocabulary files; {}: as they are, none: there are no such files.
CONFIGS = {
    "albert-base-v2": {},
    "bert-base-cased": {"tokenizer_class": "BertTokenizer", "do_lower_case": False},
    "bert-base-multilingual-cased": {"tokenizer_class": "BertTokenizer", "do_lower_case": False},
    "bert-base-uncased": {},
    "camembert-base": {"tokenizer_class": "CamembertTokenizer"},
    "distilbert-base-uncased": {},
    "esm2_t6_8M_UR50D": {"tokenizer_class": "EsmTokenizer"},
    "modernbert-base": None,
    "roberta-base": {},
    "xlm-roberta-base": {},
}


def requests():
    rng = random.Random(11)
    kjv = (ROOT / "examples/kjv/valid.txt").read_text().splitlines()
    words = sorted({w for line in kjv[:500] for w in line.split()}) + ["Straße", "naïve", "LAGVS"]
    texts = kjv[::150] + [generated_line(rng, words, ADDED)[:120] for _ in range(110)]
    texts += [glued_line(rng, words, ADDED)[:120] for _ in range(60)]
    for text in texts:
        request = {"text": text}
        if rng.random() < 0.3:
            request["pair"] = rng.choice(texts)
        if rng.random() < 0.3:
            request["max_length"] = rng.randint(5, 30)
            request["truncation_side"] = rng.choice(["right", "left"])
            strategies = ["longest_first", "only_first", "only_second"]
            request["truncation"] = rng.choice(strategies if "pair" in request else strategies[:2])
        if rng.random() < 0.15:
            request["add_special_tokens"] = False
        yield request


def sha(lines):
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:8]


def numbers(values):
    return " ".join(str(-1 if value is None else value) for value in values)


def digest(reference, request):
    answer = reference.answer(request)
    if answer is None:
        return "refused"
    lines = [numbers(answer[k]) for k in ("ids", "type_ids", "special_tokens_mask", "word_ids")]
    lines.append(numbers(n for pair in answer["offsets"] for n in pair))
    lines += [reference.decode(answer["ids"], skip) for skip in (False, True)]
    return sha(lines)


def id_digest(reference, request):
    answer = reference.answer(request)
    return None if answer is None else sha([numbers(answer["ids"])])


def model(folder, asked):
    reference = load_reference(folder)
    vocab = reference.tokenizer.get_vocab()
    golden = {
        "name": folder.name, "size": len(vocab), "mask_id": vocab.get("[MASK]", vocab.get("<mask>")),
        "digests": [digest(reference, r) for r in asked],
    }  # fmt: skip
    config = CONFIGS[folder.name]
    if config is None:
        return golden
    golden["files"] = {"tokenizer_config.json": config} if config else {}
    if folder.name.startswith("esm"):
        with tempfile.TemporaryDirectory() as path:
            copy = pathlib.Path(path)
            shutil.copy(folder / "vocab.txt", copy)
            (copy / "tokenizer_config.json").write_text(json.dumps(config))
            golden["id_digests"] = [id_digest(load_reference(copy), r) for r in asked]
    return golden


def main():
    asked = list(requests())
    folders = [pathlib.Path(sys.argv[1]) / name for name in CONFIGS]
    golden = {"requests": asked, "models": [model(folder, asked) for folder in folders]}
    write("tokenizer_real.json", golden, starts=('{"name"', '{"text"'))


if __name__ == "__main__":
    main()
