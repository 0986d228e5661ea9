#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors
"""Writes tests/fuzz/tokenizers: a small tokenizer.json of each family, for the fuzz targets.

Between them they use most types of tokenizer.json. Those named exact_* lose nothing: what they
encode decodes to the same text.

Usage: python3 scripts/make_fuzz_tokenizers.py
"""
import base64
import json
import pathlib

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "tests/fuzz/tokenizers"
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = "abdehilnorstu.,'0123éß中ᄒ"
LLAMA = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def added(token_id, content, **flags):
    token = dict(id=token_id, content=content, single_word=False, lstrip=False, rstrip=False,
                 normalized=False, special=True)  # fmt: skip
    return {**token, **flags}


def template(cls, sep):
    piece = lambda t, k: {"SpecialToken": {"id": t, "type_id": k}}
    text = lambda s, k: {"Sequence": {"id": s, "type_id": k}}
    single = [piece("[CLS]", 0), text("A", 0), piece("[SEP]", 0)]
    ids = {"[CLS]": cls, "[SEP]": sep}
    return {"type": "TemplateProcessing", "single": single,
            "pair": single + [text("B", 1), piece("[SEP]", 1)],
            "special_tokens": {t: {"id": t, "ids": [k], "tokens": [t]} for t, k in ids.items()}}  # fmt: skip


def sequence(kind, member, *parts):
    return {kind: {"type": "Sequence", member: list(parts)}}


def byte_chars():
    """The character for each byte, as byte-level tokenizers have it."""
    plain = [b for b in range(256) if 0x21 <= b <= 0x7E or 0xA1 <= b <= 0xAC or b >= 0xAE]
    others = [b for b in range(256) if b not in plain]
    chars = {b: chr(b) for b in plain} | {b: chr(0x100 + n) for n, b in enumerate(others)}
    return [chars[b] for b in range(256)]


def charsmap(entries):
    """A precompiled character map: a double array, each node's children put where there is room.

    No two nodes share a place for their children: units name their label, not their parent.
    """
    units, texts, places, taken = {0: 0}, b"", {}, set()
    for key, value in entries.items():
        places[key.encode() + b"\0"] = len(texts)
        texts += value.encode() + b"\0"
    nodes = [(b"", 0)]
    for prefix, at in nodes:  # grows
        n = len(prefix)
        labels = sorted({key[n] for key in places if key[:n] == prefix})
        below = 1
        while below in taken or any(below ^ label in units for label in labels):
            below += 1
        taken.add(below)
        units[at] |= (at ^ below) << 10 | (256 if 0 in labels else 0)
        for label in labels:
            units[below ^ label] = label or 1 << 31 | places[prefix + b"\0"]
        nodes += [(prefix + bytes([label]), below ^ label) for label in labels if label]
    trie = b"".join(units.get(k, 0).to_bytes(4, "little") for k in range((max(units) | 255) + 1))
    return base64.b64encode(len(trie).to_bytes(4, "little") + trie + texts).decode()


def byte_level_vocab():
    vocab = {c: k + 3 for k, c in enumerate(byte_chars())}
    vocab |= {"<s>": 0, "</s>": 1, "<unk>": 2}
    merges = [("t", "h"), ("th", "e"), ("Ġ", "the"), ("Ġ", "t"), ("i", "n"), ("Ã", "©"), ("Ġ", "Ġ"),
              ("ä", "¸"), ("ä¸", "Ń"), ("'", "s"), ("a", "a"), ("aa", "aa"), ("l", "l")]  # fmt: skip
    for left, right in merges:
        vocab.setdefault(left + right, len(vocab))
    return vocab, merges


def tokenizers():
    words = ["the", "and", "lord", "un", "he", "day", "##able", "##ing", "##s", "##e\u0301"]
    wordpiece = SPECIALS + words + list(LETTERS) + ["##" + c for c in LETTERS if c != "s"]
    wordpiece = {t: k for k, t in enumerate(wordpiece)}
    yield "wordpiece", {
        "added_tokens": [added(k, t, lstrip=t == "[MASK]") for k, t in enumerate(SPECIALS)]
        + [
            added(len(wordpiece), "<Né>", normalized=True, special=False, single_word=True),
            added(len(wordpiece) + 1, "<r>", rstrip=True, lstrip=True),
        ],
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "lowercase": True,
                       "handle_chinese_chars": True, "strip_accents": None},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": template(2, 3),
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "vocab": wordpiece,
                  "continuing_subword_prefix": "##", "max_input_chars_per_word": 12},
    }  # fmt: skip

    vocab, merges = byte_level_vocab()
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
                  "use_regex": True}  # fmt: skip
    yield "exact_byte_level", {
        "added_tokens": [added(0, "<s>"), added(1, "</s>")],
        "pre_tokenizer": byte_level,
        "post_processor": {"type": "RobertaProcessing", "sep": ["</s>", 1], "cls": ["<s>", 0],
                           "trim_offsets": True, "add_prefix_space": False},
        "decoder": byte_level,
        "model": {"type": "BPE", "vocab": vocab, "merges": [f"{a} {b}" for a, b in merges]},
    }  # fmt: skip
    yield "exact_split", {
        "added_tokens": [added(0, "<s>")],
        **sequence("pre_tokenizer", "pretokenizers",
                   {"type": "Split", "pattern": {"Regex": LLAMA}, "behavior": "Isolated",
                    "invert": False},
                   {**byte_level, "use_regex": False}),
        **sequence("post_processor", "processors", byte_level),
        "decoder": byte_level,
        "model": {"type": "BPE", "ignore_merges": True, "vocab": vocab, "merges": merges},
    }  # fmt: skip

    pieces = [("<unk>", 0), ("<s>", 0), ("</s>", 0), ("▁", -2), ("▁the", -3.5), ("the", -4)]
    pieces += [(c, -6.0 - k / 8) for k, c in enumerate(LETTERS)]
    pieces += [("▁a", -3), ("ing", -5), ("▁▁", -7), ("éé", -6.25)]
    pieces += [(f"<0x{b:02X}>", -20) for b in range(256)]
    marks = {"ﬁ": "fi", "①": "1", "\u3000": " ", "e\u0301": "é", "\u200d": "", "Ａ": "A"}
    space = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"}
    yield "unigram", {
        "added_tokens": [added(0, "<unk>"), added(len(pieces), "<mask>", lstrip=True)],
        **sequence("normalizer", "normalizers",
                   {"type": "Precompiled", "precompiled_charsmap": charsmap(marks)},
                   {"type": "Strip", "strip_left": False, "strip_right": True},
                   {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "▁"}),
        **sequence("pre_tokenizer", "pretokenizers", {"type": "WhitespaceSplit"}, space),
        "decoder": space,
        "model": {"type": "Unigram", "unk_id": 0, "vocab": pieces, "byte_fallback": False},
    }  # fmt: skip
    yield "unigram_bytes", {
        "normalizer": {"type": "Prepend", "prepend": "▁"},
        "pre_tokenizer": {**space, "prepend_scheme": "first", "split": False},
        **sequence("decoder", "decoders",
                   {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                   {"type": "ByteFallback"}, {"type": "Fuse"},
                   {"type": "Strip", "content": " ", "start": 1, "stop": 0}),
        "model": {"type": "Unigram", "unk_id": 0, "vocab": pieces, "byte_fallback": True},
    }  # fmt: skip

    chars = ["<unk>"] + list(LETTERS) + [c + "</w>" for c in LETTERS]
    chars += ["th", "the</w>", "ab", "aba"] + [f"<0x{b:02X}>" for b in range(0x80, 0x100)]
    yield "bpe", {
        "added_tokens": [added(len(chars), "day", single_word=True, normalized=True)],
        **sequence("normalizer", "normalizers", {"type": "NFKC"}, {"type": "Lowercase"}),
        **sequence("pre_tokenizer", "pretokenizers", {"type": "Whitespace"},
                   {"type": "UnicodeScripts"}, {"type": "Digits", "individual_digits": True}),
        "decoder": {"type": "BPEDecoder", "suffix": "</w>"},
        "model": {"type": "BPE", "unk_token": "<unk>", "end_of_word_suffix": "</w>",
                  "fuse_unk": True, "byte_fallback": True,
                  "vocab": {t: k for k, t in enumerate(chars)},
                  "merges": ["t h", "th e</w>", "a b", "ab a"]},
    }  # fmt: skip
    yield "word_level", {
        "added_tokens": [added(5, "<p>", rstrip=True, normalized=True)],
        **sequence("normalizer", "normalizers", {"type": "NFD"}, {"type": "StripAccents"},
                   {"type": "Nmt"}, {"type": "NFC"}),
        **sequence("pre_tokenizer", "pretokenizers",
                   {"type": "CharDelimiterSplit", "delimiter": " "},
                   {"type": "Punctuation", "behavior": "MergedWithPrevious"},
                   {"type": "FixedLength", "length": 4}),
        "decoder": {"type": "CTC", "pad_token": "a", "word_delimiter_token": "b", "cleanup": True},
        "model": {"type": "WordLevel", "unk_token": "<unk>",
                  "vocab": {"<unk>": 0, "the": 1, "a": 2, "b.": 3, "hand": 4}},
    }  # fmt: skip


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, parts in tokenizers():
        whole = {"version": "1.0", "added_tokens": [], "normalizer": None, "pre_tokenizer": None,
                 "post_processor": None, "decoder": None, **parts}  # fmt: skip
        text = json.dumps(whole, ensure_ascii=False, separators=(",", ":"))
        (FOLDER / f"{name}.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
