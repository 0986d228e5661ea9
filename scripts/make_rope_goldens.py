#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors
"""Writes tests/golden/rope.json: the cosines and sines that transformers' encoders turn queries and
keys with, for every kind of scaled rotary positions, in the keys of transformers 4 and 5.

    make_rope_goldens.py tests/golden/rope.json

pip packages: torch 2.15.0, transformers 5.24.0.
"""

import json
import pathlib
import sys

import torch
import transformers
from transformers.models.eurobert.modeling_eurobert import EuroBertRotaryEmbedding
from transformers.models.modernbert.modeling_modernbert import ModernBertRotaryEmbedding
from transformers.models.nomic_bert.modeling_nomic_bert import NomicBertRotaryEmbedding

SIZES = {"vocab_size": 200, "pad_token_id": 0, "hidden_size": 64, "num_hidden_layers": 2,
         "num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 512}
ROTARY = {"eurobert": EuroBertRotaryEmbedding, "modernbert": ModernBertRotaryEmbedding,
          "nomic_bert": NomicBertRotaryEmbedding}
CONFIG = {"eurobert": "EuroBertConfig", "modernbert": "ModernBertConfig",
          "nomic_bert": "NomicBertConfig"}
POSITIONS = (1, 37, 511)
FACTORS = [1.0 + 0.25 * j for j in range(16)]


def new(**parameters):
    return {"rope_parameters": {"rope_theta": 10000.0, **parameters}}


CASES = [
    ("eurobert", {"rope_theta": 250000.0}),
    ("eurobert", new(rope_type="linear", factor=4.0)),
    ("eurobert", {"rope_theta": 50000.0, "rope_scaling": {"type": "linear", "factor": 2.0}}),
    ("eurobert", new(rope_type="dynamic", factor=2.0)),
    ("eurobert", new(rope_type="yarn", factor=4.0, original_max_position_embeddings=128)),
    ("eurobert", new(rope_type="yarn", factor=8.0, original_max_position_embeddings=64,
                     mscale=1.2, mscale_all_dim=0.7)),
    ("eurobert", new(rope_type="yarn", factor=4.0, original_max_position_embeddings=128,
                     attention_factor=0.9, beta_fast=16.0, beta_slow=2.0, truncate=False)),
    ("eurobert", new(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                     original_max_position_embeddings=64)),
    ("eurobert", new(rope_type="longrope", factor=4.0, short_factor=FACTORS, long_factor=FACTORS,
                     original_max_position_embeddings=512)),
    ("nomic_bert", new(rope_type="linear", factor=3.0)),
    ("modernbert", {"rope_parameters": {
        "full_attention": {"rope_type": "yarn", "factor": 4.0, "rope_theta": 160000.0,
                           "original_max_position_embeddings": 128},
        "sliding_attention": {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}}}),
    ("modernbert", {"global_rope_theta": 80000.0, "local_rope_theta": 9000.0,
                    "rope_scaling": {"rope_type": "linear", "factor": 2.0}}),
]


def tables(model_type, members):
    """By kind of layer, one list a position: cosines of half the columns, then sines."""
    config = getattr(transformers, CONFIG[model_type])(**SIZES, **members)
    rotary = ROTARY[model_type](config)
    x = torch.zeros(1, dtype=torch.float32)
    positions = torch.tensor([POSITIONS])
    kinds = {"rotary": "full_attention", "local_rotary": "sliding_attention"}
    if model_type != "modernbert":
        kinds = {"rotary": None}
    out = {}
    for name, kind in kinds.items():
        cos, sin = rotary(x, positions, **({"layer_type": kind} if kind else {}))
        half = cos.shape[-1] // 2
        out[name] = torch.cat([cos[0, :, :half], sin[0, :, :half]], dim=-1).tolist()
    return out


def main():
    cases = [{"model_type": model_type, "config": {**SIZES, **json.loads(json.dumps(members))},
              **tables(model_type, json.loads(json.dumps(members)))}
             for model_type, members in CASES]
    pathlib.Path(sys.argv[1]).write_text(json.dumps(
        {"made_with": {"torch": torch.__version__, "transformers": transformers.__version__},
         "positions": POSITIONS, "cases": cases}) + "\n")


if __name__ == "__main__":
    main()
