#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors
"""Writes tests/golden/configs.json: config.json files in the forms that published folders have, and
what transformers 5 makes of each: every key, in its present names.

    make_config_goldens.py tests/golden/configs.json

A row is {name, found, saved, facts}: `found` as it stands in a folder, `saved` as transformers
writes it now, `facts` what transformers' configuration object says. Both forms are one model.

pip packages: transformers 5.24.0.
"""

import json
import pathlib
import sys

import transformers

V4 = {"transformers_version": "4.47.0", "torch_dtype": "float32", "architectures": ["X"],
      "initializer_range": 0.02, "use_cache": True, "gradient_checkpointing": False}
V2 = {"output_past": True, "pruned_heads": {}, "torchscript": False, "use_bfloat16": False,
      "output_attentions": False, "finetuning_task": None, "num_labels": 2, "is_decoder": False,
      "id2label": {"0": "LABEL_0", "1": "LABEL_1"}, "do_sample": False, "eos_token_ids": None}
BASE = {"attention_probs_dropout_prob": 0.1, "hidden_dropout_prob": 0.1, "hidden_act": "gelu",
        "hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12,
        "num_hidden_layers": 12}
ROBERTA = {**BASE, "max_position_embeddings": 514, "type_vocab_size": 1, "layer_norm_eps": 1e-5,
           "bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}
MODERNBERT = {"attention_bias": False, "attention_dropout": 0.0, "bos_token_id": 50281,
              "classifier_activation": "gelu", "classifier_bias": False, "classifier_dropout": 0.0,
              "classifier_pooling": "mean", "cls_token_id": 50281, "decoder_bias": True,
              "deterministic_flash_attn": False, "embedding_dropout": 0.0, "eos_token_id": 50282,
              "global_attn_every_n_layers": 3, "global_rope_theta": 160000.0,
              "hidden_activation": "gelu", "initializer_cutoff_factor": 2.0,
              "intermediate_size": 1152, "layer_norm_eps": 1e-05, "local_attention": 128,
              "local_rope_theta": 10000.0, "max_position_embeddings": 8192, "mlp_bias": False,
              "mlp_dropout": 0.0, "norm_bias": False, "norm_eps": 1e-05, "hidden_size": 768,
              "num_attention_heads": 12, "num_hidden_layers": 22, "pad_token_id": 50283,
              "position_embedding_type": "absolute", "reference_compile": None,
              "repad_logits_with_grad": False, "sep_token_id": 50282, "sparse_pred_ignore_index": -100,
              "sparse_prediction": False, "vocab_size": 50368}
EUROBERT = {"attention_bias": False, "attention_dropout": 0.0, "bos_token_id": 128000,
            "classifier_pooling": "late", "eos_token_id": 128001, "head_dim": 64,
            "hidden_act": "silu", "hidden_dropout": 0.0, "hidden_size": 768,
            "intermediate_size": 3072, "mask_token": "<|mask|>", "mask_token_id": 128002,
            "max_position_embeddings": 8192, "mlp_bias": False, "num_attention_heads": 12,
            "num_hidden_layers": 12, "num_key_value_heads": 12, "pad_token": "<|end_of_text|>",
            "pad_token_id": 128001, "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_scaling": None,
            "rope_theta": 250000, "tie_word_embeddings": False, "vocab_size": 128256}

# name: model_type, the keys of a published config.json.
FOUND = {
    "bert of 2019": ("bert", {**V2, **BASE, "layer_norm_eps": 1e-12, "vocab_size": 30522,
                              "max_position_embeddings": 512, "type_vocab_size": 2}),
    "bert": ("bert", {**V4, **BASE, "layer_norm_eps": 1e-12, "vocab_size": 30522,
                      "max_position_embeddings": 512, "type_vocab_size": 2, "pad_token_id": 0,
                      "position_embedding_type": "absolute"}),
    "bert of few keys": ("bert", {"hidden_size": 128, "num_attention_heads": 2,
                                  "num_hidden_layers": 2, "intermediate_size": 512}),
    "roberta": ("roberta", {**V4, **ROBERTA, "vocab_size": 50265}),
    "xlm-roberta": ("xlm-roberta", {**V4, **ROBERTA, "vocab_size": 250002,
                                    "position_embedding_type": "absolute"}),
    "camembert of 2019": ("camembert", {**V2, **ROBERTA, "bos_token_id": 5, "eos_token_id": 6,
                                        "vocab_size": 32005}),
    "xlm-roberta-xl": ("xlm-roberta-xl", {
        **V4, **ROBERTA, "hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 36,
        "num_attention_heads": 32, "vocab_size": 250880}),
    "distilbert": ("distilbert", {
        "activation": "gelu", "attention_dropout": 0.1, "dim": 768, "dropout": 0.1,
        "hidden_dim": 3072, "max_position_embeddings": 512, "n_heads": 12, "n_layers": 6,
        "pad_token_id": 0, "qa_dropout": 0.1, "seq_classif_dropout": 0.2,
        "sinusoidal_pos_embds": False, "tie_weights_": True, "vocab_size": 30522}),
    "albert": ("albert", {
        **V4, **BASE, "hidden_act": "gelu_new", "attention_probs_dropout_prob": 0,
        "hidden_dropout_prob": 0, "classifier_dropout_prob": 0.1, "down_scale_factor": 1,
        "embedding_size": 128, "gap_size": 0, "inner_group_num": 1, "layer_norm_eps": 1e-12,
        "max_position_embeddings": 512, "net_structure_type": 0, "num_hidden_groups": 1,
        "num_memory_blocks": 0, "pad_token_id": 0, "type_vocab_size": 2, "vocab_size": 30000}),
    "electra generator": ("electra", {
        **BASE, "embedding_size": 128, "hidden_size": 256, "intermediate_size": 1024,
        "layer_norm_eps": 1e-12, "max_position_embeddings": 512, "num_attention_heads": 4,
        "summary_activation": "gelu", "summary_last_dropout": 0.1, "summary_type": "first",
        "summary_use_proj": True, "type_vocab_size": 2, "vocab_size": 30522}),
    "megatron-bert": ("megatron-bert", {
        **V4, **BASE, "hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16,
        "num_hidden_layers": 24, "layer_norm_eps": 1e-12, "max_position_embeddings": 512,
        "type_vocab_size": 2, "vocab_size": 29056}),
    "mpnet": ("mpnet", {**BASE, "bos_token_id": 0, "eos_token_id": 2, "layer_norm_eps": 1e-05,
                        "max_position_embeddings": 514, "pad_token_id": 1,
                        "relative_attention_num_buckets": 32, "vocab_size": 30527}),
    "deberta-v3": ("deberta-v2", {
        **BASE, "attention_head_size": 64, "max_position_embeddings": 512,
        "relative_attention": True, "position_buckets": 256, "norm_rel_ebd": "layer_norm",
        "share_att_key": True, "pos_att_type": "p2c|c2p", "layer_norm_eps": 1e-7,
        "max_relative_positions": -1, "position_biased_input": False, "vocab_size": 128100,
        "type_vocab_size": 0}),
    "deberta-v3 of a list": ("deberta-v2", {
        **V4, **BASE, "max_position_embeddings": 512, "relative_attention": True,
        "position_buckets": 256, "norm_rel_ebd": "layer_norm", "share_att_key": True,
        "pos_att_type": ["p2c", "c2p"], "layer_norm_eps": 1e-7, "max_relative_positions": -1,
        "position_biased_input": False, "pad_token_id": 0, "pooler_dropout": 0, "legacy": True,
        "pooler_hidden_act": "gelu", "pooler_hidden_size": 768, "vocab_size": 251000,
        "type_vocab_size": 0}),
    "esm-2": ("esm", {
        **V4, **BASE, "attention_probs_dropout_prob": 0.0, "hidden_dropout_prob": 0.0,
        "classifier_dropout": None, "emb_layer_norm_before": False, "esmfold_config": None,
        "hidden_size": 320, "intermediate_size": 1280, "is_folding_model": False,
        "layer_norm_eps": 1e-05, "mask_token_id": 32, "max_position_embeddings": 1026,
        "num_attention_heads": 20, "num_hidden_layers": 6, "pad_token_id": 1,
        "position_embedding_type": "rotary", "token_dropout": True, "vocab_list": None,
        "vocab_size": 33}),
    "modernbert": ("modernbert", {**V4, **MODERNBERT}),
    "modernbert of other layers": ("modernbert", {**V4, **MODERNBERT, "local_rope_theta": 160000.0,
                                                  "global_attn_every_n_layers": 2,
                                                  "num_hidden_layers": 5}),
    "eurobert": ("eurobert", {**V4, **EUROBERT, "torch_dtype": "bfloat16"}),
    "eurobert, heads of keys shared": ("eurobert", {**V4, **EUROBERT, "num_key_value_heads": 6,
                                                    "hidden_size": 1152, "num_attention_heads": 18,
                                                    "intermediate_size": 4096}),
    "nomic_bert": ("nomic_bert", {
        **BASE, "attention_probs_dropout_prob": 0.0, "hidden_dropout_prob": 0.0,
        "hidden_act": "silu", "layer_norm_eps": 1e-12, "max_position_embeddings": 2048,
        "pad_token_id": 0, "type_vocab_size": 2, "vocab_size": 30528, "rope_theta": 1000.0}),
}
SIZES = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
         "vocab_size", "max_position_embeddings", "num_key_value_heads", "layer_types")


def facts(config):
    said = {}
    for key in SIZES:
        value = getattr(config, key, None)
        if value is not None:
            said[key] = value
    rope = getattr(config, "rope_parameters", None)
    if rope:
        said["thetas"] = sorted({p["rope_theta"] for p in rope.values()}
                                if "rope_theta" not in rope else {rope["rope_theta"]})
    return said


def main():
    rows = []
    for name, (model_type, found) in FOUND.items():
        config = transformers.AutoConfig.for_model(model_type, **found)
        saved = json.loads(config.to_json_string(use_diff=False))
        for key in ("id2label", "label2id", "_name_or_path", "chunk_size_feed_forward"):
            saved.pop(key, None)
        rows.append({"name": name, "found": {"model_type": model_type, **found}, "saved": saved,
                     "facts": facts(config)})
    lines = ",\n".join(json.dumps(row) for row in rows)
    pathlib.Path(sys.argv[1]).write_text(f"[{lines}]\n")


if __name__ == "__main__":
    main()
