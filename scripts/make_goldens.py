#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors
"""Writes tests/golden/bert: a tiny random BERT and what transformers, peft and bitsandbytes make
of it in fp32 on the CPU. tests/golden/README.md says what each file holds.

    make_goldens.py tests/golden/bert            write the folder
    make_goldens.py tests/golden/bert --check    make it again elsewhere and compare

pip packages (versions of the committed files): torch 2.15.0, transformers 5.23.0, peft 0.21.2,
bitsandbytes 0.50.2, safetensors 0.8.0, numpy 2.4.6. Random numbers come from numpy's RandomState,
whose streams are frozen; --check allows 1e-4 relative where another machine rounds differently.
"""

import argparse
import copy
import json
import pathlib
import shutil
import sys
import tempfile

import bitsandbytes.functional as bnb
import numpy as np
import peft
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertForMaskedLM, BertTokenizer, BitsAndBytesConfig

import torch_reference as ref

VOCAB = 160
STEPS, ACCUMULATION, BATCH = 10, 2, 3
TRAINING = {"lr": 5e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.01,
            "scheduler": "linear", "warmup_steps": 2, "total_steps": STEPS, "max_grad_norm": 1.0}
WORDS = """the of and to in is unto lord shall he his they that thou god king land day son house
people man came said sea earth heaven water light night spake begat moses dog cat capital france
city door room file software""".split()
PIECES = "ed ing er est ly eth ness".split()


def write_json(path, value):
    path.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")


def write_tensors(path, tensors):
    save_file({name: t.detach().contiguous() for name, t in tensors.items()}, path,
              metadata={"format": "pt"})


def make_vocab():
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"!\"'(),-.:;?", *"0123456789", *letters]
    vocab += WORDS + ["##" + piece for piece in letters + PIECES]
    vocab += [f"[unused{i}]" for i in range(VOCAB - len(vocab))]
    assert len(vocab) == len(set(vocab)) == VOCAB
    return vocab


def make_model(folder):
    """Random weights, large enough that every part of the network matters."""
    config = BertConfig(
        vocab_size=VOCAB, hidden_size=48, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=80, max_position_embeddings=64, hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0)
    model = BertForMaskedLM(config)
    random = np.random.RandomState(20261123)
    for name, p in sorted(model.named_parameters()):
        if "LayerNorm.weight" in name:
            mean, scale = 1.0, 0.2
        elif name.endswith("bias"):
            mean, scale = 0.0, 0.1
        elif "embeddings" in name:
            mean, scale = 0.0, 0.3
        else:
            mean, scale = 0.0, 1.2 / p.shape[1] ** 0.5
        p.data = torch.from_numpy((mean + scale * random.randn(*p.shape)).astype(np.float32))
    model.tie_weights()
    model.save_pretrained(folder)
    vocab = make_vocab()
    (folder / "vocab.txt").write_text("\n".join(vocab) + "\n")
    BertTokenizer(vocab={word: i for i, word in enumerate(vocab)},
                  model_max_length=64).save_pretrained(folder)


def make_adapter(folder, model_folder):
    """A peft adapter on "all-linear" whose A and B are both non-zero."""
    config = peft.LoraConfig(r=4, lora_alpha=8, target_modules="all-linear")
    model = peft.get_peft_model(load_model(model_folder), config)
    random = np.random.RandomState(4)
    for name, p in ref.lora_parameters(model):
        values = (random.uniform(-1, 1, p.shape) / p.shape[1] ** 0.5 if "lora_A" in name
                  else 0.1 * random.randn(*p.shape))
        p.data = torch.from_numpy(values.astype(np.float32))
    model.save_pretrained(folder)
    (folder / "README.md").unlink()
    path = folder / "adapter_config.json"  # peft writes a set (unordered) and where the base was
    values = json.loads(path.read_text())
    values["target_modules"] = sorted(values["target_modules"])
    values["base_model_name_or_path"] = "model"
    path.write_text(json.dumps(values, indent=2, sort_keys=True))


def load_model(folder):
    return BertForMaskedLM.from_pretrained(folder, attn_implementation="eager",
                                           dtype=torch.float32).eval()


def with_adapter(base, folder):
    return peft.PeftModel.from_pretrained(base, folder, is_trainable=True).eval()


def make_rows():
    """Pre-masked sequences of 1 to 40 tokens; some have no label, some no token types."""
    random = np.random.RandomState(7)
    rows = []
    for i in range(STEPS * ACCUMULATION * BATCH):
        n = 1 if i == 4 else 40 if i % 17 == 8 else int(random.randint(2, 41))
        original = np.concatenate([[2], random.randint(5, VOCAB, n - 2), [3]]) if n > 1 else [9]
        ids = np.array(original)
        labels = np.full(n, -100)
        for p in range(n):
            if n > 1 and p in (0, n - 1) or n > 3 and random.rand() > 0.25:
                continue
            labels[p] = original[p]
            fate = random.rand()
            ids[p] = 4 if fate < 0.8 else random.randint(5, VOCAB) if fate < 0.9 else ids[p]
        row = {"input_ids": ids.tolist()}
        if i % 5:
            cut = n if i % 3 == 0 else (n + 1) // 2
            row["token_type_ids"] = [0] * cut + [1] * (n - cut)
        row["labels"] = labels.tolist()
        rows.append(row)
    return rows


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def as_updates(rows):
    batches = [ref.pad_rows(rows[i:i + BATCH]) for i in range(0, len(rows), BATCH)]
    return [batches[i:i + ACCUMULATION] for i in range(0, len(batches), ACCUMULATION)]


@torch.no_grad()
def packed(model, batch):
    """Logits and hidden states of the real positions, and the mean loss over the labels."""
    out = ref.forward(model, batch, output_hidden_states=True)
    real = batch["attention_mask"].bool()
    loss = ref.cross_entropy_sum(out.logits, batch["labels"]) / (batch["labels"] != -100).sum()
    return out.logits[real], [h[real] for h in out.hidden_states], loss.item()


def run_training(make, updates, rule):
    """The same training in fp32 and in fp64; the distance is what rounding alone may do."""
    log, first, last = {}, {}, {}
    for precision in (torch.float32, torch.float64):
        model = make().to(precision)
        log[precision] = []
        for record in ref.train(model, updates, rule=rule, **TRAINING):
            if not log[precision]:
                first[precision] = {n: p.grad.clone() for n, p in ref.lora_parameters(model)}
            log[precision].append(record)
        last[precision] = {n: p.detach() for n, p in ref.lora_parameters(model)}
    single, double = log[torch.float32], log[torch.float64]

    def distance(tensors):
        return max(float((t - tensors[torch.float64][n]).abs().max())
                   for n, t in tensors[torch.float32].items())

    result = {key: [record[key] for record in single] for key in single[0]}
    result["rounding"] = {
        "max_relative_loss": max(abs(a["loss"] / b["loss"] - 1) for a, b in zip(single, double)),
        "max_relative_grad_norm": max(abs(a["grad_norm"] / b["grad_norm"] - 1)
                                      for a, b in zip(single, double)),
        "max_abs_first_gradient": distance(first), "max_abs_final_parameter": distance(last)}
    return result, first[torch.float32], last[torch.float32]


def near_ties(values, code, ulps):
    """Indices of the values within so many units in the last place of a threshold."""
    code = torch.sort(code).values
    bounds = ((code[:-1] + code[1:]) / 2).numpy()
    x = values.numpy()
    gap = np.abs(x[:, None] - bounds[None, :]) / np.spacing(np.maximum(np.abs(bounds), 2.0 ** -30))
    return np.flatnonzero(gap.min(axis=1) <= ulps).tolist()


def quantize(model, names):
    """4-bit quantizations of the named weights by bitsandbytes, part by part."""
    tensors, notes = {}, {}
    for name in names:
        weight = dict(model.named_parameters())[name + ".weight"].data
        for kind in ("nf4", "fp4"):
            bytes_, state = bnb.quantize_4bit(weight, blocksize=64, quant_type=kind)
            tensors[f"{name}.{kind}"] = bytes_.flatten()
            tensors[f"{name}.absmax"] = state.absmax
        bytes_, state = bnb.quantize_4bit(weight, blocksize=64, quant_type="nf4",
                                          compress_statistics=True)
        assert torch.equal(bytes_.flatten(), tensors[f"{name}.nf4"])
        absmax = tensors[f"{name}.absmax"]
        tensors[f"{name}.absmax_u8"] = state.absmax
        tensors[f"{name}.nested_absmax"] = state.state2.absmax
        tensors[f"{name}.nested_quant_map"] = state.state2.code
        tensors[f"{name}.nested_offset"] = state.offset.reshape(1)
        tensors[f"{name}.dequantized"] = ref.dequantize_4bit(bytes_, state)
        scaled = (weight.reshape(-1, 64) * (1.0 / absmax[:, None])).flatten()
        rest = absmax - state.offset
        notes[name] = {
            "nf4_near_ties_4ulp": near_ties(scaled, state.code, 4),
            "absmax_u8_near_ties_16ulp": near_ties(rest * (1.0 / rest.abs().max()),
                                                   state.state2.code, 16),
            "nested_offset": float(state.offset),
            "mean_abs_error": float((tensors[f"{name}.dequantized"] - weight).abs().mean())}
    return tensors, notes


def make_quantized_folder(folder, model_folder):
    """What transformers and bitsandbytes write for a base with its encoder in NF4."""
    config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4",
                                bnb_4bit_use_double_quant=True, llm_int8_skip_modules=["cls"],
                                bnb_4bit_compute_dtype=torch.float32)
    model = BertForMaskedLM.from_pretrained(model_folder, quantization_config=config,
                                            device_map={"": "cpu"}, dtype=torch.float32)
    model.save_pretrained(folder)


def make_all(out):
    torch.set_num_threads(1)
    make_model(out / "model")
    make_quantized_folder(out / "model-nf4", out / "model")
    make_adapter(out / "adapter", out / "model")
    rows = make_rows()
    write_rows(out / "train.jsonl", rows)
    no_label = [{**row, "labels": [-100] * len(row["labels"])} for row in rows[6:9]]
    write_rows(out / "no_label.jsonl", no_label)
    updates = as_updates(rows)
    first = updates[0][0]

    base = load_model(out / "model")
    nf4 = ref.round_trip_4bit(copy.deepcopy(base))
    lengths = [0] + first["attention_mask"].sum(1).tolist()
    forward = {"cu_seqlens": torch.tensor(lengths, dtype=torch.int32).cumsum(0, dtype=torch.int32)}
    golden = {"made_with": {m.__name__: m.__version__ for m in (torch, transformers, peft)},
              "per_device_train_batch_size": BATCH, "gradient_accumulation_steps": ACCUMULATION,
              "training": {**TRAINING, "betas": list(TRAINING["betas"])},
              "first_batch_loss": {}, "runs": {}}
    for name, model in (("base", base), ("nf4", nf4)):
        logits, hidden, golden["first_batch_loss"][name] = packed(model, first)
        forward[f"{name}.logits"] = logits
        forward |= {f"{name}.hidden.{i}": h for i, h in enumerate(hidden)}
        adapted = with_adapter(copy.deepcopy(model), out / "adapter")
        logits, _, loss = packed(adapted, first)
        forward[f"{name}.adapter.logits"] = logits
        golden["first_batch_loss"][f"{name}.adapter"] = loss
    forward["no_label.base.logits"] = packed(base, ref.pad_rows(no_label))[0]
    write_tensors(out / "forward.safetensors", forward)

    for name, model, rule in (("base.torch", base, "torch"), ("base.bnb", base, "bnb"),
                              ("nf4.torch", nf4, "torch")):
        make = lambda model=model: with_adapter(copy.deepcopy(model), out / "adapter")
        golden["runs"][name], gradients, final = run_training(make, updates, rule)
        write_tensors(out / f"{name}.final.safetensors", final)
        if rule == "torch":
            write_tensors(out / f"{name.split('.')[0]}.gradients.safetensors", gradients)

    tensors, golden["quantized"] = quantize(base, ["bert.encoder.layer.0.attention.self.query",
                                                   "bert.encoder.layer.0.intermediate.dense"])
    write_tensors(out / "quantized.safetensors", tensors)
    write_json(out / "golden.json", golden)


def leaves(value, path=""):
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        if isinstance(item, (dict, list)):
            yield from leaves(item, f"{path}/{key}")
        else:
            yield f"{path}/{key}", item


def compare(expected, found):
    """Prints every file that is not the same bytes; returns the number of real differences."""
    names = sorted({str(p.relative_to(root)) for root in (expected, found)
                    for p in root.rglob("*") if p.is_file()})
    bad = 0
    for name in names:
        a, b = expected / name, found / name
        if not a.exists() or not b.exists():
            print(f"{name}: only in {expected if a.exists() else found}")
            bad += 1
        elif a.read_bytes() != b.read_bytes():
            worst = largest_difference(a, b)
            bad += worst > 1e-4
            print(f"{name}: largest relative difference {worst:.3g}")
    print(f"{len(names)} files, {bad} differ" if bad else f"{len(names)} files agree")
    return bad


def largest_difference(a, b):
    if a.suffix == ".safetensors":
        x, y = load_file(a), load_file(b)
        if x.keys() != y.keys():
            return float("inf")
        return max(float((x[n].double() - y[n].double()).abs().max() / x[n].double().abs().max())
                   for n in x)
    if a.name != "golden.json":
        return float("inf")
    x, y = dict(leaves(json.loads(a.read_text()))), dict(leaves(json.loads(b.read_text())))
    shared = [n for n in x if not n.startswith("/made_with") and "/rounding/" not in n]
    if set(shared) - set(y):
        return float("inf")
    return max(abs(x[n] - y[n]) / (abs(x[n]) + 1e-30) if isinstance(x[n], (int, float))
               else float(x[n] != y[n]) for n in shared)


def make_folders(doc, rows, below, make):
    """The main of makers with a folder for each of `rows`: below/NAME of the root that is given, by
    make(name, root, folder). With --check they are made again elsewhere and compared."""
    parser = argparse.ArgumentParser(description=doc,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=pathlib.Path)
    parser.add_argument("names", nargs="*", help="of " + ", ".join(rows) + "; none: all")
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    options = parser.parse_args()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    bad = 0
    for name in options.names or rows:
        folder = options.root / below / name
        if not options.check:
            folder.mkdir(parents=True, exist_ok=True)
            make(name, options.root, folder)
            continue
        with tempfile.TemporaryDirectory() as work:
            make(name, options.root, pathlib.Path(work))
            bad += compare(folder, pathlib.Path(work))
    sys.exit(bad > 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    options = parser.parse_args()
    transformers.utils.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as work:
        made = pathlib.Path(work)
        make_all(made)
        if options.check:
            sys.exit(compare(options.out, made) > 0)
        shutil.rmtree(options.out, ignore_errors=True)
        shutil.copytree(made, options.out)


if __name__ == "__main__":
    main()
