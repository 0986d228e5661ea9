#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors
"""Writes tests/golden/torch_files: what torch.save makes of state dicts, in both of its formats.

    make_torch_file_goldens.py tests/golden

  state.bin, state_legacy.bin   a dict of tensors of every kind, as the zip archive and as the pickles
                                of before torch 1.6; state.safetensors: the same in C order
  electra/pytorch_model.bin     tests/golden/families/electra/model as transformers 4 saved it: tied
                                weights share their memory, position_ids are there
  electra/adapter_model.bin     its adapter
  eurobert/                     tests/golden/families/eurobert/model in two legacy shards

pip packages (versions of the committed files): torch 2.15.0, safetensors 0.8.0. The files' bytes
change with torch's version, their tensors do not.
"""

import argparse
import collections
import json
import pathlib
import shutil

import torch
from safetensors.torch import load_file, save_file


def state():
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6) / 8 - 1
    module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.LayerNorm(3))
    for number, parameter in enumerate(module.parameters()):
        parameter.data = torch.arange(parameter.numel(), dtype=torch.float32).reshape(
            parameter.shape) + 10 * number
    tensors = module.state_dict()  # an OrderedDict with _metadata
    tensors["f32"] = base
    tensors["tied"] = base
    tensors["rows"] = base[1:3]
    tensors["columns"] = base[:, 1:5:2]
    tensors["transposed"] = base.t()
    tensors["permuted"] = torch.arange(24, dtype=torch.int64).reshape(2, 3, 4).permute(2, 0, 1)
    tensors["expanded"] = torch.tensor([[1.5], [-2.0]]).expand(2, 3)
    tensors["one_row"] = torch.arange(5).expand(1, -1)
    tensors["f16"] = base.half()
    tensors["bf16"] = base.bfloat16()
    tensors["f64"] = base.double()
    tensors["i64"] = torch.tensor([-1, 2 ** 40])
    tensors["i32"] = torch.tensor([-1, 7], dtype=torch.int32)
    tensors["i16"] = torch.tensor([-1, 7], dtype=torch.int16)
    tensors["i8"] = torch.tensor([-1, 7], dtype=torch.int8)
    tensors["u8"] = torch.tensor([255, 7], dtype=torch.uint8)
    tensors["bool"] = torch.tensor([True, False])
    tensors["scalar"] = torch.tensor(2.5)
    tensors["empty"] = torch.zeros(3, 0)
    tensors["parameter"] = torch.nn.Parameter(base[:1].clone())
    return tensors


def electra(golden, out):
    tensors = collections.OrderedDict(load_file(golden / "model/model.safetensors"))
    tensors["generator_lm_head.weight"] = tensors["electra.embeddings.word_embeddings.weight"]
    positions = tensors["electra.embeddings.position_embeddings.weight"].shape[0]
    tensors["electra.embeddings.position_ids"] = torch.arange(positions).expand(1, -1)
    torch.save(tensors, out / "pytorch_model.bin")
    torch.save(load_file(golden / "adapter/adapter_model.safetensors"), out / "adapter_model.bin")


def eurobert(golden, out):
    tensors = load_file(golden / "model/model.safetensors")
    names = sorted(tensors)
    shards = {"pytorch_model-00001-of-00002.bin": names[::2],
              "pytorch_model-00002-of-00002.bin": names[1::2]}
    for shard, held in shards.items():
        torch.save({name: tensors[name] for name in held}, out / shard,
                   _use_new_zipfile_serialization=False)
    index = {"metadata": {"total_size": sum(t.nbytes for t in tensors.values())},
             "weight_map": {name: shard for shard, held in shards.items() for name in held}}
    (out / "pytorch_model.bin.index.json").write_text(json.dumps(index, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("golden", type=pathlib.Path)
    golden = parser.parse_args().golden
    out = golden / "torch_files"
    shutil.rmtree(out, ignore_errors=True)
    for name in ("electra", "eurobert"):
        (out / name).mkdir(parents=True)
    tensors = state()
    torch.save(tensors, out / "state.bin")
    torch.save(tensors, out / "state_legacy.bin", _use_new_zipfile_serialization=False)
    save_file({name: t.detach().clone(memory_format=torch.contiguous_format)
               for name, t in tensors.items()}, out / "state.safetensors")
    electra(golden / "families/electra", out / "electra")
    eurobert(golden / "families/eurobert", out / "eurobert")


if __name__ == "__main__":
    main()
