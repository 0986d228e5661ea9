# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors
"""The training rules of this project in PyTorch, shared by the scripts that compare with it.

pip packages: torch transformers peft bitsandbytes (see make_goldens.py for the versions used).
Nothing here is needed to build, test or run the engine.
"""

import argparse
import pathlib

import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import load_file
from transformers import BatchEncoding, get_scheduler


class BnbAdamW(torch.optim.Optimizer):
    """AdamW as the 32-bit CUDA kernel of bitsandbytes computes it: the decay follows the update."""

    def __init__(self, params, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
        super().__init__(params, dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            lr, (beta1, beta2) = group["lr"], group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state.update(t=0, m=torch.zeros_like(p), v=torch.zeros_like(p))
                state["t"] += 1
                m, v = state["m"], state["v"]
                m.mul_(beta1).add_(p.grad, alpha=1 - beta1)
                v.mul_(beta2).addcmul_(p.grad, p.grad, value=1 - beta2)
                c1 = 1 - beta1 ** state["t"]
                c2 = (1 - beta2 ** state["t"]) ** 0.5
                p.add_(m / (v.sqrt() + group["eps"] * c2), alpha=-lr * c2 / c1)
                p.mul_(1 - lr * group["weight_decay"])


def requantize(values, code_map):
    """Codes and scales of blocks of 256, by looking at all distances; a negative value of the
    signed map never becomes 0, as in bitsandbytes' CUDA kernels."""
    blocks = [values[i:i + 256] for i in range(0, len(values), 256)]
    scales = torch.stack([block.abs().max() for block in blocks])
    codes = []
    for block, scale in zip(blocks, scales):
        x = (block / scale if scale > 0 else block).double()
        code = (x[:, None] - code_map.double()[None, :]).abs().argmin(1)
        codes.append(torch.where((x < 0) & (code_map[code] >= 0), code - 1, code))
    return torch.cat(codes).to(torch.uint8), scales


class BnbAdamW8(BnbAdamW):
    """AdamW of bitsandbytes' 8-bit CUDA kernel: matrices of 4096 values and more keep both moments
    as 8-bit codes with a scale for each 256; the update sees them before they are rounded again."""

    @torch.no_grad()
    def step(self):
        import bitsandbytes.functional as bnb

        if not hasattr(self, "maps"):
            self.maps = {"m": bnb.create_dynamic_map(signed=True),
                         "v": bnb.create_dynamic_map(signed=False)}
        super().step()
        for group in self.param_groups:
            for p in group["params"]:
                if p.numel() < 4096 or p.grad is None:
                    continue
                for name, code_map in self.maps.items():
                    moment = self.state[p][name]
                    codes, scales = requantize(moment.flatten(), code_map)
                    values = code_map[codes.long()] * scales.repeat_interleave(256)[:p.numel()]
                    moment.copy_(values.reshape(p.shape))


def make_optimizer(rule, params, **settings):
    """rule: "torch"; "bnb" (any bitsandbytes 32-bit name, paged or not, is the same rule); "bnb8"."""
    if rule == "bnb8":
        return BnbAdamW8(params, **settings)
    if rule == "bnb":
        return BnbAdamW(params, **settings)
    return torch.optim.AdamW(params, foreach=False, **settings)


def pad_rows(rows):
    """Rows {"input_ids", ["token_type_ids"], ["labels"]} -> one padded batch with its mask."""
    width = max(len(row["input_ids"]) for row in rows)

    def column(key, fill):
        return torch.tensor([list(row.get(key) or [fill] * len(row["input_ids"]))
                             + [fill] * (width - len(row["input_ids"])) for row in rows])

    mask = torch.tensor([[1] * len(row["input_ids"]) + [0] * (width - len(row["input_ids"]))
                         for row in rows])
    return BatchEncoding({"input_ids": column("input_ids", 0), "attention_mask": mask,
                          "token_type_ids": column("token_type_ids", 0),
                          "labels": column("labels", -100)})


def load_tokenizer(folder):
    """As tokenizer.json says, whatever class the folder's model type stands for."""
    kind = (transformers.PreTrainedTokenizerFast if (folder / "tokenizer.json").exists()
            else transformers.AutoTokenizer)
    return kind.from_pretrained(folder)


def comparison_parser(doc, n_texts):
    """Of scripts that compare the program with transformers: PROGRAM FOLDER --texts FILE --n N."""
    parser = argparse.ArgumentParser(description=doc,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--texts", type=pathlib.Path,
                        default=pathlib.Path(__file__).parent.parent / "examples/kjv/valid.txt")
    parser.add_argument("--n", type=int, default=n_texts)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return parser


def forward(model, batch, **options):
    """Without labels: the model's own loss is not the one trained with."""
    return model(**{k: v for k, v in batch.items() if k != "labels"}, **options)


def cross_entropy_sum(logits, labels, label_smoothing=0.0):
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100,
                           reduction="sum", label_smoothing=label_smoothing)


def lora_parameters(model):
    """(name as on disk, parameter), sorted by name."""
    named = [(n.replace(".modules_to_save.default", "").replace(".default", ""), p)
             for n, p in model.named_parameters() if p.requires_grad]
    return sorted(named, key=lambda pair: pair[0])


def accumulate_gradients(model, micro_batches, label_smoothing=0.0, mean_of_means=False):
    """Gradients and value of sum(cross entropy) / labels of the whole update; or of the mean of the
    micro-batches' means."""
    counts = [int((batch["labels"] != -100).sum()) for batch in micro_batches]
    n_labels, n_labelled = sum(counts), sum(count > 0 for count in counts)
    loss = 0.0
    for batch, count in zip(micro_batches, counts):
        divisor = max(1, count * n_labelled if mean_of_means else n_labels)
        part = cross_entropy_sum(forward(model, batch).logits, batch["labels"],
                                 label_smoothing) / divisor
        part.backward()
        loss += part.item()
    return loss, n_labels


def train(model, updates, rule="torch", lr=5e-5, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0,
          scheduler="linear", warmup_steps=0, total_steps=None, max_grad_norm=1.0,
          scheduler_kwargs=None, label_smoothing=0.0, mean_of_means=False, optimizer=None):
    """Trains the model's trainable parameters on `updates`, a list of lists of padded batches.

    Yields, before each update is applied, {"loss", "grad_norm" (before clipping), "learning_rate",
    "n_labels"}; the parameters are the updated ones once the generator is resumed. optimizer: one
    made already, instead of what rule, lr, betas, eps and weight_decay say.
    """
    params = [p for _, p in lora_parameters(model)]
    optimizer = optimizer or make_optimizer(rule, params, lr=lr, betas=betas, eps=eps,
                                            weight_decay=weight_decay)
    schedule = get_scheduler(scheduler, optimizer, warmup_steps, total_steps or len(updates),
                             scheduler_kwargs)
    for micro_batches in updates:
        optimizer.zero_grad()
        loss, n_labels = accumulate_gradients(model, micro_batches, label_smoothing,
                                              mean_of_means)
        norm = torch.linalg.vector_norm(torch.stack([p.grad.norm() for p in params
                                                     if p.grad is not None])).item()
        yield {"loss": loss, "grad_norm": norm, "learning_rate": schedule.get_last_lr()[0],
               "n_labels": n_labels}
        if max_grad_norm > 0:
            torch.nn.utils.clip_grad_norm_(params, max_grad_norm, foreach=False)
        optimizer.step()
        schedule.step()


def encoder_linears(model):
    """(name, module) of the Linears that are quantized by default: all but the MLM head's."""
    head = ("cls.", "lm_head.", "vocab_", "generator_", "predictions.", "head.", "decoder")
    return [(n, m) for n, m in model.named_modules()
            if isinstance(m, torch.nn.Linear) and not f"{n}.".startswith(head)]


def dequantize_4bit(packed, state):
    """As bitsandbytes' CUDA kernels do. (Its CPU kernel gives wrong numbers on some machines for
    matrices whose rows are not whole blocks.)"""
    codes = packed.flatten().view(torch.uint8).long()  # whatever type holds them
    values = state.code[torch.stack([codes >> 4, codes & 15], 1).flatten()]
    absmax = state.absmax
    if state.nested:
        nested = state.state2
        scales = nested.absmax.repeat_interleave(nested.blocksize)[:absmax.numel()]
        absmax = nested.code[absmax.long()] * scales + state.offset
    n = state.shape.numel()
    return (values[:n] * absmax.repeat_interleave(state.blocksize)[:n]).reshape(state.shape)


@torch.no_grad()
def round_trip_4bit(model, quant_type="nf4", double_quant=True, block_size=64):
    """Replaces each encoder Linear's weight by the dequantization of its 4-bit quantization."""
    import bitsandbytes.functional as bnb

    for _, module in encoder_linears(model):
        packed, state = bnb.quantize_4bit(module.weight.data.float(), blocksize=block_size,
                                          compress_statistics=double_quant, quant_type=quant_type)
        module.weight.copy_(dequantize_4bit(packed, state))
    return model


@torch.no_grad()
def decode_4bit(model, folder):
    """Replaces each encoder Linear's weight by what `folder`, which the engine's quantize or
    transformers wrote, holds for it."""
    import bitsandbytes.functional as bnb

    tensors = {}
    for path in sorted(pathlib.Path(folder).glob("*.safetensors")):
        tensors.update(load_file(path))
    for name, module in encoder_linears(model):
        prefix = f"{name}.weight."
        stored = {key.removeprefix(prefix): value for key, value in tensors.items()
                  if key.startswith(prefix)}
        state = bnb.QuantState.from_dict(stored, torch.device("cpu"))
        module.weight.copy_(dequantize_4bit(tensors[f"{name}.weight"], state))
    return model
