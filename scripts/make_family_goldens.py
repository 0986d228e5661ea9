#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors
"""Writes tests/golden/families/NAME: for each model family a tiny random model and what
transformers and peft make of it in fp32 on the CPU. tests/golden/README.md says what each file
holds; the tests take whatever folders are there.

    make_family_goldens.py tests/golden/families                  all of them
    make_family_goldens.py tests/golden/families modernbert esm   some
    make_family_goldens.py tests/golden/families --check          make again elsewhere and compare

A family is one row of FAMILIES. pip packages as in make_goldens.py.
"""

import copy
import itertools
import json

import bitsandbytes.functional as bnb
import numpy as np
import peft
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from safetensors.torch import load_file

import torch_reference as ref
from make_goldens import make_folders, write_json, write_rows, write_tensors

SPECIAL = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, "mask_token_id": 4}
WORDS = ("<s> <pad> </s> <unk> <mask> the of and to in is a b c d e f g h i j k l m n o p q r s t u "
         "v w x y z king land day son house people man sea earth heaven water light night").split()
VOCAB = 64  # more rows than the tokenizer has
LENGTHS = (150, 1, 37, 21)
TRAINING = {"lr": 5e-3, "weight_decay": 0.01, "scheduler": "linear", "total_steps": 1,
            "max_grad_norm": 1.0}
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
BERT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 48, "max_position_embeddings": 152, **NO_DROPOUT}
ROBERTA = {**BERT, "type_vocab_size": 1, "max_position_embeddings": 154, "layer_norm_eps": 1e-5}

# name: class, what its configuration has beside VOCAB and SPECIAL, the type its weights have.
FAMILIES = {
    "bert": ("Bert", BERT, "float32"),
    "roberta": ("Roberta", ROBERTA, "float16"),
    "xlm-roberta": ("XLMRoberta", {**ROBERTA, "tie_word_embeddings": False}, "bfloat16"),
    "camembert": ("Camembert", ROBERTA, "float16"),  # in shards
    "xlm-roberta-xl": ("XLMRobertaXL", ROBERTA, "float16"),
    "megatron-bert": ("MegatronBert", BERT, "float16"),
    "distilbert": ("DistilBert", {"dim": 32, "hidden_dim": 48, "n_layers": 2, "n_heads": 2,
                                  "max_position_embeddings": 152, "dropout": 0.0,
                                  "attention_dropout": 0.0}, "float32"),
    "albert": ("Albert", {**BERT, "embedding_size": 16, "num_hidden_layers": 3,
                          "num_hidden_groups": 2, "hidden_act": "gelu_new"}, "float16"),
    "albert-groups": ("Albert", {**BERT, "embedding_size": 16, "num_hidden_groups": 2,
                                 "inner_group_num": 2, "hidden_act": "quick_gelu"}, "float16"),
    "electra": ("Electra", {**BERT, "embedding_size": 16}, "float16"),
    "mpnet": ("MPNet", {**BERT, "max_position_embeddings": 154, "layer_norm_eps": 1e-5}, "float16"),
    "esm": ("Esm", {**BERT, "vocab_size": VOCAB, "num_attention_heads": 4,
                    "position_embedding_type": "rotary", "token_dropout": True,
                    "layer_norm_eps": 1e-5, "emb_layer_norm_before": False}, "float32"),
    "esm-1b": ("Esm", {**BERT, "vocab_size": VOCAB, "max_position_embeddings": 154,
                       "position_embedding_type": "absolute", "token_dropout": True,
                       "emb_layer_norm_before": True}, "float16"),
    "esm-none": ("Esm", {**BERT, "vocab_size": VOCAB, "position_embedding_type": None,
                         "token_dropout": True}, "float16"),
    "deberta-v2": ("DebertaV2", {**BERT, "relative_attention": True, "position_buckets": 32,
                                 "pos_att_type": ["p2c", "c2p"], "share_att_key": True,
                                 "norm_rel_ebd": "layer_norm", "position_biased_input": False,
                                 "layer_norm_eps": 1e-7, "type_vocab_size": 0}, "float16"),
    # DeBERTa-v2 with all that v3 does not have.
    "deberta-other": ("DebertaV2", {**BERT, "relative_attention": True, "embedding_size": 16,
                                    "pos_att_type": "c2p|p2c", "share_att_key": False,
                                    "max_relative_positions": 40, "position_biased_input": True,
                                    "type_vocab_size": 2}, "float16"),
    # Of v2-xlarge, and what makes its convolution pass a gradient on: a projection that is adapted.
    "deberta-conv": ("DebertaV2", {**BERT, "relative_attention": True, "position_buckets": 32,
                                   "pos_att_type": ["p2c", "c2p"], "share_att_key": True,
                                   "norm_rel_ebd": "layer_norm", "position_biased_input": False,
                                   "layer_norm_eps": 1e-7, "type_vocab_size": 0,
                                   "embedding_size": 16, "conv_kernel_size": 3,
                                   "conv_act": "gelu", "conv_groups": 2}, "float16"),
    "deberta-absolute": ("DebertaV2", {**BERT, "relative_attention": False,
                                       "type_vocab_size": 0, "conv_kernel_size": 5,
                                       "num_hidden_layers": 1}, "float16"),
    "modernbert": ("ModernBert", {"hidden_size": 32, "num_hidden_layers": 3,
                                  "num_attention_heads": 2, "intermediate_size": 24,
                                  "max_position_embeddings": 256, "local_attention": 16,
                                  "global_attn_every_n_layers": 2, "cls_token_id": 0,
                                  "sep_token_id": 2}, "bfloat16"),
    # With all that published models leave out.
    "modernbert-other": ("ModernBert", {
        "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2,
        "intermediate_size": 24, "max_position_embeddings": 256, "local_attention": 16,
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        "rope_parameters": {
            "full_attention": {"rope_type": "yarn", "factor": 4.0, "rope_theta": 160000.0,
                               "original_max_position_embeddings": 64},
            "sliding_attention": {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}},
        "hidden_activation": "mish", "classifier_activation": "relu2", "attention_bias": True,
        "mlp_bias": True, "norm_bias": True, "classifier_bias": True, "cls_token_id": 0,
        "sep_token_id": 2}, "bfloat16"),
    "eurobert": ("EuroBert", {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
                              "num_key_value_heads": 2, "intermediate_size": 40,
                              "max_position_embeddings": 256,
                              "rope_parameters": {"rope_type": "default",
                                                  "rope_theta": 250000.0}}, "bfloat16"),
    "nomic_bert": ("NomicBert", {**BERT, "intermediate_size": 40, "max_position_embeddings": 256,
                                 "type_vocab_size": 2}, "float16"),
}
SHARDED = {"camembert"}
# Where the first seed gives a gradient that is 0 but for rounding (Adam's first step takes its
# sign), or gradients that rounding to fp16 moves by more than other families'.
SEEDS = {"deberta-v2": 20261200, "modernbert-other": 20261201, "albert-groups": 20261242}


def masked_lm_class(prefix):
    return getattr(transformers, prefix + "ForMaskedLM")


def nearest_tie(values, code):
    """How near any value comes to where its code would change."""
    code = torch.sort(code).values
    return float((values[:, None] - ((code[:-1] + code[1:]) / 2)[None, :]).abs().min())


def has_near_ties(model):
    """Whether a rounding error could change the 4-bit code of a weight or the code of a scale (of
    which the CPU's quantization finds the nearest one to about 1e-5 only)."""
    for _, module in ref.encoder_linears(model):
        weight = module.weight.data.float()
        _, plain = bnb.quantize_4bit(weight, blocksize=64, quant_type="nf4")
        _, nested = bnb.quantize_4bit(weight, blocksize=64, quant_type="nf4",
                                      compress_statistics=True)
        scaled = weight.flatten() / plain.absmax.repeat_interleave(64)[:weight.numel()]
        rest = plain.absmax - nested.offset
        if (nearest_tie(scaled, plain.code) < 1e-6
                or nearest_tie(rest / rest.abs().max(), nested.state2.code) < 2e-5):
            return True
    return False


def make_model(name, folder):
    for seed in itertools.count(SEEDS.get(name, 20261125)):
        model = random_model(name, seed)
        if not has_near_ties(model):
            break
    model.save_pretrained(folder, **({"max_shard_size": "20KB"} if name in SHARDED else {}))
    make_tokenizer(folder)


def random_model(name, seed):
    """Random weights, large enough that every part of the network matters."""
    prefix, settings, dtype = FAMILIES[name]
    config = getattr(transformers, prefix + "Config")(
        **{"vocab_size": VOCAB, **SPECIAL, **settings})
    model = masked_lm_class(prefix)(config)
    random = np.random.RandomState(seed)
    for parameter, p in sorted(model.named_parameters()):
        if p.dim() == 1 and parameter.endswith("weight"):
            mean, scale = 1.0, 0.2
        elif parameter.endswith("bias"):
            mean, scale = 0.0, 0.1
        elif "embed" in parameter and p.shape[0] in (VOCAB, config.max_position_embeddings, 1, 2):
            mean, scale = 0.0, 0.3
        else:
            mean, scale = 0.0, 1.2 / p.shape[1] ** 0.5
        p.data = torch.from_numpy((mean + scale * random.randn(*p.shape)).astype(np.float32))
    model.tie_weights()
    return model.to(getattr(torch, dtype))


def make_tokenizer(folder):
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.add_special_tokens(WORDS[:5])
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", cls_token="<s>", eos_token="</s>",
        sep_token="</s>", pad_token="<pad>", unk_token="<unk>", mask_token="<mask>",
        model_max_length=150).save_pretrained(folder)


def load_model(name, folder):
    return masked_lm_class(FAMILIES[name][0]).from_pretrained(
        folder, attn_implementation="eager", dtype=torch.float32).eval()


def make_adapter(folder, model):
    """A peft adapter on "all-linear" whose A and B are both non-zero."""
    adapted = peft.get_peft_model(model, peft.LoraConfig(r=2, lora_alpha=4,
                                                         target_modules="all-linear"))
    random = np.random.RandomState(4)
    for name, p in ref.lora_parameters(adapted):
        values = (random.uniform(-1, 1, p.shape) / p.shape[1] ** 0.5 if "lora_A" in name
                  else 0.1 * random.randn(*p.shape))
        p.data = torch.from_numpy(values.astype(np.float32))
    adapted.save_pretrained(folder)
    (folder / "README.md").unlink()
    path = folder / "adapter_config.json"
    values = json.loads(path.read_text())
    values["target_modules"] = sorted(values["target_modules"])
    values["base_model_name_or_path"] = "model"
    path.write_text(json.dumps(values, indent=2, sort_keys=True))


def with_adapter(base, folder):
    return peft.PeftModel.from_pretrained(copy.deepcopy(base), folder, is_trainable=True).eval()


def make_rows(n_types):
    """Pre-masked sequences, with several masks each, padding ids inside the texts, token types."""
    random = np.random.RandomState(7)
    rows = []
    for n in LENGTHS:
        ids = np.concatenate([[0], random.randint(5, len(WORDS), n - 2), [2]]) if n > 1 else np.array([9])
        labels = np.full(n, -100)
        for p in range(n):
            if n > 1 and (p in (0, n - 1) or random.rand() > 0.12):
                continue
            labels[p] = ids[p]
            fate = random.rand() if n > 1 else 1.0  # a text of one mask is nothing to ESM
            ids[p] = 4 if fate < 0.8 else random.randint(5, len(WORDS)) if fate < 0.9 else ids[p]
        if n > 30:
            ids[n // 2] = 1  # the padding id, as a token
        row = {"input_ids": ids.tolist(), "labels": labels.tolist()}
        if n_types > 1:
            row["token_type_ids"] = [0] * (n - n // 3) + [1] * (n // 3)
        rows.append(row)
    return rows


def pad(model, rows):
    batch = ref.pad_rows(rows)
    batch["input_ids"][batch["attention_mask"] == 0] = 1
    if "token_type_ids" not in rows[0]:
        del batch["token_type_ids"]
    return batch


@torch.no_grad()
def labelled_logits(model, batch):
    logits = ref.forward(model, batch).logits[batch["labels"] != -100]
    labels = batch["labels"][batch["labels"] != -100]
    return logits, torch.nn.functional.cross_entropy(logits, labels).item()


def make_checkpoint_naming(folder, out):
    """The same NomicBERT as published checkpoints have it: transformers saves their names but for
    the prefix."""
    tensors = {name.replace("nomic_bert.", "bert."): tensor
               for name, tensor in load_file(folder / "model.safetensors").items()}
    out.mkdir(exist_ok=True)
    write_tensors(out / "model.safetensors", tensors)
    write_json(out / "config.json", {
        "model_type": "nomic_bert", "activation_function": "swiglu", "n_embd": 32, "n_head": 2,
        "n_inner": 40, "n_layer": 2, "n_positions": 256, "layer_norm_epsilon": 1e-12,
        "rotary_emb_base": 1000, "rotary_emb_fraction": 1.0, "qkv_proj_bias": False,
        "mlp_fc1_bias": False, "mlp_fc2_bias": False, "prenorm": False, "vocab_size": VOCAB - 3,
        "pad_vocab_size_multiple": 64, "type_vocab_size": 2, "resid_pdrop": 0.0,
        "attn_pdrop": 0.0, "embd_pdrop": 0.0})


def used_parameters(model):
    """Those of the adapter that the loss depends on: ESM's contact head is none of them."""
    return [(n, p) for n, p in ref.lora_parameters(model) if p.grad is not None]


def make_family(name, _, out):
    make_model(name, out / "model")
    if name == "nomic_bert":
        make_checkpoint_naming(out / "model", out / "model-checkpoint")
    base = load_model(name, out / "model")
    make_adapter(out / "adapter", load_model(name, out / "model"))
    rows = make_rows(getattr(base.config, "type_vocab_size", 0) or 0)
    write_rows(out / "train.jsonl", rows)
    batch = pad(base, rows)
    forward, loss = {}, {}
    for kind, model in (("base", base), ("nf4", ref.round_trip_4bit(copy.deepcopy(base)))):
        forward[f"{kind}.logits"], loss[kind] = labelled_logits(model, batch)
        adapted = with_adapter(model, out / "adapter")
        forward[f"{kind}.adapter.logits"], loss[f"{kind}.adapter"] = labelled_logits(adapted, batch)
        for _ in ref.train(adapted, [[batch]], **TRAINING):
            write_tensors(out / f"{kind}.gradients.safetensors",
                          {n: p.grad.clone() for n, p in used_parameters(adapted)})
        if kind == "base":
            write_tensors(out / "base.final.safetensors",
                          {n: p.detach() for n, p in used_parameters(adapted)})
    write_tensors(out / "forward.safetensors", forward)
    write_json(out / "golden.json", {
        "made_with": {m.__name__: m.__version__ for m in (torch, transformers, peft)},
        "loss": loss})


if __name__ == "__main__":
    make_folders(__doc__, FAMILIES, "", make_family)
