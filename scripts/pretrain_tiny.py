#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors
"""Pretrains examples/tiny-mlm from the corpus of build_tiny_corpus.sh.

    pretrain_tiny.py tok   WORK --kjv examples/kjv      vocabulary of 8192, corpus as token ids
    pretrain_tiny.py train WORK --seconds 475           the model, on a GPU
    pretrain_tiny.py eval  WORK --kjv examples/kjv [--resave OUT]
                                                        losses; OUT: fp16 model folder

WORK/corpus is the input; WORK/model and WORK/*.npz, *.json are written. On a CPU, or to try it:
`train --small --steps 3`. The recipe is the one in examples/tiny-mlm/README.md.

pip packages: torch transformers tokenizers safetensors numpy (written with torch 2.15.0,
transformers 5.23.0; the published model was trained with torch 2.11).
"""

import argparse
import json
import pathlib
import time

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers.implementations import BertWordPieceTokenizer
from transformers import AutoModelForMaskedLM, AutoTokenizer, BertConfig, BertForMaskedLM
from transformers import BertTokenizer

PAD, UNK, CLS, SEP, MASK = range(5)
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
VOCAB = 8192
SHARES = {"general": 0.60, "debian": 0.15, "tech": 0.25}  # of the training tokens
SHAPES = {"s": (4096, 32), "m": (1024, 128), "l": (256, 512)}  # rows, positions
CYCLE = "mmsmmmlmmm"  # eight of m, one of s (single sentences), one of l in ten steps
MASK_RATE = 0.18
TEXTS = ["The capital of France is [MASK].", "A dog is a kind of [MASK].",
         "She opened the [MASK] and walked into the room.", "This program is free [MASK].",
         "And the LORD spake [MASK] Moses, saying,"]


def tokenize(options):
    """Trains the vocabulary (on the KJV too, once) and writes every text as ids.

    A .npz holds `ids`, all sentences one after another, and `starts`, where each begins.
    """
    files = sorted((options.work / "corpus").glob("*.txt"))
    train = [str(f) for f in files if ".train." in f.name]
    tokenizer = BertWordPieceTokenizer(lowercase=True)
    tokenizer.train([*train, str(options.kjv / "train.txt")], vocab_size=VOCAB, min_frequency=2,
                    special_tokens=SPECIAL, show_progress=False)
    vocab = tokenizer.get_vocab()
    folder = options.work / "model"
    folder.mkdir(exist_ok=True)
    words = sorted(vocab, key=vocab.get)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    BertTokenizer(vocab=vocab, do_lower_case=True, model_max_length=512).save_pretrained(folder)
    for file in files + [options.kjv / "valid.txt"]:
        lines = [s for line in file.read_text().splitlines() for s in line.split("\t")]
        encoded = tokenizer.encode_batch(lines, add_special_tokens=False)
        starts = np.cumsum([0] + [len(e.ids) for e in encoded])
        ids = np.fromiter((i for e in encoded for i in e.ids), np.int16, int(starts[-1]))
        name = "kjv.valid" if file.parent == options.kjv else file.stem
        np.savez(options.work / f"{name}.npz", ids=ids, starts=starts)
        print(f"{name}: {len(lines)} sentences, {len(ids)} tokens")


class Corpus:
    """The training ids of all groups on the device, and random batches of them."""

    def __init__(self, work, device):
        self.device, self.groups, self.names = device, {}, []
        for name in SHARES:
            path = work / f"{name}.train.npz"
            data = np.load(path) if path.exists() else {"ids": [], "starts": []}
            if len(data["ids"]) > 1024:  # more than a longest row
                self.names.append(name)
                self.groups[name] = (torch.from_numpy(data["ids"]).to(device),
                                     torch.from_numpy(data["starts"]).to(device))
        total = sum(SHARES[name] for name in self.names)
        self.shares = [SHARES[name] / total for name in self.names]

    def batch(self, rows, width, single_sentences):
        """(rows, width) ids: [CLS] tokens [SEP], padded where the rows are single sentences."""
        counts = [round(rows * share) for share in self.shares]
        counts[0] += rows - sum(counts)
        parts = []
        inner = torch.arange(width - 2, device=self.device)
        for name, count in zip(self.names, counts):
            ids, starts = self.groups[name]
            if single_sentences:
                pick = torch.randint(len(starts) - 1, (count,), device=self.device)
                begin = starts[pick]
                length = (starts[pick + 1] - begin).clamp(max=width - 2)
            else:
                begin = torch.randint(len(ids) - width, (count,), device=self.device)
                length = torch.full((count,), width - 2, device=self.device)
            tokens = ids[(begin[:, None] + inner).clamp(max=len(ids) - 1)].long()
            row = torch.full((count, width), PAD, device=self.device)
            row[:, 0] = CLS
            row[:, 1:-1] = torch.where(inner < length[:, None], tokens, PAD)
            row[torch.arange(count, device=self.device), length + 1] = SEP
            parts.append(row)
        return torch.cat(parts)


def mask_batch(ids, rate):
    """Masks `rate` of each row's tokens 80/10/10: (inputs, positions (B, K), labels (B, K)).

    K is fixed by the width, so that the shapes are; rows with fewer tokens have labels -100.
    """
    eligible = ids > MASK
    score = torch.where(eligible, torch.rand(ids.shape, device=ids.device), -1.0)
    k = max(1, round(rate * (ids.shape[1] - 2)))
    positions = score.topk(k, dim=1).indices
    wanted = (rate * eligible.sum(1, keepdim=True)).round().clamp(min=1)
    chosen = (torch.arange(k, device=ids.device) < wanted) & (eligible.gather(1, positions))
    original = ids.gather(1, positions)
    fate = torch.rand(original.shape, device=ids.device)
    random = torch.randint(len(SPECIAL), VOCAB, original.shape, device=ids.device)
    changed = torch.where(fate < 0.8, MASK, torch.where(fate < 0.9, random, original))
    inputs = ids.scatter(1, positions, torch.where(chosen, changed, original))
    return inputs, positions, torch.where(chosen, original, -100)


def masked_loss(model, inputs, positions, labels, padded):
    """The head runs on the masked positions alone."""
    mask = (inputs != PAD).long() if padded else None
    hidden = model.bert(inputs, attention_mask=mask).last_hidden_state
    rows = hidden.gather(1, positions[:, :, None].expand(-1, -1, hidden.shape[2]))
    return F.cross_entropy(model.cls(rows).flatten(0, 1).float(), labels.flatten())


def make_model(small):
    width, layers = (64, 2) if small else (256, 4)
    return BertForMaskedLM(BertConfig(
        vocab_size=VOCAB, hidden_size=width, num_hidden_layers=layers, num_attention_heads=4,
        intermediate_size=4 * width, max_position_embeddings=512, hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0))


def train(options):
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(options.seed)
    torch.set_float32_matmul_precision("high")
    corpus = Corpus(options.work, device)
    model = make_model(options.small).to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.lr, betas=(0.9, 0.98),
                                  weight_decay=0.02, fused=True)
    loss_of = torch.compile(masked_loss, dynamic=False) if device.type == "cuda" else masked_loss
    shrink = 64 if options.small else 1
    log, sums, counts, n_tokens, begin = [], {}, {}, 0, None

    def progress(step):
        if options.steps:
            return step / options.steps
        return (time.time() - begin) / options.seconds if begin else 0.0

    step = 0
    while progress(step) < 1:
        shape = CYCLE[step % len(CYCLE)]
        rows, width = SHAPES[shape]
        rate = options.lr * min(1.0, (step + 1) / options.warmup) * (1 - progress(step))
        for group in optimizer.param_groups:
            group["lr"] = rate
        batch = mask_batch(corpus.batch(rows // shrink, width, shape == "s"), MASK_RATE)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            loss = loss_of(model, *batch, padded=shape == "s")
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        n_tokens += batch[0].numel()
        sums[shape] = sums.get(shape, 0.0) + loss.detach()
        counts[shape] = counts.get(shape, 0) + 1
        if begin is None and step >= min(len(CYCLE), options.steps or len(CYCLE)):
            begin = time.time()  # the clock starts when every shape is compiled
        if step % options.log_every == 0 or options.steps == step:
            log.append({"step": step, "s": round(time.time() - begin, 1), "lr": rate,
                        "tokens": n_tokens,
                        "loss": {k: round(float(sums[k]) / counts[k], 4) for k in sums}})
            print(json.dumps(log[-1]), flush=True)
            sums, counts = {}, {}
    model.save_pretrained(options.work / "model")
    (options.work / "train_log.json").write_text(json.dumps(
        {"steps": step, "tokens": n_tokens, "lr": options.lr, "weight_decay": 0.02,
         "mask_rate": MASK_RATE, "shapes": SHAPES, "groups": SHARES, "log": log}) + "\n")


@torch.no_grad()
def measure(model, ids, width, device, batch_rows=64, seed=1234):
    """15 % masking 80/10/10 with a fixed seed over all whole rows; loss, perplexity, top-1."""
    rows = torch.from_numpy(ids[:len(ids) // (width - 2) * (width - 2)].astype(np.int64))
    rows = F.pad(F.pad(rows.view(-1, width - 2), (1, 0), value=CLS), (0, 1), value=SEP)
    generator = torch.Generator().manual_seed(seed)
    chosen = (torch.rand(rows.shape, generator=generator) < 0.15) & (rows > MASK)
    fate = torch.rand(rows.shape, generator=generator)
    random = torch.randint(len(SPECIAL), VOCAB, rows.shape, generator=generator)
    inputs = torch.where(chosen & (fate < 0.8), MASK, rows)
    inputs = torch.where(chosen & (fate >= 0.8) & (fate < 0.9), random, inputs)
    loss = hits = 0.0
    for i in range(0, len(rows), batch_rows):
        where = chosen[i:i + batch_rows].to(device)
        labels = rows[i:i + batch_rows].to(device)[where]
        hidden = model.bert(inputs[i:i + batch_rows].to(device)).last_hidden_state
        logits = model.cls(hidden[where])
        loss += float(F.cross_entropy(logits, labels, reduction="sum"))
        hits += int((logits.argmax(-1) == labels).sum())
    n = max(1, int(chosen.sum()))
    return {"loss": round(loss / n, 4), "ppl": round(float(np.exp(loss / n)), 3),
            "acc": round(hits / n, 4), "masked": n, "sequences": len(rows)}


@torch.no_grad()
def evaluate(options):
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    folder = options.work / "model"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForMaskedLM.from_pretrained(folder, dtype=torch.float32).to(device).eval()
    metrics = {"valid": {}, "fill": {}}
    for name in [*SHARES, "kjv"]:
        path = options.work / f"{name}.valid.npz"
        ids = np.load(path)["ids"] if path.exists() else []
        for width in (128,) if name == "kjv" else (128, 512):
            if len(ids) >= width:
                metrics["valid"][f"{name}@{width}"] = measure(model, ids, width, device)
    for text in TEXTS:
        ids = tokenizer(text, return_tensors="pt")["input_ids"].to(device)
        logits = model(input_ids=ids).logits[0, ids[0].tolist().index(MASK)]
        top = logits.softmax(-1).topk(5)
        words = tokenizer.convert_ids_to_tokens(top.indices.tolist())
        scored = zip(words, top.values.tolist())
        metrics["fill"][text] = " ".join(f"{word}({p:.3f})" for word, p in scored)
    print(json.dumps(metrics, indent=1))
    (options.work / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n")
    if options.resave:
        model.half().save_pretrained(options.resave)
        tokenizer.save_pretrained(options.resave)
        (options.resave / "vocab.txt").write_bytes((folder / "vocab.txt").read_bytes())


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, function in (("tok", tokenize), ("train", train), ("eval", evaluate)):
        command = commands.add_parser(name)
        command.set_defaults(function=function)
        command.add_argument("work", type=pathlib.Path)
        if name != "train":
            command.add_argument("--kjv", type=pathlib.Path, required=name == "tok",
                                 help="folder with train.txt and valid.txt")
        if name == "eval":
            command.add_argument("--resave", type=pathlib.Path, metavar="OUT")
        if name == "train":
            command.add_argument("--seconds", type=float, default=475)
            command.add_argument("--steps", type=int, default=0, help="instead of --seconds")
            command.add_argument("--warmup", type=int, default=1000)
            command.add_argument("--lr", type=float, default=1.5e-3)
            command.add_argument("--seed", type=int, default=1)
            command.add_argument("--log-every", type=int, default=1000)
            command.add_argument("--small", action="store_true",
                                 help="2 layers of 64, batches of 1/64")
    options = parser.parse_args()
    options.function(options)


if __name__ == "__main__":
    main()
