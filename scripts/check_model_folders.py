#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors
"""Saves every model family in the ways that folders are found in, and compares fill-mask with
transformers on each (fp32, CPU).

    check_model_folders.py PROGRAM tests/golden/families [FAMILY ...]

The ways: transformers' own (safetensors, in shards), torch.save in both formats, bf16, the class
with the heads of pretraining, bitsandbytes' NF4 (double quantization) and FP4, a decoder of its own.
Prints the largest difference of a probability for each; exit status 1 when one is above 1e-5 or a
folder is not read.

pip packages: torch transformers bitsandbytes accelerate.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers
from bitsandbytes.nn import Linear4bit

from make_family_goldens import FAMILIES
from torch_reference import dequantize_4bit

TEXTS = ["the king of <mask> in the land", "<mask> is a house of light and <mask> of water",
         "a b c d e <mask> g h i j k l m n o p q r s t u v w x <mask> z the of and to in is a b c d"]
TOLERANCE = 1e-5


def masked_lm(prefix):
    return getattr(transformers, prefix + "ForMaskedLM")


def ours(program, folder, bits):
    out = subprocess.run([program, "fill-mask", "--json", "--device", "cpu", "--bits", str(bits),
                          "--top_k", "64", "--model", str(folder), *TEXTS],
                         capture_output=True, text=True)
    if out.returncode != 0:
        return out.stderr.strip()
    masks = []
    for line in out.stdout.splitlines():
        answers = json.loads(line)
        masks += [answers] if isinstance(answers[0], dict) else answers
    return [{a["token"]: a["score"] for a in mask} for mask in masks]


def decode(model):
    """bitsandbytes' own product rounds to 16 bits on some CPUs."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, Linear4bit):
                weight = dequantize_4bit(child.weight.data, child.weight.quant_state)
                linear = torch.nn.Linear(weight.shape[1], weight.shape[0],
                                         bias=child.bias is not None)
                linear.weight.data = weight.float()
                if child.bias is not None:
                    linear.bias.data = child.bias.data.float()
                setattr(parent, name, linear)


@torch.no_grad()
def theirs(prefix, folder):
    model = masked_lm(prefix).from_pretrained(folder, dtype=torch.float32,
                                              attn_implementation="eager").eval()
    decode(model)
    for parameter in model.parameters():
        parameter.data = parameter.data.float()
    tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(folder)
    masks = []
    for text in TEXTS:
        batch = tokenizer(text, return_tensors="pt")
        batch.pop("token_type_ids", None)
        scores = model(**batch).logits[0].float().softmax(-1)
        masks += list(scores[batch["input_ids"][0] == tokenizer.mask_token_id])
    return masks


def as_torch(folder, legacy):
    """What transformers 4 saved with safe_serialization=False."""
    model = transformers.AutoModelForMaskedLM.from_pretrained(folder)
    for path in folder.glob("*.safetensors*"):
        path.unlink()
    torch.save(model.state_dict(), folder / "pytorch_model.bin",
               _use_new_zipfile_serialization=not legacy)


def pretraining(prefix, folder):
    cls = getattr(transformers, prefix + "ForPreTraining", None)
    if cls is None or prefix == "Electra":  # a discriminator: it has no such head
        return False
    cls.from_pretrained(folder).save_pretrained(folder)
    return True


def in_4_bits(prefix, folder, kind, double):
    if prefix == "NomicBert":  # transformers 5.24 saves files that it cannot read either
        return False
    config = transformers.BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type=kind, bnb_4bit_use_double_quant=double,
        bnb_4bit_compute_dtype=torch.float32)
    model = masked_lm(prefix).from_pretrained(folder, quantization_config=config,
                                              dtype=torch.float32, device_map={"": "cpu"})
    for path in folder.glob("*.safetensors*"):
        path.unlink()
    model.save_pretrained(folder)
    return True


def in_shards(prefix, folder):
    model = masked_lm(prefix).from_pretrained(folder)
    for path in folder.glob("*.safetensors*"):
        path.unlink()
    model.save_pretrained(folder, max_shard_size="15KB")
    return (folder / "model.safetensors.index.json").exists()


def untied(prefix, folder):
    model = masked_lm(prefix).from_pretrained(folder, tie_word_embeddings=False)
    decoder = model.get_output_embeddings()
    torch.manual_seed(5)
    decoder.weight = torch.nn.Parameter(torch.randn_like(decoder.weight) / 4)
    model.config.tie_word_embeddings = False
    model.save_pretrained(folder)
    return True


WAYS = {
    "as it is": lambda prefix, folder: True,
    "shards": in_shards,
    "torch.save": lambda prefix, folder: as_torch(folder, False) or True,
    "torch.save, legacy": lambda prefix, folder: as_torch(folder, True) or True,
    "bf16": lambda prefix, folder: masked_lm(prefix).from_pretrained(
        folder, dtype=torch.bfloat16).save_pretrained(folder) or True,
    "ForPreTraining": pretraining,
    "nf4": lambda prefix, folder: in_4_bits(prefix, folder, "nf4", True),
    "fp4": lambda prefix, folder: in_4_bits(prefix, folder, "fp4", False),
    "untied": untied,
}


def main():
    program, goldens = sys.argv[1], pathlib.Path(sys.argv[2])
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    failed = 0
    for name, (prefix, _, _) in FAMILIES.items():
        if not (goldens / name).exists() or (sys.argv[3:] and name not in sys.argv[3:]):
            continue
        for way, make in WAYS.items():
            with tempfile.TemporaryDirectory() as scratch:
                folder = pathlib.Path(scratch) / "model"
                shutil.copytree(goldens / name / "model", folder)
                if not make(prefix, folder):
                    continue
                found = ours(program, folder, 4 if way in ("nf4", "fp4") else 32)
                if isinstance(found, str):
                    print(f"{name}, {way}: {found}", flush=True)
                    failed += 1
                    continue
                expected = theirs(prefix, folder)
                assert len(expected) == len(found)
                worst = max(abs(e[token].item() - score)
                            for e, f in zip(expected, found) for token, score in f.items())
                failed += not worst <= TOLERANCE
                print(f"{name}, {way}: {worst:.1e}{'' if worst <= TOLERANCE else '  <--'}",
                      flush=True)
    print("all agree" if not failed else f"{failed} differ")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
