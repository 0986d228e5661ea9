#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors
"""Writes tests/golden/tokenizer_files.json: small tokenizers without tokenizer.json, their files
inline (sentencepiece models in base64), and requests with the reference's answers.

Where transformers 5 builds another pipeline than the converters that wrote the published
tokenizer.json files (DeBERTa), the converter is the reference.

Usage: python3 scripts/make_tokenizer_file_goldens.py
Needs the Python packages `tokenizers`, `transformers`, `sentencepiece` and `protobuf`.
"""
import base64
import io
import json
import pathlib
import random
import tempfile
import types

import sentencepiece
from compare_tokenizers import reference_answer
from make_tokenizer_goldens import ROOT, golden_requests, vocabulary, write
from sentencepiece import sentencepiece_model_pb2
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, trainers
from transformers import AutoTokenizer
from transformers.convert_slow_tokenizer import DebertaConverter, DebertaV2Converter

CORPUS = (ROOT / "examples/kjv/valid.txt").read_text().splitlines()[:600]
# A small character map: ligature, spaces, fullwidth letter, combining mark, soft hyphen.
RULES = "FB01\t66 69\nA0\t20\n3000\t20\nFF21\t41\n301 \t\nAD\t\n"
# The model of "byte-level": every byte and some merges.
N_BYTE_LEVEL = 300
TOKEN_FLAGS = dict(rstrip=False, single_word=False, normalized=False, special=True)


def trained_pieces(model_type, vocab_size, roles=(), **options):
    """A sentencepiece model; `roles` rename its first pieces after <unk>, <s> and </s>."""
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as rules:
        rules.write(RULES)
        rules.flush()
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(CORPUS), model_writer=model, model_type=model_type,
            vocab_size=vocab_size, normalization_rule_tsv=rules.name, minloglevel=2,
            num_threads=1, **options,
        )  # fmt: skip
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(model.getvalue())
    proto.normalizer_spec.normalization_rule_tsv = ""  # a path
    proto.trainer_spec.ClearField("input")
    for piece, name in zip(proto.pieces, roles):
        piece.piece = name
    return proto


def encoded(proto):
    return base64.b64encode(proto.SerializeToString()).decode()


def mask(content, lstrip):
    return {"__type": "AddedToken", "content": content, "lstrip": lstrip, **TOKEN_FLAGS}


def byte_level_files(specials):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(vocab_size=N_BYTE_LEVEL, special_tokens=specials,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                                  show_progress=False)  # fmt: skip
    tokenizer.train_from_iterator(CORPUS, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    merges = [" ".join(m) if isinstance(m, list) else m for m in model["merges"]]
    return {"vocab.json": model["vocab"], "merges.txt": "\n".join(["#version: 0.2", *merges, ""])}


def cases():
    """(name, files): what AutoTokenizer reads, or a converter where the name says so."""
    albert = trained_pieces("unigram", 150, pad_id=0, unk_id=1, bos_id=-1, eos_id=-1,
                            control_symbols="[CLS],[SEP],[MASK]")  # fmt: skip
    next(p for p in albert.pieces if p.piece == ",").piece = "1,"
    deberta = trained_pieces("unigram", 150, ["[UNK]", "[CLS]", "[SEP]"], control_symbols="[PAD]")
    deberta.trainer_spec.unk_piece = "[UNK]"
    plain = trained_pieces("unigram", 150)
    config = lambda name, **more: {"tokenizer_class": name, **more}
    roberta = byte_level_files(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    lines = ["<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWCXBUZO.-", "<null_1>", "<mask>"]
    yield "RoBERTa", roberta | {
        "tokenizer_config.json": config("RobertaTokenizer", mask_token=mask("<mask>", True))
    }
    yield "RoBERTa, prefix space", roberta | {
        "tokenizer_config.json": config(
            "RobertaTokenizer", add_prefix_space=True, mask_token=mask("<mask>", False),
            additional_special_tokens=["<new>"],
        )
    }  # fmt: skip
    yield "DeBERTa (converter)", byte_level_files(["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]) | {
        "config.json": {"model_type": "deberta"}
    }
    yield "XLM-RoBERTa", {
        "sentencepiece.bpe.model": encoded(plain),
        "tokenizer_config.json": config("XLMRobertaTokenizer", mask_token=mask("<mask>", True)),
    }
    yield "CamemBERT", {
        "sentencepiece.bpe.model": encoded(plain),
        "tokenizer_config.json": config("CamembertTokenizer"),
    }
    yield "ALBERT", {
        "spiece.model": encoded(albert),
        "tokenizer_config.json": config("AlbertTokenizer", mask_token=mask("[MASK]", False)),
    }
    yield "ALBERT, cased", {
        "spiece.model": encoded(albert),
        "tokenizer_config.json": config(
            "AlbertTokenizer", do_lower_case=False, keep_accents=True,
            mask_token=mask("[MASK]", False),
        ),
    }  # fmt: skip
    yield "DeBERTa-v2 (converter)", {
        "spm.model": encoded(deberta), "config.json": {"model_type": "deberta-v2"}
    }  # fmt: skip
    yield "DeBERTa-v2, split (converter)", {
        "spm.model": encoded(deberta),
        "tokenizer_config.json": config("DebertaV2Tokenizer", do_lower_case=True, split_by_punct=True),
    }
    yield "sentencepiece BPE", {
        "tokenizer.model": encoded(
            trained_pieces("bpe", 400, byte_fallback=True, user_defined_symbols="(,),<x>")
        ),
        "tokenizer_config.json": config("TokenizersBackend"),
    }  # fmt: skip
    n = len(vocabulary())
    yield "BERT, older files for added tokens", {
        "vocab.txt": "\n".join(vocabulary()),
        "added_tokens.json": {"<Y>": n, "<MASK>": n + 1, "<Élan>": n + 2},
        "special_tokens_map.json": {
            "mask_token": "<MASK>", "pad_token": {"content": "[PAD]", "rstrip": True},
            "additional_special_tokens": ["<E>", "<Y>"],
        },
        "tokenizer_config.json": config("BertTokenizer"),
    }  # fmt: skip
    yield "ESM", {
        "vocab.txt": "\n".join(lines),
        "tokenizer_config.json": config("EsmTokenizer"),
    }


def write_folder(folder, files):
    for name, content in files.items():
        if name.endswith(".model"):
            (folder / name).write_bytes(base64.b64decode(content))
        else:
            text = content if isinstance(content, str) else json.dumps(content)
            (folder / name).write_text(text)


def converted(folder, files):
    """(tokenizer, special ids, mask id) by the converter of a DeBERTa."""
    settings = files.get("tokenizer_config.json", {})
    old = types.SimpleNamespace(
        vocab_file=str(folder / "spm.model"),
        do_lower_case=settings.get("do_lower_case", False),
        split_by_punct=settings.get("split_by_punct", False),
    )
    v2 = "spm.model" in files
    if v2:
        proto = sentencepiece_model_pb2.ModelProto()
        proto.ParseFromString((folder / "spm.model").read_bytes())
        vocab = {p.piece: k for k, p in enumerate(proto.pieces)}
    else:
        vocab = old.encoder = files["vocab.json"]
        rules = files["merges.txt"].splitlines()[1:]
        old.bpe_ranks = {tuple(rule.split(" ")): k for k, rule in enumerate(rules)}
        old.add_prefix_space = False
    old.convert_tokens_to_ids = vocab.get
    tokenizer = (DebertaV2Converter if v2 else DebertaConverter)(old).converted()
    for name in ["[CLS]", "[SEP]", "[UNK]", "[PAD]"]:
        tokenizer.add_special_tokens([AddedToken(name, normalized=False)])
    tokenizer.add_special_tokens([AddedToken("[MASK]", normalized=False, lstrip=not v2)])
    ids = [tokenizer.token_to_id(t) for t in ["[CLS]", "[SEP]", "[UNK]", "[PAD]", "[MASK]"]]
    return tokenizer, sorted(ids), ids[-1]


def python_answer(auto, request):
    """What a tokenizer without a fast one says: no offsets, no words."""
    encoding = auto(request["text"], request.get("pair"), return_token_type_ids=True,
                    add_special_tokens=request.get("add_special_tokens", True))  # fmt: skip
    ids = encoding["input_ids"]
    return {"ids": ids, "tokens": auto.convert_ids_to_tokens(ids)}


def golden_case(name, files, rng):
    with tempfile.TemporaryDirectory() as path:
        folder = pathlib.Path(path)
        write_folder(folder, files)
        if name.endswith("(converter)"):
            tokenizer, special_ids, mask_id = converted(folder, files)
            decode = lambda ids, skip: tokenizer.decode(ids, skip_special_tokens=skip)
        else:
            auto = AutoTokenizer.from_pretrained(folder)
            tokenizer = getattr(auto, "_tokenizer", None)
            decode = lambda ids, skip: auto.decode(ids, skip_special_tokens=skip)
            special_ids, mask_id = sorted(set(auto.all_special_ids)), auto.mask_token_id
        added = (tokenizer.get_added_tokens_decoder() if tokenizer else auto.added_tokens_decoder)
        size = tokenizer.get_vocab_size() if tokenizer else len(auto)
    names = [t.content for t in added.values() if len(t.content) > 1] + ["é", "ﬁ", "A\u00a0b", "(x)", "1,", "LAG", "``"]
    requests = golden_requests(rng, names, n=7, length=15)
    if tokenizer is None:
        requests = [r for r in requests if "max_length" not in r]
    answer = lambda r: reference_answer(tokenizer, r) if tokenizer else python_answer(auto, r)
    encode = []
    for request in requests:
        members = answer(request)
        del members["tokens"]  # follow from the ids
        encode.append({"request": request, "answer": members})
    decoded = []
    for k in range(4):
        ids = [rng.randrange(size) for _ in range(rng.randint(0, 8))]
        decoded.append({"request": {"ids": ids, "skip_special_tokens": k % 2 == 0},
                        "answer": {"text": decode(ids, k % 2 == 0)}})  # fmt: skip
    return {"name": name, "files": files, "size": size, "special_ids": special_ids,
            "mask_id": mask_id, "encode": encode, "decode": decoded}  # fmt: skip


def main():
    rng = random.Random(5)
    write("tokenizer_files.json", {"cases": [golden_case(n, f, rng) for n, f in cases()]})


if __name__ == "__main__":
    main()
