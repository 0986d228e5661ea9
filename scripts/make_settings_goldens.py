#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors
"""Writes tests/golden/settings: what transformers, peft and bitsandbytes make of single settings.
tests/golden/README.md says what each file holds.

    make_settings_goldens.py tests/golden/settings [PART ...]

pip packages: torch 2.15.0, transformers 5.24.0, peft 0.21.2, bitsandbytes 0.50.2 (see the files'
"made_with"). Random numbers come from numpy's RandomState, whose streams are frozen.
"""

import argparse
import copy
import json
import pathlib
import re
import shutil
import tempfile

import bitsandbytes
import bitsandbytes.functional as bnb
import numpy as np
import peft
import torch
import transformers
from safetensors.torch import save_file

import torch_reference as ref


def write_json(path, value):
    path.write_text(json.dumps(value, indent=1) + "\n")


# ---- Learning rate schedules

SCHEDULES = [
    ("constant", {}, 3), ("constant_with_warmup", {}, 3), ("linear", {}, 0), ("linear", {}, 3),
    ("cosine", {}, 3), ("cosine", {"num_cycles": 1.25}, 0), ("cosine_with_restarts", {}, 2),
    ("cosine_with_restarts", {"num_cycles": 3}, 2), ("polynomial", {}, 3),
    ("polynomial", {"lr_end": 1e-3, "power": 2.0}, 2), ("inverse_sqrt", {}, 4),
    ("inverse_sqrt", {}, 0), ("inverse_sqrt", {"timescale": 7}, 3),
    ("cosine_with_min_lr", {"min_lr": 1e-3}, 3), ("cosine_with_min_lr", {"min_lr_rate": 0.2}, 0),
    ("cosine_with_min_lr", {"min_lr_rate": 0.1, "num_cycles": 1.0}, 2),
    ("cosine_warmup_with_min_lr", {"min_lr_rate": 0.1}, 4),
    ("cosine_warmup_with_min_lr", {"min_lr": 2e-3, "warmup_lr_rate": 0.25}, 4),
    ("warmup_stable_decay", {"num_decay_steps": 5}, 3),
    ("warmup_stable_decay", {"num_decay_steps": 4, "num_stable_steps": 3, "min_lr_ratio": 0.1,
                             "warmup_type": "cosine", "decay_type": "linear"}, 4),
    ("warmup_stable_decay", {"num_decay_steps": 6, "warmup_type": "1-sqrt",
                             "decay_type": "1-sqrt", "min_lr_ratio": 0.05}, 4),
    ("warmup_stable_decay", {"num_decay_steps": 6, "num_cycles": 1.5}, 0),
]
PLATEAUS = [
    {}, {"patience": 1}, {"factor": 0.5, "patience": 0, "min_lr": 1e-3},
    {"patience": 1, "cooldown": 2, "factor": 0.3}, {"mode": "max", "patience": 2, "factor": 0.5},
    {"threshold_mode": "abs", "threshold": 0.05, "patience": 1, "factor": 0.5},
]


def make_optimizer(lr):
    return torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=lr)


def schedules(out):
    lr, total, rows = 5e-3, 14, []
    for name, kwargs, warmup in SCHEDULES:
        optimizer = make_optimizer(lr)
        schedule = transformers.get_scheduler(name, optimizer, warmup, total, kwargs)
        rates = []
        for _ in range(total + 2):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
        rows.append({"name": name, "kwargs": kwargs, "warmup": warmup, "rates": rates})
    random = np.random.RandomState(5)
    metrics = [float(m) for m in np.round(3.0 - np.minimum(np.arange(24) * 0.2, 1.4)
                                          + 0.05 * random.randn(24), 4)]
    plateaus = []
    for kwargs in PLATEAUS:
        optimizer = make_optimizer(lr)
        schedule = transformers.get_scheduler("reduce_lr_on_plateau", optimizer, 0, total, kwargs)
        rates = []
        for metric in metrics:
            schedule.step(metric)
            rates.append(optimizer.param_groups[0]["lr"])
        plateaus.append({"kwargs": kwargs, "rates": rates})
    write_json(out / "schedules.json",
               {"made_with": {"torch": torch.__version__, "transformers": transformers.__version__},
                "learning_rate": lr, "total": total, "schedules": rows, "metrics": metrics,
                "plateaus": plateaus})


# ---- 8-bit AdamW

ADAMW8 = {"lr": 1e-2, "betas": (0.9, 0.999), "eps": 1e-8, "steps": 4, "size": 600}


def adamw8(out):
    """Parameters and scales by bitsandbytes' CPU path, without weight decay (it decays before the
    update, the CUDA kernels after). Codes by ref.requantize: the CPU path looks values up in a coarse
    table (0 gets the code of 4e-6), which the CUDA kernels do not."""
    random = np.random.RandomState(8)
    n, (beta1, beta2) = ADAMW8["size"], ADAMW8["betas"]
    p = torch.from_numpy(random.randn(n).astype(np.float32))
    maps = [bnb.create_dynamic_map(signed=True), bnb.create_dynamic_map(signed=False)]
    codes = [torch.zeros(n, dtype=torch.uint8) for _ in range(2)]
    scales = [torch.zeros((n + 255) // 256) for _ in range(2)]
    tensors = {"p.0": p.clone(), "signed_map": maps[0], "unsigned_map": maps[1]}
    for step in range(1, ADAMW8["steps"] + 1):
        # Magnitudes over six decades, some gradients 0, one block with none at all at first.
        g = random.randn(n) * 10.0 ** random.uniform(-5, 1, n) * (random.rand(n) > 0.1)
        if step == 1:
            g[256:512] = 0
        g = torch.from_numpy(g.astype(np.float32))
        m, v = (code_map[code.long()] * scale.repeat_interleave(256)[:n]
                for code_map, code, scale in zip(maps, codes, scales))
        bnb.optimizer_update_8bit_blockwise(
            "adam", g, p, codes[0], codes[1], beta1, beta2, 0.0, 0.0, ADAMW8["eps"], step,
            ADAMW8["lr"], maps[0], maps[1], scales[0], scales[1], 0.0, 1.0, False)
        for i, values in enumerate((m * beta1 + (1 - beta1) * g, v * beta2 + (1 - beta2) * g * g)):
            codes[i], own_scales = ref.requantize(values, maps[i])
            assert torch.allclose(own_scales, scales[i], rtol=1e-6)
        tensors |= {f"g.{step}": g, f"p.{step}": p.clone(), f"m.{step}": codes[0].clone(),
                    f"v.{step}": codes[1].clone(), f"m_scale.{step}": scales[0].clone(),
                    f"v_scale.{step}": scales[1].clone()}
    save_file(tensors, out / "adamw8.safetensors",
              metadata={"made_with": f"bitsandbytes {bitsandbytes.__version__}"})


# ---- LoRA targets

REGEX = r".*\.layer\.\d+\.(attention\.self\.(query|value)|output\.dense)"
TARGETS = [
    {}, {"target_modules": "all-linear"}, {"target_modules": "ALL-linear"},
    {"target_modules": ["query", "value"]}, {"target_modules": ["dense"]},
    {"target_modules": ["output.dense"]}, {"target_modules": ["attention.output.dense"]},
    {"target_modules": ["transform.dense"]}, {"target_modules": ["uery"]},
    {"target_modules": ["query", "nothing"]},
    {"target_modules": ["bert.encoder.layer.1.attention.self.key"]},
    {"target_modules": REGEX}, {"target_modules": "query"}, {"target_modules": ".*query"},
    {"target_modules": r"bert\.encoder\.layer\.[1-9]\.intermediate\.dense"},
    {"target_modules": ".*", "exclude_modules": r"(?!.*(query|key)$).*"},
    {"target_modules": "all-linear", "exclude_modules": ["dense"]},
    {"target_modules": "all-linear", "exclude_modules": r"cls\..*"},
    {"target_modules": ["query", "dense"], "exclude_modules": ["transform.dense", "query"]},
    {"target_modules": ["query", "key"], "layers_to_transform": 1},
    {"target_modules": ["query", "dense"], "layers_to_transform": [0]},
    {"target_modules": ["query"], "layers_to_transform": [0, 1, 7]},
    {"target_modules": ["query"], "layers_to_transform": [7]},
    {"target_modules": ["query", "bert.encoder.layer.1.attention.self.key"],
     "layers_to_transform": [0]},
    {"target_modules": ["query"], "layers_to_transform": [1], "layers_pattern": "layer"},
    {"target_modules": ["query"], "layers_to_transform": [1], "layers_pattern": ["h", "layer"]},
    {"target_modules": ["query"], "layers_to_transform": [1], "layers_pattern": "blocks"},
    {"target_modules": ["query"], "layers_to_transform": []},
    {"target_modules": "all-linear", "layers_to_transform": [1]},
    {"target_modules": REGEX, "layers_to_transform": [1]},
    {"target_modules": ["query"], "layers_pattern": "layer"},
    {"target_modules": ["query", "value"], "rank_pattern": {"query": 2}},
    {"target_modules": ["query", "dense"], "r": 6, "lora_alpha": 3, "use_rslora": True},
    {"target_modules": ["query", "dense"], "use_rslora": True, "lora_alpha": 10,
     "rank_pattern": {"output.dense": 3, "layer.1.*": 5, r"layer\.\d+\.attention\.self\.query": 7},
     "alpha_pattern": {"layer.0.attention.output.dense": 20, "dense": 1.5}},
    {"target_modules": ["query"], "rank_pattern": {"uery": 2}},
    {"target_modules": ["query"], "rank_pattern": {"^bert.encoder.layer.0.attention.self.query": 2}},
    {"target_modules": ["decoder"]}, {"target_modules": ["query", "LayerNorm"]},
    {"target_modules": ["attention"]}, {"target_modules": ["query", "self"]},
    {"target_modules": ["nothing"]}, {"target_modules": ["query"], "exclude_modules": ["query"]},
]


def load_bert(folder):
    return transformers.BertForMaskedLM.from_pretrained(
        folder, attn_implementation="eager", dtype=torch.float32).eval()


def adapted(model):
    return {name.removeprefix("base_model.model."): [module.r["default"], module.scaling["default"]]
            for name, module in model.named_modules() if isinstance(module, peft.tuners.lora.LoraLayer)}


def lora_targets(out):
    """What peft adapts for the settings of TARGETS; settings/adapter, one with patterns and rank
    stabilization, and the logits it gives."""
    base = out.parent / "bert" / "model"
    rows = []
    for settings in TARGETS:
        row = {"settings": settings}
        try:
            row["modules"] = adapted(peft.get_peft_model(load_bert(base), peft.LoraConfig(**settings)))
        except (ValueError, TypeError) as error:
            row["error"] = f"{type(error).__name__}: {str(error).splitlines()[0][:120]}"
        rows.append(row)
    write_json(out / "lora_targets.json", {"made_with": {"peft": peft.__version__}, "rows": rows})

    random = np.random.RandomState(12)
    model = peft.get_peft_model(load_bert(base), peft.LoraConfig(
        r=3, lora_alpha=5, use_rslora=True, target_modules=REGEX, rank_pattern={"query": 2},
        alpha_pattern={"layer.1.output.dense": 9}))
    for name, p in sorted(model.named_parameters()):
        if "lora_" in name:
            p.data = torch.from_numpy((0.3 * random.randn(*p.shape)).astype(np.float32))
    folder = out / "adapter"
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    (folder / "README.md").unlink()
    config = json.loads((folder / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = "model"
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True))
    ids = torch.tensor([[2, 70, 4, 81, 9, 3]])
    with torch.no_grad():
        logits = model.eval()(input_ids=ids).logits[0]
    save_file({"ids": ids[0].int(), "logits": logits}, out / "adapter_logits.safetensors")


# ---- LoRA targets of every family

WIDE = {"num_hidden_layers": 12, "n_layers": 12, "n_layer": 12}


def layer_linears(model):
    """Last names of the Linears in numbered layers, and the name before the number."""
    names, containers = [], set()
    for path, module in model.named_modules():
        match = re.match(r".*?\.([^.]*)\.\d+\.", path)
        if isinstance(module, torch.nn.Linear) and match:
            names.append(path.rsplit(".", 1)[1])
            containers.add(match.group(1))
    return sorted(set(names)), containers.pop()


def family_settings(names, container):
    first, last = names[0], names[-1]
    return [
        {}, {"target_modules": "all-linear"}, {"target_modules": names},
        {"target_modules": names, "layers_to_transform": [0, 11]},
        {"target_modules": [first], "layers_to_transform": 1},
        {"target_modules": names, "layers_to_transform": [1, 2], "layers_pattern": container},
        {"target_modules": names, "layers_to_transform": [1], "layers_pattern": ["h", "blocks"]},
        {"target_modules": rf".*\.(1|10)\.(.*\.)?({first}|{last})"},
        {"target_modules": "all-linear", "exclude_modules": [last]},
        {"target_modules": "all-linear", "exclude_modules": r".*\.[2-9]\..*"},
        {"target_modules": ["dense"]}, {"target_modules": ["output.dense", "Wo", "out_lin"]},
        {"target_modules": names, "r": 6, "lora_alpha": 3, "use_rslora": True,
         "rank_pattern": {first: 2, rf".*\.1\.(.*\.)?{last}": 5},
         "alpha_pattern": {last: 9, rf"{container}.11.*": 1}},
        {"target_modules": ["decoder"]}, {"target_modules": ["word_embeddings", first]},
        {"target_modules": [container]}, {"target_modules": ["LayerNorm"]},
    ]


def collapsed(modules, patterns):
    """[index in patterns of the path with {i} for its first number, those numbers (null: all), rank,
    scale], for what shares all else."""
    groups = {}
    for path, (rank, scale) in modules.items():
        number = re.search(r"\.(\d+)\.", path)
        pattern = path[:number.start(1)] + "{i}" + path[number.end(1):] if number else path
        groups.setdefault((pattern, rank, scale), []).append(int(number.group(1)) if number else 0)
    patterns += [key[0] for key in groups if key[0] not in patterns]
    return [[patterns.index(pattern), None if layers == list(range(12)) else layers, rank, scale]
            for (pattern, rank, scale), layers in groups.items()]


def family_targets(out):
    """What peft adapts in 12-layer models of all model types, for family_settings."""
    rows = []
    for folder in [out.parent / "bert", *sorted((out.parent / "families").iterdir())]:
        if folder.name in ("esm-1b", "esm-none"):  # the same modules as esm
            continue
        config = json.loads((folder / "model" / "config.json").read_text())
        config |= {key: n for key, n in WIDE.items() if key in config}
        if "num_hidden_groups" in config:
            config["num_hidden_groups"] = 12
        for key in ("layer_types", "architectures"):
            config.pop(key, None)
        with tempfile.TemporaryDirectory() as work:
            (pathlib.Path(work) / "config.json").write_text(json.dumps(config))
            made = transformers.AutoConfig.from_pretrained(work)
        model = transformers.AutoModelForMaskedLM.from_config(made)
        cases, patterns = [], []
        for settings in family_settings(*layer_linears(model)):
            case = {"settings": settings}
            try:
                case["modules"] = collapsed(adapted(peft.get_peft_model(
                    copy.deepcopy(model), peft.LoraConfig(**settings))), patterns)
            except (ValueError, TypeError) as error:
                case["error"] = f"{type(error).__name__}: {str(error).splitlines()[0][:60]}"
            cases.append(case)
        rows.append({"family": folder.name, "class": type(model).__name__,
                     "library": type(model).__module__, "config": config, "patterns": patterns,
                     "cases": cases})
    lines = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
    (out / "family_targets.json").write_text(
        f'{{"made_with": {json.dumps({"peft": peft.__version__})}, "families": [\n{lines}\n]}}\n')


# ---- Order of samples, whole words

TEXTS = ["The king's house, (and) the city's door.", "unto the lord: don't!  and   1,234.5 dogs",
         "...", "moses-and-god went fishing", "a[MASK]b [MASK] king", "kingly lords' fishers",
         "  the\tend  "]


def data(out):
    """transformers' group_by_length for a permutation, and the words that its collator for whole
    word masking makes of the offsets, beside the tokenizer's own."""
    from transformers.trainer_pt_utils import get_length_grouped_indices

    random = np.random.RandomState(3)
    orders = []
    for n, batch in ((1, 4), (7, 2), (50, 3), (450, 2)):
        lengths = random.randint(1, 12, n).tolist()
        generator = torch.Generator().manual_seed(n)
        shuffled = torch.randperm(n, generator=torch.Generator().manual_seed(n)).tolist()
        orders.append({"lengths": lengths, "batch": batch, "shuffled": shuffled,
                       "grouped": get_length_grouped_indices(lengths, batch, generator=generator)})
    tokenizer = transformers.AutoTokenizer.from_pretrained(out.parent / "bert" / "model")
    words = []
    for text in TEXTS:
        e = tokenizer(text, return_offsets_mapping=True, return_special_tokens_mask=True)
        own = [-1 if w is None else w for w in e.word_ids()]
        theirs, _ = transformers.DataCollatorForLanguageModeling._calc_word_ids_and_prob_mask(
            np.array([e["offset_mapping"]]), np.array([e["special_tokens_mask"]]))
        words.append({"text": text, "ids": e["input_ids"], "words": own,
                      "words_hf": theirs[0].tolist()})
    golden = {"made_with": {"transformers": transformers.__version__},
              "group_by_length": orders, "whole_words": words}
    (out / "data.json").write_text(json.dumps(golden) + "\n")


# ---- Keys

# run_mlm.py's own arguments, qlora.py's, and those that transformers 4 had and 5 has no more.
RUN_MLM = """model_name_or_path model_type config_overrides config_name tokenizer_name cache_dir
use_fast_tokenizer model_revision token trust_remote_code dtype dataset_name dataset_config_name
train_file validation_file overwrite_cache validation_split_percentage max_seq_length
preprocessing_num_workers mlm_probability line_by_line pad_to_max_length max_train_samples
max_eval_samples streaming torch_dtype low_cpu_mem_usage use_auth_token""".split()
QLORA = """model_name_or_path trust_remote_code use_auth_token eval_dataset_size max_train_samples
max_eval_samples source_max_len target_max_len dataset dataset_format cache_dir train_on_source
mmlu_split mmlu_dataset do_mmlu_eval max_mmlu_samples mmlu_source_max_len full_finetune adam8bit
double_quant quant_type bits lora_r lora_alpha lora_dropout max_memory_MB report_to output_dir optim
per_device_train_batch_size gradient_accumulation_steps max_steps weight_decay learning_rate
remove_unused_columns max_grad_norm gradient_checkpointing do_train lr_scheduler_type warmup_ratio
logging_steps group_by_length save_strategy save_steps save_total_limit predict_with_generate
max_new_tokens min_new_tokens do_sample num_beams num_beam_groups penalty_alpha use_cache temperature
top_k top_p typical_p diversity_penalty repetition_penalty length_penalty no_repeat_ngram_size
sortish_sampler generation_max_length generation_num_beams generation_config""".split()
TRANSFORMERS_4 = """overwrite_output_dir evaluation_strategy per_gpu_train_batch_size
per_gpu_eval_batch_size warmup_ratio group_by_length logging_dir save_safetensors no_cuda
use_mps_device jit_mode_eval use_ipex fp16_opt_level half_precision_backend fp16_backend
tpu_num_cores tpu_metrics_debug past_index include_inputs_for_metrics include_tokens_per_second
push_to_hub_model_id push_to_hub_organization push_to_hub_token mp_parameters torchdynamo ray_scope
fsdp_min_num_params fsdp_transformer_layer_cls_to_wrap sharded_ddp dispatch_batches split_batches
xpu_backend""".split()
COLLATOR = "mlm_probability whole_word_mask mask_replace_prob random_replace_prob".split()


def keys(out):
    """Every key that users of these programs write."""
    import dataclasses
    import inspect

    def fields(cls):
        return sorted(f.name for f in dataclasses.fields(cls) if not f.name.startswith("_"))

    bnb_config = [name for name in
                  inspect.signature(transformers.BitsAndBytesConfig.__init__).parameters
                  if name not in ("self", "kwargs")]
    write_json(out / "keys.json",
               {"made_with": {"transformers": transformers.__version__, "peft": peft.__version__},
                "keys": sorted({*fields(transformers.TrainingArguments), *fields(peft.LoraConfig),
                                *bnb_config, *RUN_MLM, *QLORA, *TRANSFORMERS_4, *COLLATOR})})


PARTS = {"schedules": schedules, "adamw8": adamw8, "lora_targets": lora_targets,
         "family_targets": family_targets, "data": data, "keys": keys}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("part", nargs="*", help=", ".join(PARTS) + "; all when none is given")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.part or PARTS:
        PARTS[name](options.out)


if __name__ == "__main__":
    main()
