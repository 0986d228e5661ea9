#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors
"""Writes tests/golden/initial/NAME: what peft's initializations that change the base make of models
of tests/golden/families (stored in fp32), and two steps of training from there, in fp32 on the CPU. Singular vectors
have no sign, so products are written, not factors. tests/golden/README.md says what each file holds.

    make_initial_goldens.py tests/golden                all of them
    make_initial_goldens.py tests/golden pissa          some
    make_initial_goldens.py tests/golden --check        make again elsewhere and compare

A golden is one row of VARIANTS. pip packages as in make_goldens.py.
"""

import json
import pathlib
import tempfile

import peft
import torch
import transformers
from peft.utils import loftq_utils

import make_family_goldens as family
import torch_reference as ref
from make_goldens import make_folders, write_json, write_tensors

# name: family, settings of peft.LoraConfig.
VARIANTS = {
    "pissa": ("bert", {"r": 4, "lora_alpha": 6, "init_lora_weights": "pissa",
                       "target_modules": "all-linear", "rank_pattern": {"query": 2},
                       "alpha_pattern": {"value": 3}}),
    "pissa-dora": ("distilbert", {"r": 2, "lora_alpha": 2, "init_lora_weights": "pissa",
                                  "use_dora": True, "target_modules": ["q_lin", "v_lin", "lin1"]}),
    "olora": ("esm", {"r": 3, "lora_alpha": 2, "init_lora_weights": "olora", "use_rslora": True,
                      "target_modules": ["query", "key", "value", "dense"]}),
    "loftq": ("bert", {"r": 3, "lora_alpha": 3, "init_lora_weights": "loftq",
                       "target_modules": ["query", "value", "intermediate.dense"]}),
}
TRAINING = {"lr": 5e-3, "weight_decay": 0.01, "scheduler": "constant"}


def lora_layers(model):
    return {n.removeprefix("base_model.model."): m for n, m in model.named_modules()
            if isinstance(m, peft.tuners.lora.LoraLayer)}


def products(model):
    """s B A of every adapted module."""
    return {n: (m.scaling["default"] * m.lora_B["default"].weight.double()
                @ m.lora_A["default"].weight.double()).float().detach()
            for n, m in lora_layers(model).items()}


def split(base_name, folder, settings, four_bit, work):
    """The model as peft leaves it, with the adapter, both as they would be trained."""
    base = family.load_model(base_name, folder / "model")
    # OLoRA sees what 4 bits decode to; PiSSA the weights, of which the rest is quantized.
    if four_bit and settings["init_lora_weights"] == "olora":
        ref.round_trip_4bit(base)
    adapted = peft.get_peft_model(base, peft.LoraConfig(**settings))
    adapted.peft_config["default"].init_lora_weights = True
    adapted.save_pretrained(work / "adapter")
    rest = family.load_model(base_name, folder / "model")
    weights = dict(rest.named_modules())
    for name, layer in lora_layers(adapted).items():
        weights[name].weight.data.copy_(layer.base_layer.weight.data)
    if four_bit:
        ref.round_trip_4bit(rest)
    return family.with_adapter(rest, work / "adapter")


def with_losses(base_name, folder, settings):
    """LoftQ after one iteration; peft's own needs a GPU, but for the decomposition."""
    floats = dict(family.load_model(base_name, folder / "model").named_modules())
    base = ref.round_trip_4bit(family.load_model(base_name, folder / "model"))
    model = peft.get_peft_model(base, peft.LoraConfig(**{**settings, "init_lora_weights": True}))
    for name, layer in lora_layers(model).items():
        lost = floats[name].weight.data - layer.base_layer.weight.data
        found = loftq_utils._low_rank_decomposition(lost, settings["r"])
        layer.lora_A["default"].weight.data = found["R"].contiguous()
        layer.lora_B["default"].weight.data = found["L"].contiguous()
    return model.eval()


def make_variant(name, goldens, out):
    base_name, settings = VARIANTS[name]
    folder = goldens / "families" / base_name
    rows = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
    tensors, losses = {}, {}
    # peft takes the magnitudes of DoRA from floats that nobody has in 4 bits.
    loftq = settings["init_lora_weights"] == "loftq"
    for kind in ("base",) if settings.get("use_dora") else ("nf4",) if loftq else ("base", "nf4"):
        with tempfile.TemporaryDirectory() as work:
            model = (with_losses(base_name, folder, settings) if loftq else
                     split(base_name, folder, settings, kind == "nf4", pathlib.Path(work)))
        batch = family.pad(model, rows)
        initial = products(model)
        losses[kind] = [step["loss"] for step in ref.train(model, [[batch]] * 2, **TRAINING)]
        for module, product in products(model).items():
            tensors[f"{kind}.initial.{module}"] = initial[module]
            tensors[f"{kind}.learned.{module}"] = product - initial[module]
        tensors[f"{kind}.logits"] = family.labelled_logits(model, batch)[0]
    write_tensors(out / "products.safetensors", tensors)
    write_json(out / "golden.json", {
        "made_with": {m.__name__: m.__version__ for m in (torch, transformers, peft)},
        "family": base_name, "settings": settings, "losses": losses})


if __name__ == "__main__":
    make_folders(__doc__, VARIANTS, "initial", make_variant)
