#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors
"""Writes tests/golden/adapters/NAME: what peft makes, in fp32 on the CPU, of variants of LoRA over
models of tests/golden/families. tests/golden/README.md says what each file holds; the tests take
whatever folders are there.

    make_adapter_goldens.py tests/golden                all of them
    make_adapter_goldens.py tests/golden dora           some
    make_adapter_goldens.py tests/golden --check        make again elsewhere and compare

A variant is one row of VARIANTS. pip packages as in make_goldens.py.
"""

import copy
import json

import numpy as np
import peft
import torch
import transformers
from peft.optimizers import create_loraplus_optimizer

import make_family_goldens as family
import torch_reference as ref
from make_goldens import make_folders, write_json, write_tensors

# name: family, settings of peft.LoraConfig, and of its create_loraplus_optimizer where that is used.
VARIANTS = {
    "dora": ("roberta", {"r": 2, "lora_alpha": 4, "use_dora": True,
                         "target_modules": "all-linear"}),
    "dora-patterns": ("modernbert", {"r": 3, "lora_alpha": 5, "use_dora": True, "use_rslora": True,
                                     "target_modules": ["Wqkv", "Wo", "Wi"],
                                     "exclude_modules": ["0.mlp.Wo"], "rank_pattern": {"Wo": 1}}),
    "dora-shared": ("albert", {"r": 2, "lora_alpha": 2, "use_dora": True,
                               "target_modules": ["query", "value", "ffn"]}),
    "loraplus": ("bert", {"r": 2, "lora_alpha": 4, "target_modules": ["query", "dense"],
                          "use_dora": True, "bias": "lora_only"}, {"loraplus_lr_ratio": 8.0}),
    "bias-all": ("bert", {"r": 2, "lora_alpha": 4, "bias": "all",
                          "target_modules": ["query", "value"]}),
    "bias-lora-only": ("distilbert", {"r": 2, "lora_alpha": 4, "bias": "lora_only",
                                      "use_dora": True,
                                      "target_modules": ["q_lin", "v_lin", "lin2"]}),
    "bias-distances": ("deberta-v2", {"r": 2, "lora_alpha": 4, "bias": "lora_only",
                                      "target_modules": ["query_proj", "key_proj"]}),
    # A copy of the decoder, which is not tied any more.
    "saved-head": ("bert", {"r": 2, "lora_alpha": 4, "target_modules": ["query", "value"],
                            "modules_to_save": ["cls"]}),
    "saved-layers": ("roberta", {"r": 2, "lora_alpha": 4, "target_modules": ["query", "dense"],
                                 "modules_to_save": ["self.key", "0.output.dense",
                                                     "1.intermediate.dense",
                                                     "attention.output.LayerNorm"]}),
    "saved-gated": ("modernbert", {"r": 2, "lora_alpha": 4, "target_modules": ["Wqkv", "Wo"],
                                   "modules_to_save": ["attn_norm", "1.mlp.Wi", "2.mlp.Wo",
                                                       "final_norm", "decoder"]}),
    "saved-shared": ("albert", {"r": 2, "lora_alpha": 2, "target_modules": ["query", "ffn"],
                                "modules_to_save": ["ffn_output", "full_layer_layer_norm",
                                                    "embedding_hidden_mapping_in"]}),
    "saved-embeddings": ("roberta", {"r": 2, "lora_alpha": 4, "target_modules": ["query", "value"],
                                     "modules_to_save": ["word_embeddings", "type_embeddings",
                                                         "position_embeddings"]}),
    "saved-words": ("electra", {"r": 2, "lora_alpha": 4, "target_modules": ["query", "value"],
                                "modules_to_save": ["word_embeddings", "generator_lm_head"]}),
    # Mask, padding and words; the decoder is tied. (peft's tied decoders lose their bias. ESM's has
    # none: its head adds it.)
    "tokens": ("esm-1b", {"r": 2, "lora_alpha": 4, "target_modules": ["query", "value"],
                          "trainable_token_indices": [4, 1, 9, 30, 63]}),
    "tokens-untied": ("xlm-roberta", {"r": 2, "lora_alpha": 4, "target_modules": ["query"],
                                      "trainable_token_indices": {"word_embeddings": [11, 5, 4]}}),
}


def make_adapter(folder, model, settings):
    """A peft adapter all of whose tensors are as if they had been trained."""
    adapted = peft.get_peft_model(model, peft.LoraConfig(**settings))
    random = np.random.RandomState(4)
    for name, p in ref.lora_parameters(adapted):
        if "lora_A" in name:
            values = random.uniform(-1, 1, p.shape) / p.shape[1] ** 0.5
        elif "lora_B" in name:
            values = 0.1 * random.randn(*p.shape)
        elif "bias" in name:
            values = p.detach().numpy() + 0.1 * random.randn(*p.shape)
        else:  # what starts from the base's: weights, magnitudes
            values = p.detach().numpy() * (1 + 0.2 * random.randn(*p.shape))
        p.data = torch.from_numpy(np.asarray(values, dtype=np.float32))
    adapted.save_pretrained(folder)
    (folder / "README.md").unlink()
    path = folder / "adapter_config.json"
    values = json.loads(path.read_text())
    for key in ("target_modules", "modules_to_save"):
        if isinstance(values[key], list):
            values[key] = sorted(values[key])
    values["base_model_name_or_path"] = "model"
    path.write_text(json.dumps(values, indent=2, sort_keys=True))


def on_disk(parameters):
    """Names and shapes as peft writes them."""
    return {name.replace("lora_magnitude_vector.weight", "lora_magnitude_vector"): p
            for name, p in parameters}


def make_optimizer(model, loraplus):
    """torch's AdamW over the groups that transformers' Trainer makes, or peft for LoRA+."""
    lr, decay = family.TRAINING["lr"], family.TRAINING["weight_decay"]
    if loraplus:
        return create_loraplus_optimizer(
            model, torch.optim.AdamW, lr=lr, loraplus_weight_decay=decay, foreach=False, **loraplus)
    decays = set(transformers.Trainer.get_decay_parameter_names(None, model))
    trained = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    return torch.optim.AdamW(
        [{"params": [p for n, p in trained if n in decays], "weight_decay": decay},
         {"params": [p for n, p in trained if n not in decays], "weight_decay": 0.0}],
        lr=lr, foreach=False)


def make_variant(name, goldens, out):
    base_name, settings, *loraplus = VARIANTS[name]
    folder = goldens / "families" / base_name
    base = family.load_model(base_name, folder / "model")
    make_adapter(out / "adapter", family.load_model(base_name, folder / "model"), settings)
    rows = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
    batch = family.pad(base, rows)
    forward, loss = {}, {}
    for kind, model in (("base", base), ("nf4", ref.round_trip_4bit(copy.deepcopy(base)))):
        adapted = family.with_adapter(model, out / "adapter")
        forward[f"{kind}.logits"], loss[kind] = family.labelled_logits(adapted, batch)
        optimizer = make_optimizer(adapted, loraplus and loraplus[0])
        for _ in ref.train(adapted, [[batch]], optimizer=optimizer, **family.TRAINING):
            write_tensors(out / f"{kind}.gradients.safetensors",
                          on_disk((n, p.grad.clone()) for n, p in family.used_parameters(adapted)))
        if kind == "base":
            write_tensors(out / "base.final.safetensors", {
                n: p.clone() for n, p in peft.get_peft_model_state_dict(adapted).items()})
    write_tensors(out / "forward.safetensors", forward)
    write_json(out / "golden.json", {
        "made_with": {m.__name__: m.__version__ for m in (torch, transformers, peft)},
        "family": base_name, "loss": loss, **(loraplus[0] if loraplus else {})})


if __name__ == "__main__":
    make_folders(__doc__, VARIANTS, "adapters", make_variant)
