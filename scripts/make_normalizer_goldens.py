#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors
"""Writes tests/golden/normalizers.json: what the reference's normalizers do to all of Unicode.

The truth is the Hugging Face `tokenizers` library, whatever Unicode version each of its parts has.
- blocks: for each normalizer, digests of every block of 4096 code points, normalized one by one,
  each followed by a newline; blocks that it does not change are left out.
- sequences: for each form, digests of 1000 sequences each, drawn from `pool` by the generator that
  is described in `sequences()`, normalized and each followed by a newline.
- precompiled: a small character map, and what it makes of some texts: [text, normalized, places of
  its characters].
- classes: for each class of the pattern library, the digest of its code points as text.
Digests are the first 16 digits of the SHA-256 of UTF-8 text.

It also compares the forms with Python's own Unicode data and prints which code points differ: only
such as are newer than the library's tables may.

Usage: python3 scripts/make_normalizer_goldens.py
Needs the Python package `tokenizers`.
"""
import base64
import hashlib
import json
import pathlib
import unicodedata

import tokenizers
from gen_unicode_tables import CATEGORIES, CLASS_MARKS, SCALARS, matched
from make_fuzz_tokenizers import charsmap
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests/golden/normalizers.json"
FORMS = ["NFC", "NFD", "NFKC", "NFKD"]
OTHERS = ["Lowercase", "StripAccents", "Nmt"]
BLOCK = 4096
# Starters that compose, Hangul of all kinds, characters excluded from composition, long and
# compatibility decompositions, marks that compose with each other, non-characters.
STARTERS = (
    "aAeEoOuUiıILlNnsSzZΑαωΩυιЕеиІ가각힣ᄀ하ᅵᆨᆮᇂᅟ\u1160कক\u09C7\u0BC6ແ\u0F40\u0FB2སが가は"
    "\u212B\u2126\u1E9B\uFB01\uFB2A\uFDFA\u3392Ａｱ\uFFA1\u2460ǅǖṩ\u1F82\u1FF2\u0340\u0344\u0958\u0F73\u0F75"
    "\u0F81\u0DD9\u1100\u11B5\U0001D15E\U0001D1BB\U000110A5\U0001133F\U00011347\U00011357\U000115B8\U0002F800"
    "\U00011131\U00011935\u200D\uFEFF\uFFFF\U0010FFFF \n中"
)


def digest(text):
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]


def blocks(normalize):
    found = {}
    for first in range(0, 0x110000, BLOCK):
        chars = [chr(c) for c in range(first, first + BLOCK) if not 0xD800 <= c < 0xE000]
        before = "".join(c + "\n" for c in chars)
        after = "".join(normalize(c) + "\n" for c in chars)
        if after != before:
            found[f"{first:X}"] = digest(after)
    return found


def pool():
    marks = [chr(c) for c in CLASS_MARKS.values()]
    marks += list("\u0300\u0302\u0303\u0304\u0306\u0307\u0308\u030A\u030B\u030C\u030F\u0313\u0314\u0327\u0328")
    marks += list("\u0338\u0342\u09BE\u09D7\u0B3E\u0BBE\u0CC2\u0CD5\u0DCA\u0DCF\u0DDF\u102E\u1B35\u309A\uFF9E\uFF9F")
    return list(dict.fromkeys(STARTERS)) + marks


def sequences(n):
    """n texts of 1 to 6 characters: x = (1664525 x + 1013904223) mod 2^32 from 1; for each number
    drawn, its upper 16 bits count modulo the choices."""
    chars, state = pool(), 1

    def draw(n_choices):
        nonlocal state
        state = (1664525 * state + 1013904223) % 2**32
        return (state >> 16) % n_choices

    for _ in range(n):
        yield "".join(chars[draw(len(chars))] for _ in range(1 + draw(6)))


def precompiled():
    marks = {"\uFB01": "fi", "\u2460": "1", "\u3000": " ", "e\u0301": "\u00E9", "\u200D": "",
             "\uFF21": "A", "e\u0301\u0323": "X", "ab": "long text", "c": "", "\r\n": " "}  # fmt: skip
    texts = ["x\uFB01y", "\u2460\u3000\uFF21", "e\u0301", "e\u0301\u0323", "e\u0323\u0301",
             "ee\u0301\u0302x", "ab", "abc", "cab", "a\u200Db", "\U0001F468\u200D\U0001F469",
             "\uFF21\u0301", "\uFF21\u0301\u0302", "c", "xc", "cx", "ccxcc", "\r\n", "\r", "a\r\n",
             "\uFB01\u0300", "\U0001F1E9\U0001F1EA\u2460", "\u0915\u093F\u2460", "\uFB01\u200D\uFB01",
             "\u1100\u1161\u2460\u0301\u0301"]  # fmt: skip
    normalizer = normalizers.Precompiled(base64.b64decode(charsmap(marks)))
    each = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
    each.normalizer = normalizer
    each.pre_tokenizer = pre_tokenizers.Split(Regex("(?m:.)"), "isolated")
    cases = [[t, normalizer.normalize_str(t),
              "".join(f"{a}-{b} " for a, b in each.encode(t).offsets)] for t in texts]  # fmt: skip
    return {"map": charsmap(marks), "cases": cases}


def print_differences():
    for form in FORMS:
        ours = getattr(normalizers, form)().normalize_str
        differ = [c for c in SCALARS if ours(chr(c)) != unicodedata.normalize(form, chr(c))]
        names = ", ".join(f"{c:X}" for c in differ[:12])
        print(f"{form}: {len(differ)} differ from Unicode {unicodedata.unidata_version}: {names}")


def main():
    texts = list(sequences(20000))
    groups = [texts[k : k + 1000] for k in range(0, len(texts), 1000)]
    golden = {"reference": f"tokenizers {tokenizers.__version__}", "blocks": {}, "sequences": {}}
    for name in FORMS + OTHERS:
        golden["blocks"][name] = blocks(getattr(normalizers, name)().normalize_str)
    golden["pool"] = "".join(pool())
    for name in FORMS:
        normalize = getattr(normalizers, name)().normalize_str
        golden["sequences"][name] = [
            digest("".join(normalize(t) + "\n" for t in group)) for group in groups
        ]
    everything = "".join(map(chr, SCALARS))
    as_text = lambda found: digest("".join(map(chr, sorted(found))))
    classes = [f"p{{{name}}}" for name in CATEGORIES if name != "Cn"] + ["s", "w", "d"]
    golden["classes"] = {name: as_text(matched("\\" + name, everything)) for name in classes}
    digits = pre_tokenizers.Digits(True)
    numeric = [c for c in SCALARS if len(digits.pre_tokenize_str(f"a{chr(c)}b")) == 3]
    golden["classes"]["numeric"] = as_text(numeric)
    golden["precompiled"] = precompiled()
    text = json.dumps(golden, ensure_ascii=True, separators=(",", ":"))
    for start in ('"blocks"', '"pool"', '"sequences"', '"classes"', '"precompiled"'):
        text = text.replace(start, "\n" + start)
    OUT.write_text(text + "\n")
    print_differences()


if __name__ == "__main__":
    main()
