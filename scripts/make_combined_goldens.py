#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors
"""Writes tests/golden/combined: two adapters over tests/golden/families/bert, and what peft's
add_weighted_adapter makes of them, in fp32 on the CPU.

    make_combined_goldens.py tests/golden               write it
    make_combined_goldens.py tests/golden --check       make again elsewhere and compare

pip packages as in make_goldens.py.
"""

import json
import pathlib
import tempfile

import numpy as np
import peft
import torch
import transformers

import make_family_goldens as family
import torch_reference as ref
from make_goldens import make_folders, write_json, write_tensors

# name: settings of peft.LoraConfig.
ADAPTERS = {
    "first": {"r": 3, "lora_alpha": 5, "target_modules": ["query", "output.dense"]},
    "second": {"r": 3, "lora_alpha": 4, "use_rslora": True, "target_modules": ["query", "value"]},
}
# name: weights of the two, and of add_weighted_adapter the rest.
COMBINATIONS = {
    "cat": ([0.7, -0.4], {"combination_type": "cat"}),
    "svd": ([0.7, 0.3], {"combination_type": "svd"}),
    "svd-4": ([1.5, -0.5], {"combination_type": "svd", "svd_rank": 4}),
    "linear": ([0.7, -0.4], {"combination_type": "linear"}),
}


def add_adapter(model, name):
    config = peft.LoraConfig(**ADAPTERS[name])
    adapted = peft.get_peft_model(model, config, adapter_name=name)
    random = np.random.RandomState(len(name))
    for _, p in ref.lora_parameters(adapted):
        p.data = torch.from_numpy(random.randn(*p.shape).astype(np.float32))
    return adapted


def make(goldens, out):
    base = goldens / "families" / "bert" / "model"
    for name in ADAPTERS:
        with tempfile.TemporaryDirectory() as work:
            add_adapter(family.load_model("bert", base), name).save_pretrained(work)
            folder = out / name
            folder.mkdir(exist_ok=True)
            for file in ("adapter_config.json", "adapter_model.safetensors"):
                (folder / file).write_bytes((pathlib.Path(work) / name / file).read_bytes())
        path = out / name / "adapter_config.json"
        values = json.loads(path.read_text())
        values["target_modules"] = sorted(values["target_modules"])
        values["base_model_name_or_path"] = "model"
        path.write_text(json.dumps(values, indent=2, sort_keys=True))
    model = peft.PeftModel.from_pretrained(family.load_model("bert", base), out / "first", "first")
    model.load_adapter(out / "second", "second")
    tensors = {}
    for name, (weights, settings) in COMBINATIONS.items():
        model.add_weighted_adapter(["first", "second"], weights, name, **settings)
        for module, layer in model.named_modules():
            if isinstance(layer, peft.tuners.lora.LoraLayer):
                tensors[f"{name}.{module.removeprefix('base_model.model.')}"] = (
                    layer.scaling[name] * layer.lora_B[name].weight @ layer.lora_A[name].weight)
    write_tensors(out / "products.safetensors", tensors)
    write_json(out / "golden.json", {
        "made_with": {m.__name__: m.__version__ for m in (torch, transformers, peft)},
        "combinations": {name: {"weights": weights, **settings}
                         for name, (weights, settings) in COMBINATIONS.items()}})


if __name__ == "__main__":
    make_folders(__doc__, ["combined"], ".", lambda _, goldens, folder: make(goldens, folder))
