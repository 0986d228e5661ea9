#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors
"""Writes tests/golden/tokenizer_*.json: what the Hugging Face libraries answer, for the test suite.

tokenizer_wordpiece.json: small tokenizers with unusual settings, their files inline, and requests
in the form of `qlora-engine tokenize --jsonl` with the reference's answers.
tokenizer_sweep.json: for several BERT normalizers, the SHA-256 of every code point normalized (each
followed by a newline), and of how many words the pre-tokenizer finds in it between two letters.

Usage: python3 scripts/make_tokenizer_goldens.py
Needs the Python packages `tokenizers` and `transformers`.
"""
import hashlib
import json
import pathlib
import random
import tempfile

import tokenizers
import transformers
from compare_tokenizers import generated_line, reference_answer
from tokenizers import AddedToken, Tokenizer, normalizers, pre_tokenizers

ROOT = pathlib.Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests/golden"
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
# Letters of several scripts, accents alone and combined, Jamo, punctuation, symbols.
LETTERS = (
    "abcdefghijklmnopqrstuvwxyzABCDEHIMSTß "
    "éèüñçøåÅÉİıåéЖжйאבגعربनमสวัสdกำ한국어中文字日本ñ\u0301\u0308\u3131ᄒ"
)
WORDS = ["the", "and", "of", "un", "want", "he", "lord", "day", "The", "God", "##able", "##ing",
         "##ed", "##s", "##ly", "don", "##'", "straße", "e\u0301", "中", "##文", "ᄒ\u1161\u11ab",
         "user", "mask"]  # fmt: skip
PUNCTUATION = list("!\"#$%&'()*+,-./:;<=>?@[]^_`{|}~¡«»…‘’“”—。、؟।€§")


def vocabulary(prefix="##", unk="[UNK]", specials=SPECIALS):
    letters = sorted(set(LETTERS) - {" "})
    tokens = [unk if t == "[UNK]" else t for t in specials]
    tokens += WORDS + PUNCTUATION + letters + ["##" + c for c in letters]
    return [prefix + t[2:] if t.startswith("##") else t for t in dict.fromkeys(tokens)]


def added(token_id, content, **flags):
    token = dict(id=token_id, content=content, single_word=False, lstrip=False, rstrip=False,
                 normalized=False, special=True)  # fmt: skip
    return {**token, **flags}


def bert_template(vocab):
    special = lambda t: {"id": t, "ids": [vocab[t]], "tokens": [t]}
    piece = lambda t, k: {"SpecialToken": {"id": t, "type_id": k}}
    text = lambda s, k: {"Sequence": {"id": s, "type_id": k}}
    single = [piece("[CLS]", 0), text("A", 0), piece("[SEP]", 0)]
    return {"type": "TemplateProcessing", "single": single,
            "pair": single + [text("B", 1), piece("[SEP]", 1)],
            "special_tokens": {t: special(t) for t in ("[CLS]", "[SEP]")}}  # fmt: skip


def tokenizer_json(normalizer={}, tokens=None, model={}, added_tokens=None, **parts):
    """A tokenizer.json; `normalizer`, `model` change BERT's defaults, `parts` replace members."""
    vocab = {t: i for i, t in enumerate(tokens or vocabulary())}
    bert = dict(type="BertNormalizer", clean_text=True, handle_chinese_chars=True,
                strip_accents=None, lowercase=True)  # fmt: skip
    wordpiece = dict(type="WordPiece", unk_token="[UNK]", continuing_subword_prefix="##",
                     max_input_chars_per_word=100, vocab=vocab)  # fmt: skip
    if added_tokens is None:
        added_tokens = [added(vocab[t], t) for t in SPECIALS]
    whole = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added_tokens,
        "normalizer": {**bert, **normalizer}, "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": bert_template(vocab) if "[CLS]" in vocab else None,
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {**wordpiece, **model},
    }  # fmt: skip
    return {**whole, **parts}


def odd_added_tokens(n):
    return [added(k, t) for k, t in enumerate(SPECIALS)] + [
        added(n, "<user>", lstrip=True, rstrip=True, special=False),
        added(n + 1, "<one>", single_word=True, special=False),
        added(n + 2, "<left>", lstrip=True),
        added(n + 3, "<right>", rstrip=True, normalized=True),
        added(n + 4, "Né Word", normalized=True, special=False),
        added(n + 5, "<user><one>", special=False),
        added(n + 6, "中文", normalized=True, special=False),
        added(vocabulary().index("day"), "day", single_word=True, normalized=True, special=False),
    ]


def cases():
    """(name, files) of each folder; files that are dicts are JSON."""
    odd = vocabulary("@@", "<unk>")
    ids = {t: i for i, t in enumerate(odd)}
    n = len(vocabulary())
    lines = "\n".join(vocabulary()) + "\n"
    mpnet = vocabulary(specials=["<s>", "<pad>", "</s>", "<unk>", "[UNK]", "<mask>"])
    yield "uncased", {"tokenizer.json": tokenizer_json()}
    yield "cased", {"tokenizer.json": tokenizer_json({"lowercase": False})}
    yield "lower case with accents", {
        "tokenizer.json": tokenizer_json({"strip_accents": False, "handle_chinese_chars": False})
    }
    yield "accents stripped, cased", {
        "tokenizer.json": tokenizer_json({"strip_accents": True, "lowercase": False})
    }
    yield "not cleaned", {"tokenizer.json": tokenizer_json({"clean_text": False})}
    yield "other names", {
        "tokenizer.json": tokenizer_json(
            tokens=odd,
            model={
                "unk_token": "<unk>", "continuing_subword_prefix": "@@",
                "max_input_chars_per_word": 5,
            },
            added_tokens=[added(ids["[MASK]"], "[MASK]")],
            post_processor={"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
            decoder={"type": "WordPiece", "prefix": "@@", "cleanup": False},
        )
    }  # fmt: skip
    yield "added tokens", {"tokenizer.json": tokenizer_json(added_tokens=odd_added_tokens(n))}
    yield "added tokens, cased", {
        "tokenizer.json": tokenizer_json({"lowercase": False}, added_tokens=odd_added_tokens(n))
    }
    yield "bare", {
        "tokenizer.json": tokenizer_json(
            pre_tokenizer=None, post_processor=None, decoder=None
        )
        | {"normalizer": None}
    }
    template = bert_template({t: i for i, t in enumerate(vocabulary())})
    template["special_tokens"]["[CLS]"].update(ids=[2, 4], tokens=["[CLS]", "[MASK]"])
    template["pair"] = template["pair"][3:4] + template["single"][:2]  # B, then [CLS] A
    template["pair"][2] = {"Sequence": {"id": "A", "type_id": 7}}
    yield "template", {"tokenizer.json": tokenizer_json(post_processor=template)}
    yield "vocab.txt", {"vocab.txt": lines}
    yield "vocab.txt, cased", {
        "vocab.txt": lines.replace("\n", "\r\n"),
        "tokenizer_config.json": {
            "tokenizer_class": "BertTokenizer", "do_lower_case": False, "strip_accents": None,
            "tokenize_chinese_chars": False, "clean_up_tokenization_spaces": True,
        },
    }  # fmt: skip
    yield "vocab.txt, more tokens", {
        "vocab.txt": lines.rstrip("\n"),
        "tokenizer_config.json": {
            "tokenizer_class": "BertTokenizer", "mask_token": "<new>",
            "added_tokens_decoder": {
                **{str(k): {f: v for f, v in added(k, t).items() if f != "id"}
                   for k, t in enumerate(SPECIALS[:4])},
                str(n): {f: v for f, v in added(n, "<new>", lstrip=True).items() if f != "id"},
            },
        },
    }  # fmt: skip
    yield "config over file", {
        "tokenizer.json": tokenizer_json(),
        "tokenizer_config.json": {
            "tokenizer_class": "BertTokenizer", "do_lower_case": False, "strip_accents": True,
            "tokenize_chinese_chars": True,
        },
    }  # fmt: skip
    yield "mpnet", {
        "vocab.txt": "\n".join(mpnet) + "\n",
        "tokenizer_config.json": {"tokenizer_class": "MPNetTokenizer"},
    }


def write_folder(folder, files):
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
        (folder / name).write_bytes(text.encode("utf-8"))


def golden_requests(rng, names, n, length):
    """`n` requests in the form of `tokenize --jsonl`, of about `length` characters, and two more."""
    words = [t.replace("##", "") for t in WORDS]
    words += ["Lord,", "unwantables", "don't", "wasn’t", "GOD"]
    requests = []
    for k in range(n):
        line = generated_line(rng, words, names)[: rng.choice([10, length, 2 * length - 10])]
        request = {"text": line}
        if k % 3 == 1:
            request["pair"] = generated_line(rng, words, names)[:length]
        if k % 4 == 3:
            request["max_length"] = rng.randint(4, 12)
        if k % 7 == 6:
            request["add_special_tokens"] = False
        requests.append(request)
    requests.append({"text": ""})
    requests.append({"text": " ".join(names) + "".join(names) + f"\u3000{names[0]}\n"})
    return requests


def golden_case(name, files, rng):
    with tempfile.TemporaryDirectory() as path:
        folder = pathlib.Path(path)
        write_folder(folder, files)
        if list(files) == ["tokenizer.json"]:
            tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            decode = lambda ids, skip: tokenizer.decode(ids, skip_special_tokens=skip)
            roles = {}
        else:
            config = files.get("tokenizer_config.json", {"tokenizer_class": "BertTokenizer"})
            auto = getattr(transformers, config["tokenizer_class"]).from_pretrained(folder)
            tokenizer = auto.backend_tokenizer
            decode = lambda ids, skip: auto.decode(ids, skip_special_tokens=skip)
            roles = {
                "special_ids": sorted(set(auto.all_special_ids)),
                "mask_id": auto.mask_token_id,
            }
    names = [t.content for t in tokenizer.get_added_tokens_decoder().values()] * 3
    requests = golden_requests(rng, names + ["<one>x", "é"], n=26, length=40)
    encode = [{"request": r, "answer": reference_answer(tokenizer, r)} for r in requests]
    decoded = []
    for k in range(12):
        ids = [rng.randrange(tokenizer.get_vocab_size()) for _ in range(rng.randint(0, 12))]
        skip = k % 2 == 0
        decoded.append({"request": {"ids": ids, "skip_special_tokens": skip},
                        "answer": {"text": decode(ids, skip)}})  # fmt: skip
    return {"name": name, "files": files, "size": tokenizer.get_vocab_size(), **roles,
            "encode": encode, "decode": decoded}  # fmt: skip


def sweep():
    scalars = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    words = pre_tokenizers.BertPreTokenizer()
    result = []
    for clean, chinese, accents, lower in [
        (True, True, None, True), (True, True, None, False), (False, False, True, False),
        (False, False, False, True),
    ]:  # fmt: skip
        options = dict(clean_text=clean, handle_chinese_chars=chinese, strip_accents=accents,
                       lowercase=lower)  # fmt: skip
        normalizer = normalizers.BertNormalizer(**options)
        text = "".join(normalizer.normalize_str(chr(c)) + "\n" for c in scalars)
        result.append({"options": {"type": "BertNormalizer", **options},
                       "sha256": hashlib.sha256(text.encode("utf-8")).hexdigest()})  # fmt: skip
    counts = "".join(str(len(words.pre_tokenize_str(f"a{chr(c)}b"))) for c in scalars)
    return {"normalizers": result, "words_sha256": hashlib.sha256(counts.encode()).hexdigest()}


def write(name, golden, starts=('{"name"', '{"request"')):
    """Writes a golden file with a line for everything that starts so."""
    versions = f"tokenizers {tokenizers.__version__}, transformers {transformers.__version__}"
    text = json.dumps({"reference": versions, **golden}, ensure_ascii=True, separators=(",", ":"))
    for start in starts:
        text = text.replace(start, "\n" + start)
    (GOLDEN / name).write_text(text + "\n")


def main():
    GOLDEN.mkdir(parents=True, exist_ok=True)
    rng = random.Random(20)
    write("tokenizer_wordpiece.json", {"cases": [golden_case(n, f, rng) for n, f in cases()]})
    write("tokenizer_sweep.json", sweep())


if __name__ == "__main__":
    main()
