#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors
"""Compares `qlora-engine tokenize` with the Hugging Face `tokenizers` library.

For every model folder: lines of the given text files, generated lines in many scripts, added tokens
inside words and next to each other, and every code point alone and between letters, as single
texts, pairs and truncated in all ways; then the decoding of the ids, and lines of broken UTF-8,
which the reference sees as Python decodes them with errors="replace". Prints each difference and
exits with 1 if there were any.

Usage: scripts/compare_tokenizers.py --engine build/qlora-engine --model DIR... --text FILE...
Needs the Python package `tokenizers`, and `transformers` for folders without tokenizer.json.
With --engine-model, the engine reads other folders than the reference: the same models without
tokenizer.json, say.
"""
import argparse
import itertools
import json
import pathlib
import random
import subprocess
import sys

from tokenizers import Tokenizer

# Code point ranges to draw words from, most of them one script each.
RANGES = {
    "latin": [(0x41, 0x5A), (0x61, 0x7A), (0xC0, 0x24F), (0x1E00, 0x1EFF), (0x2C60, 0x2C7F)],
    "greek": [(0x370, 0x3FF), (0x1F00, 0x1FFF)],
    "cyrillic": [(0x400, 0x52F), (0x1C80, 0x1C8F), (0x2DE0, 0x2DFF)],
    "hebrew": [(0x591, 0x5F4), (0xFB1D, 0xFB4F)],
    "arabic": [(0x600, 0x6FF), (0x750, 0x77F), (0x8A0, 0x8FF), (0xFB50, 0xFDFF)],
    "devanagari": [(0x900, 0x97F), (0xA8E0, 0xA8FF)],
    "indic": [(0x980, 0xDFF), (0x11000, 0x114DF), (0x11935, 0x11947)],
    "thai": [(0xE01, 0xE5B), (0xE81, 0xEDF)],
    "tibetan": [(0xF00, 0xFDA)],
    "myanmar": [(0x1000, 0x109F), (0x1780, 0x17F9)],
    "hangul": [(0xAC00, 0xD7A3), (0x1100, 0x11FF), (0x3130, 0x318F), (0xA960, 0xA97C)],
    "kana": [(0x3041, 0x30FF), (0xFF61, 0xFF9F), (0x1B000, 0x1B16F)],
    "cjk": [(0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x3000, 0x303F)],
    "cjk extensions": [(0x20000, 0x2A6DF), (0x2A6E0, 0x2EBEF), (0x2F800, 0x2FA1F)],
    "georgian": [(0x10A0, 0x10FF), (0x1C90, 0x1CBF), (0x2D00, 0x2D2F), (0x13A0, 0x13FF)],
    "punctuation": [(0x21, 0x2F), (0x3A, 0x40), (0x2000, 0x206F), (0x3001, 0x3030),
                    (0xFE10, 0xFE6F), (0xFF01, 0xFF65), (0x2E00, 0x2E5D)],
    "symbols": [(0x2070, 0x2BFF), (0x1F000, 0x1FAFF), (0xA1, 0xBF)],
    "emoji": [(0x1F300, 0x1F64F), (0x1F680, 0x1F6FF), (0x1F900, 0x1F9FF)],
    "marks": [(0x300, 0x36F), (0x1AB0, 0x1AFF), (0x1DC0, 0x1DFF), (0x20D0, 0x20F0),
              (0x302A, 0x302F), (0x1D165, 0x1D1AD)],
    "control": [(0x0, 0x1F), (0x7F, 0x9F), (0xAD, 0xAD), (0x200B, 0x200F), (0x202A, 0x202E),
                (0x2060, 0x206F), (0xFEFF, 0xFEFF), (0xFFF0, 0xFFFF), (0xE0001, 0xE007F)],
    "private": [(0xE000, 0xF8FF), (0xF0000, 0xF00FF), (0x10FF00, 0x10FFFF)],
    "any": [(0x0, 0xD7FF), (0xE000, 0x1FFFF)],
}  # fmt: skip
SPACES = [" ", " ", " ", "  ", "\t", "\n", "\r\n", "\u00a0", "\u1680", "\u2003", "\u2028", "\u202f",
          "\u205f", "\u3000", "\x0b", "\x0c", "\x85", ""]  # fmt: skip
SPECIALS = ["[MASK]", "[CLS]", "[SEP]", "[PAD]", "[UNK]", "[mask]", "[MASK", "[[MASK]]", "##ing"]
EMOJI = ["👩‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪🇫🇷", "👍🏽", "❤️", "1️⃣", "é", "e\u0301", "ﬁ", "İ", "ẞ", "Σς", "Ǆ",
         "한국어", "ก็", "ញ៉ាំ"]  # fmt: skip


def generated_word(rng, words, added):
    kind = rng.random()
    if kind < 0.25:
        return rng.choice(words)
    if kind < 0.35:
        return rng.choice(added)
    if kind < 0.42:
        return rng.choice(EMOJI)
    if kind < 0.44:
        return "".join(rng.choice(words) for _ in range(rng.randint(10, 40)))  # about 100 chars
    if kind < 0.5:
        base = rng.choice(words)
        return "".join(c + chr(rng.randint(*rng.choice(RANGES["marks"]))) for c in base)
    ranges = RANGES[rng.choice(list(RANGES))]
    n = rng.choice([1, 1, 2, 3, 5, 8]) if rng.random() < 0.98 else rng.randint(95, 105)
    return "".join(chr(rng.randint(*rng.choice(ranges))) for _ in range(n))


def generated_line(rng, words, added):
    n = rng.choice([0, 1, 2, 5, 10, 20])
    return "".join(generated_word(rng, words, added) + rng.choice(SPACES) for _ in range(n))


def glued_line(rng, words, added):
    """Added tokens next to each other, inside words, cut, in other cases and other spaces."""
    parts = []
    for _ in range(rng.randint(1, 8)):
        kind = rng.random()
        if kind < 0.55:
            token = rng.choice(added)
            if kind < 0.08 and token:
                cut = rng.randrange(len(token))
                token = token[:cut] + token[cut + 1 :]
            parts.append(token.swapcase() if 0.08 <= kind < 0.14 else token)
        elif kind < 0.75:
            parts.append(rng.choice(words))
        elif kind < 0.9:
            parts.append("".join(rng.choice(SPACES) for _ in range(rng.randint(1, 6))))
        else:
            parts.append(rng.choice(EMOJI + ["_", "é", "a", "1", "-", "\u0301", "\u200d"]))
    return "".join(parts)


def requests(lines, added, n_generated, code_points):
    rng = random.Random(1)
    words = sorted({w for line in lines[:2000] for w in line.split()}) or ["word", "Straße"]
    texts = lines + [generated_line(rng, words, added) for _ in range(n_generated)]
    texts += [glued_line(rng, words, added) for _ in range(n_generated // 4)]
    for text in texts:
        request = {"text": text}
        kind = rng.random()
        if kind < 0.3:
            request["pair"] = rng.choice(texts)
        if kind < 0.15 or kind > 0.85:
            request["max_length"] = rng.randint(5, 40)
            request["truncation_side"] = rng.choice(["right", "left"])
            strategies = ["longest_first", "only_first", "only_second"]
            request["truncation"] = rng.choice(strategies if "pair" in request else strategies[:2])
        if rng.random() < 0.15:
            request["add_special_tokens"] = False
        yield request
    if code_points:
        for c in range(0x110000):
            if not 0xD800 <= c < 0xE000:
                yield {"text": f"{chr(c)} a{chr(c)}b A{chr(c)}\u0323\u0301"}


def broken_lines(lines, n):
    """Lines of bytes, most of them not UTF-8: cut, changed and joined at random."""
    rng = random.Random(2)
    sources = [line.encode() for line in lines[:2000]] + [e.encode() for e in EMOJI]
    for _ in range(n):
        line = bytearray(b" ".join(rng.choice(sources) for _ in range(rng.randint(1, 4))))
        for _ in range(rng.randint(0, 12)):
            at = rng.randint(0, len(line))
            bad = [0x80, 0xBF, 0xC0, 0xC3, 0xE0, 0xE4, 0xED, 0xA0, 0xEF, 0xF0, 0xF4, 0x90, 0xFF]
            line[at : at + rng.randint(0, 2)] = bytes(rng.choices(bad, k=rng.randint(0, 4)))
        yield bytes(line).replace(b"\n", b"").replace(b"\r", b"")


class FastReference:
    """A tokenizer of the `tokenizers` library; `clean`: transformers' clean-up after decoding."""

    def __init__(self, tokenizer, clean):
        self.tokenizer, self.clean = tokenizer, clean
        tokenizer.no_padding()
        tokenizer.no_truncation()

    def added(self):
        return [t.content for t in self.tokenizer.get_added_tokens_decoder().values()]

    def ids(self, text):
        self.tokenizer.no_truncation()
        return self.tokenizer.encode(text).ids

    def answer(self, request):
        """None for truncations that the library refuses."""
        try:
            return reference_answer(self.tokenizer, request)
        except Exception as error:  # the library has no class for it
            if "Truncation error" not in str(error):
                raise
            return None

    def decode(self, ids, skip):
        text = self.tokenizer.decode(ids, skip_special_tokens=skip)
        return clean_up(text) if self.clean else text


class PythonReference:
    """A tokenizer that transformers has in Python only: no offsets, no words, no truncation."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer

    def added(self):
        return list(self.tokenizer.get_vocab())

    def ids(self, text):
        return self.tokenizer(text)["input_ids"]

    def answer(self, request):
        if "max_length" in request:
            return None
        ids = self.tokenizer(request["text"], request.get("pair"),
                             add_special_tokens=request.get("add_special_tokens", True))["input_ids"]  # fmt: skip
        return {"ids": ids, "tokens": self.tokenizer.convert_ids_to_tokens(ids)}

    def decode(self, ids, skip):
        return self.tokenizer.decode(ids, skip_special_tokens=skip)


def reference_answer(tokenizer, request):
    if "max_length" in request:
        tokenizer.enable_truncation(
            request["max_length"],
            strategy=request.get("truncation", "longest_first"),
            direction=request.get("truncation_side", "right"),
        )
    else:
        tokenizer.no_truncation()
    encoding = tokenizer.encode(
        request["text"],
        request.get("pair"),
        add_special_tokens=request.get("add_special_tokens", True),
    )
    # An added token is shown by its content here; encoding.tokens has the text that it matched.
    added = {i: t.content for i, t in tokenizer.get_added_tokens_decoder().items()}
    return {
        "ids": encoding.ids,
        "type_ids": encoding.type_ids,
        "tokens": [added.get(i) or tokenizer.id_to_token(i) for i in encoding.ids],
        "offsets": [list(o) for o in encoding.offsets],
        "special_tokens_mask": encoding.special_tokens_mask,
        "word_ids": encoding.word_ids,
    }


def clean_up(text):
    for rule in [(" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"),
                 (" 'm", "'m"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re")]:  # fmt: skip
        text = text.replace(*rule)
    return text


def load_reference(folder):
    if (folder / "tokenizer.json").exists():
        path = folder / "tokenizer_config.json"
        config = json.loads(path.read_text()) if path.exists() else {}
        return FastReference(
            Tokenizer.from_file(str(folder / "tokenizer.json")),
            config.get("clean_up_tokenization_spaces"),
        )
    from transformers import AutoTokenizer

    auto = AutoTokenizer.from_pretrained(folder)
    if auto.is_fast:
        return FastReference(auto.backend_tokenizer, auto.clean_up_tokenization_spaces)
    return PythonReference(auto)


class Engine:
    """The engine's command, fed in batches."""

    def __init__(self, program, folder):
        self.command = [program, "tokenize", "--model", str(folder)]

    def lines(self, lines, *options):
        done = subprocess.run(self.command + list(options), input=b"".join(l + b"\n" for l in lines),
                              stdout=subprocess.PIPE, check=True)  # fmt: skip
        answers = done.stdout.decode("utf-8").split("\n")[:-1]
        assert len(answers) == len(lines), (len(answers), len(lines))
        return answers

    def answers(self, requests, *options):
        lines = [json.dumps(r, ensure_ascii=False).encode("utf-8") for r in requests]
        return [json.loads(answer) for answer in self.lines(lines, *options)]


class Comparison:
    """Counts and prints what differs."""

    def __init__(self, name):
        self.name, self.n, self.n_bad = name, 0, 0

    def check(self, request, expected, got):
        self.n += 1
        got = {key: got.get(key) for key in expected}
        if expected == got:
            return
        self.n_bad += 1
        if self.n_bad <= 20:
            key = next(k for k in expected if expected[k] != got[k])
            print(f"{self.name}: {request}: {key}\n  expected {expected[key]}\n  got      {got[key]}")


def compare(program, folder, engine_folder, lines, n_generated, code_points):
    reference = load_reference(folder)
    engine = Engine(program, engine_folder)
    everything = requests(lines, SPECIALS + reference.added(), n_generated, code_points)
    encoded, decoded = Comparison(folder.name), Comparison(folder.name + ", decoding")
    n_refused = 0
    while batch := list(itertools.islice(everything, 50000)):
        answers = [reference.answer(request) for request in batch]
        n_refused += answers.count(None)
        batch = [r for r, answer in zip(batch, answers) if answer is not None]
        answers = [answer for answer in answers if answer is not None]
        for request, expected, got in zip(batch, answers, engine.answers(batch, "--jsonl")):
            encoded.check(json.dumps(request), expected, got)
        asked = [{"ids": a["ids"], "skip_special_tokens": k % 2 == 0} for k, a in enumerate(answers)]
        for request, got in zip(asked, engine.answers(asked, "--decode")):
            expected = {"text": reference.decode(request["ids"], request["skip_special_tokens"])}
            decoded.check(json.dumps(request), expected, got)
    broken = Comparison(folder.name + ", broken bytes")
    raw = list(broken_lines(lines, n_generated // 4))
    for line, got in zip(raw, engine.lines(raw)):
        expected = reference.ids(line.decode("utf-8", errors="replace"))
        broken.check(line, {"ids": expected}, {"ids": [int(i) for i in got.split()]})
    parts = [encoded, decoded, broken]
    print(f"{folder.name}: {encoded.n} texts ({n_refused} truncations refused by the reference), "
          f"{decoded.n} decoded, {broken.n} lines of broken bytes: "
          f"{sum(p.n_bad for p in parts)} differences", flush=True)  # fmt: skip
    return sum(p.n_bad for p in parts)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--engine", required=True, help="the qlora-engine program")
    parser.add_argument("--model", required=True, nargs="+", type=pathlib.Path)
    parser.add_argument("--engine-model", nargs="+", type=pathlib.Path, help="one for each --model")
    parser.add_argument("--text", nargs="*", default=[], type=pathlib.Path, help="text files")
    parser.add_argument("--lines", type=int, default=20000, help="lines of each text file")
    parser.add_argument("--generated", type=int, default=20000, help="generated lines")
    parser.add_argument("--no-code-points", action="store_true", help="skip the single code points")
    args = parser.parse_args()
    lines = [
        line
        for path in args.text
        for line in path.read_text(encoding="utf-8").splitlines()[: args.lines]
    ]
    n_bad = sum(
        compare(args.engine, *folders, lines, args.generated, not args.no_code_points)
        for folders in zip(args.model, args.engine_model or args.model, strict=True)
    )
    sys.exit(1 if n_bad else 0)


if __name__ == "__main__":
    main()
