#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors
"""Writes formats/tokenizer/unicode_tables.cpp from what the reference tokenizer library does.

The Hugging Face `tokenizers` library mixes Unicode versions: BERT's control, punctuation and mark
tests come from an old table, its normalization forms from another, case mapping and white space
from the Rust standard library. Token ids must equal the reference's, so every property is observed
by running the library over every code point, instead of being taken from a Unicode release.

Usage: python3 scripts/gen_unicode_tables.py [--check]
Needs the Python package `tokenizers`. --check compares with the committed file and writes nothing.
"""
import argparse
import bisect
import pathlib
import sys

import tokenizers
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

OUT = pathlib.Path(__file__).resolve().parent.parent / "formats/tokenizer/unicode_tables.cpp"
SCALARS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
HANGUL = range(0xAC00, 0xD7A4)
# A mark of every canonical combining class, lowest first.
CLASS_MARKS = {
    1: 0x334, 7: 0x93C, 8: 0x3099, 9: 0x94D, 10: 0x5B0, 11: 0x5B1, 12: 0x5B2, 13: 0x5B3,
    14: 0x5B4, 15: 0x5B5, 16: 0x5B6, 17: 0x5B7, 18: 0x5B8, 19: 0x5B9, 20: 0x5BB, 21: 0x5BC,
    22: 0x5BD, 23: 0x5BF, 24: 0x5C1, 25: 0x5C2, 26: 0xFB1E, 27: 0x64B, 28: 0x64C, 29: 0x64D,
    30: 0x64E, 31: 0x64F, 32: 0x650, 33: 0x651, 34: 0x652, 35: 0x670, 36: 0x711, 84: 0xC55,
    91: 0xC56, 103: 0xE38, 107: 0xE48, 118: 0xEB8, 122: 0xEC8, 129: 0xF71, 130: 0xF72,
    132: 0xF74, 202: 0x321, 214: 0x1DCE, 216: 0x31B, 218: 0x302A, 220: 0x323, 222: 0x59A,
    224: 0x302E, 226: 0x1D16D, 228: 0x5AE, 230: 0x301, 232: 0x302C, 233: 0x35C, 234: 0x35D,
    240: 0x345,
}  # fmt: skip
FLAGS = ["Whitespace", "Control", "Punctuation", "NonspacingMark", "Word", "HasLower",
         "Decomposes", "Combining"]  # fmt: skip


def bert(**on):
    switches = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False,
                    lowercase=False)  # fmt: skip
    return normalizers.BertNormalizer(**{**switches, **on})


def observe_added_token(option, context, code_points=SCALARS, token="QZ", gap="!"):
    """The code points after which an added token behaves as `option` describes.

    `context(start)` decides from where the token starts in the text gap, code point, token; None:
    it was not found. `gap` is no word character and no white space, so that groups stand alone.
    """
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, **{option: True})])
    found = set()
    for first in range(0, len(code_points), 4096):
        group = [c for c in code_points[first : first + 4096] if chr(c) not in token + gap]
        encoding = tokenizer.encode("".join(f"{gap}{chr(c)}{token}" for c in group))
        starts = {o[1]: o[0] for o, i in zip(encoding.offsets, encoding.ids) if i == 1}
        for k, c in enumerate(group):
            start = starts.get(4 * k + 4)
            if context(None if start is None else start - 4 * k):
                found.add(c)
    if token == "QZ":  # those the probe itself is made of
        found |= observe_added_token(option, context, [ord(c) for c in "QZ!"], "KX", ".")
    return found


def combining_class(nfd, c):
    """The canonical combining class, found from which marks NFD moves past which."""

    def moves_before(first, second):  # class(first) > class(second) > 0
        swapped = "a" + second + first
        return first != second and nfd.normalize_str("a" + first + second) == swapped

    me = chr(c)
    if not (moves_before(chr(CLASS_MARKS[240]), me) or moves_before(me, chr(CLASS_MARKS[1]))):
        return 0
    classes = sorted(CLASS_MARKS)
    at = bisect.bisect_left(
        classes, True, key=lambda k: not moves_before(me, chr(CLASS_MARKS[k]))
    )
    return classes[at]


def observe():
    """(flags, lower case, decompositions, combining classes), each by code point."""
    clean, accents = bert(clean_text=True), bert(strip_accents=True)
    nfd, lower, words = (
        normalizers.NFD(),
        normalizers.Lowercase(),
        pre_tokenizers.BertPreTokenizer(),
    )
    flags = {name: set() for name in FLAGS}
    lowered, decomposed, classes = {}, {}, {}
    for c in SCALARS:
        s = chr(c)
        if clean.normalize_str(s) == "":
            flags["Control"].add(c)
        n_words = len(words.pre_tokenize_str(f"a{s}b"))
        if n_words > 1:
            flags["Whitespace" if n_words == 2 else "Punctuation"].add(c)
        if (low := lower.normalize_str(s)) != s:
            lowered[c] = low
        if (parts := nfd.normalize_str(s)) != s:
            if c not in HANGUL:  # computed, not stored
                decomposed[c] = parts
            continue
        if accents.normalize_str(s) == "":
            flags["NonspacingMark"].add(c)
        if k := combining_class(nfd, c):
            classes[c] = k
    assert all(classes[mark] == k for k, mark in CLASS_MARKS.items())
    flags["Word"] = observe_added_token("single_word", lambda start: start is None)
    # Whatever precedes an added token with lstrip is swallowed if and only if it is white space.
    spaces = observe_added_token("lstrip", lambda start: start == 1)
    assert spaces == flags["Whitespace"], spaces ^ flags["Whitespace"]
    # BERT turns into a space exactly the white space that it does not drop.
    for c in flags["Whitespace"] - flags["Control"]:
        assert clean.normalize_str(chr(c)) == " "
    flags["HasLower"], flags["Decomposes"] = set(lowered), set(decomposed)
    flags["Combining"] = set(classes)
    return flags, lowered, decomposed, classes


def runs_of(value_of):
    """[(first code point, value)] of each run of equal values, from 0 to 0x10FFFF."""
    runs = []
    for c in range(0x110000):
        value = value_of(c)
        if not runs or runs[-1][1] != value:
            runs.append((c, value))
    return runs


def lower_ranges(lowered):
    """[(first, last, step, delta)] of the single-character mappings."""
    ranges = []
    for c, low in sorted(lowered.items()):
        if len(low) != 1:
            continue
        delta = ord(low) - c
        if ranges:
            first, last, step, d = ranges[-1]
            if d == delta and c - last in (1, 2) and step in (0, c - last):
                ranges[-1] = (first, c, c - last, d)
                continue
        ranges.append((c, c, 0, delta))
    return [(first, last, step or 1, delta) for first, last, step, delta in ranges]


def rows(items):
    """Items as comma separated rows of at most 100 columns, indented by 4."""
    lines, line = [], "   "
    for item in items:
        if len(line) + len(item) + 2 > 100:
            lines.append(line)
            line = "   "
        line += f" {item},"
    return "\n".join(lines + [line])


def render(flags, lowered, decomposed, classes):
    bit = {name: 1 << k for k, name in enumerate(FLAGS)}
    packed = {}
    for name, members in flags.items():
        for c in members:
            packed[c] = packed.get(c, 0) | bit[name]
    flag_runs = runs_of(lambda c: packed.get(c, 0))
    class_runs = runs_of(lambda c: classes.get(c, 0))
    long_lower = {c: low for c, low in lowered.items() if len(low) > 1}
    assert list(long_lower) == [0x130] and long_lower[0x130] == "i\u0307", long_lower
    parts = [
        item
        for c, text in sorted(decomposed.items())
        for item in [f"0x{c | len(text) << 24:X}"] + [f"0x{ord(p):X}" for p in text]
    ]
    return f"""// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// Generated by scripts/gen_unicode_tables.py from tokenizers {tokenizers.__version__}; do not edit.
// The reference's Unicode versions: BERT controls, punctuation and marks before 9, decompositions
// and combining classes 9.0, case mapping and white space 17.0, word characters 16 or newer.

#include "formats/tokenizer/unicode.h"

// clang-format off
namespace qe::unicode {{

extern const char kTablesSource[] = "tokenizers {tokenizers.__version__}";
extern const char kTablesVersions[] = "normalization 9.0, case mapping 17.0";

// Sums of
// {", ".join(f"{1 << k} {name}" for k, name in enumerate(FLAGS[:4]))},
// {", ".join(f"{1 << k + 4} {name}" for k, name in enumerate(FLAGS[4:]))}.
extern const Run kFlagRuns[] = {{
{rows(f"{{0x{c:X},{v}}}" for c, v in flag_runs)}
}};
extern const size_t kFlagRunCount = {len(flag_runs)};

extern const Run kCombiningClassRuns[] = {{
{rows(f"{{0x{c:X},{v}}}" for c, v in class_runs)}
}};
extern const size_t kCombiningClassRunCount = {len(class_runs)};

extern const LowerRange kLowerRanges[] = {{
{rows(f"{{0x{a:X},0x{b:X},{s},{d}}}" for a, b, s, d in lower_ranges(lowered))}
}};
extern const size_t kLowerRangeCount = {len(lower_ranges(lowered))};

// (length << 24 | code point), then its full canonical decomposition.
extern const uint32_t kDecompositions[] = {{
{rows(parts)}
}};
extern const size_t kDecompositionsSize = {len(parts)};

}}  // namespace qe::unicode
// clang-format on
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    check = parser.parse_args().check
    text = render(*observe())
    if not check:
        OUT.write_text(text)
    elif OUT.read_text() != text:
        sys.exit(f"error: {OUT} differs from what tokenizers {tokenizers.__version__} does")


if __name__ == "__main__":
    main()
