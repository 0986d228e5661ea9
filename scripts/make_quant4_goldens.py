#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors
"""Writes tests/golden/quant4.safetensors: what bitsandbytes saves for 4-bit Linears, every variant.

    make_quant4_goldens.py OUT.safetensors [--check]

Tensors `source.{float32,float16,bfloat16}`: a (16, 52) weight; 832 is no multiple of most block
sizes, its second row of blocks is all zeros from element 64 on. `{type}.{plain|nested}.{storage}.
b{block}.{dtype}.weight` and what stands beside it: the state_dict of a Linear4bit made from it on
the CPU. --check compares with the file instead of writing it.

pip packages: torch bitsandbytes safetensors.
"""

import argparse
import itertools
import sys

import bitsandbytes as bnb
import torch
from safetensors.torch import load_file, save_file

N, K = 16, 52
STORAGES = {"uint8": torch.uint8, "int8": torch.int8, "float16": torch.float16,
            "bfloat16": torch.bfloat16, "float32": torch.float32, "float64": torch.float64}


def source() -> torch.Tensor:
    weight = torch.randn(N, K, generator=torch.Generator().manual_seed(7))
    weight.view(-1)[64:128] = 0
    weight.view(-1)[256:320] *= 1e-3
    return weight


def linear_state(weight, kind, nested, storage, block):
    layer = bnb.nn.Linear4bit(K, N, bias=False, compress_statistics=nested, quant_type=kind,
                              quant_storage=storage)
    layer.weight = bnb.nn.Params4bit(weight.clone(), requires_grad=False, quant_type=kind,
                                     compress_statistics=nested, quant_storage=storage,
                                     blocksize=block, module=layer)
    return layer.to("cpu").state_dict()


def make() -> dict:
    tensors = {}
    dtypes = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
    for name, dtype in dtypes.items():
        tensors[f"source.{name}"] = source().to(dtype)
    variants = [("uint8", block, dtype) for block in (32, 64, 256, 4096) for dtype in dtypes]
    variants += [(storage, 64, "float16") for storage in STORAGES if storage != "uint8"]
    for kind, nested in itertools.product(("nf4", "fp4"), (False, True)):
        for storage, block, dtype in variants:
            state = linear_state(tensors[f"source.{dtype}"], kind, nested, STORAGES[storage], block)
            prefix = f"{kind}.{'nested' if nested else 'plain'}.{storage}.b{block}.{dtype}."
            tensors |= {prefix + key: value.contiguous() for key, value in state.items()}
    return tensors


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out")
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    tensors = make()
    if not args.check:
        save_file(tensors, args.out, metadata={"format": "pt"})
        print(f"{len(tensors)} tensors (bitsandbytes {bnb.__version__}, torch {torch.__version__})")
        return
    known = load_file(args.out)
    bad = [name for name in sorted(tensors.keys() | known.keys())
           if name not in known or name not in tensors or not torch.equal(
               tensors[name].view(torch.uint8), known[name].view(torch.uint8))]
    sys.exit("differs: " + ", ".join(bad) if bad else 0)


if __name__ == "__main__":
    main()
