#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors
"""Writes tests/golden/bare_adapter: an adapter that peft wrote for AutoModel, whose names lack the
masked language model's prefix, over tests/golden/families/bert, and the logits of that model around
the adapted encoder, in fp32 on the CPU.

    make_bare_adapter_goldens.py tests/golden            write it
    make_bare_adapter_goldens.py tests/golden --check    make again elsewhere and compare

pip packages as in make_goldens.py.
"""

import json

import numpy as np
import peft
import torch
import transformers

import make_family_goldens as family
import torch_reference as ref
from make_goldens import make_folders, write_json, write_tensors

SETTINGS = {"r": 3, "lora_alpha": 5,
            "target_modules": r"encoder\.layer\.\d\.(attention\.self\.(query|key)|output\.dense)|pooler.dense",
            "rank_pattern": {"^encoder.layer.0.attention.self.key": 2},
            "alpha_pattern": {"^encoder.layer.1.*query": 7}}


def make(goldens, out):
    folder = goldens / "families" / "bert"
    model = family.load_model("bert", folder / "model")
    bare = transformers.AutoModel.from_pretrained(folder / "model", dtype=torch.float32,
                                                  attn_implementation="eager")
    adapted = peft.get_peft_model(bare, peft.LoraConfig(**SETTINGS))
    random = np.random.RandomState(3)
    for _, p in ref.lora_parameters(adapted):
        p.data = torch.from_numpy(0.3 * random.randn(*p.shape).astype(np.float32))
    adapted.save_pretrained(out / "adapter")
    (out / "adapter" / "README.md").unlink()
    path = out / "adapter" / "adapter_config.json"
    values = json.loads(path.read_text())
    values["base_model_name_or_path"] = "model"
    path.write_text(json.dumps(values, indent=2, sort_keys=True))
    model.bert = bare.eval()
    rows = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
    logits, loss = family.labelled_logits(model, family.pad(model, rows))
    write_tensors(out / "forward.safetensors", {"logits": logits})
    write_json(out / "golden.json", {
        "made_with": {m.__name__: m.__version__ for m in (torch, transformers, peft)},
        "loss": loss})


if __name__ == "__main__":
    make_folders(__doc__, ["bare_adapter"], ".", lambda _, goldens, folder: make(goldens, folder))
