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
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

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
         "Decomposes", "Combining", "Mark", "Numeric", "DecomposesCompat",
         "PatternWord"]  # fmt: skip
CATEGORIES = ["Cn", "Cc", "Cf", "Co", "Ll", "Lm", "Lo", "Lt", "Lu", "Mc", "Me", "Mn", "Nd", "Nl",
              "No", "Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "Sc", "Sk", "Sm", "So", "Zl", "Zp",
              "Zs"]  # fmt: skip
# Classes of grapheme clusters, and bits beside them; see unicode.h.
OTHER, CONTROL, EXTEND, ZWJ, SPACING, PREPEND, LEAD, VOWEL, TRAIL = range(9)
PICTOGRAPH, CONSONANT, LINKER, CONJUNCT_EXTEND = 16, 32, 64, 128


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


def matched(pattern, text):
    """The code points of the text (no two equal) that a class of the pattern library has."""
    split = pre_tokenizers.Split(Regex(f"{pattern}+"), "removed", invert=True)
    return {ord(c) for piece, _ in split.pre_tokenize_str(text) for c in piece}


def observe_categories():
    """{code point: index into CATEGORIES} as the pattern library has it; \\s and \\d follow."""
    text = "".join(map(chr, SCALARS))
    found = {}
    for k, name in enumerate(CATEGORIES[1:], 1):
        found.update(dict.fromkeys(matched(f"\\p{{{name}}}", text), k))
    assert matched("\\d", text) == {c for c, k in found.items() if CATEGORIES[k] == "Nd"}
    return found, matched("\\s", text), matched("\\w", text)


def single_entry_charsmap(key):
    """A precompiled charsmap that maps the key to "X" and nothing else."""
    units = [0] * (256 * (len(key) + 2))
    at, base = 0, 256
    for depth, byte in enumerate(key):
        units[at] |= (at ^ base) << 10
        at = base ^ byte
        units[at] = byte
        base += 256
    units[at] |= (at ^ base) << 10 | 256
    units[base] = 1 << 31
    trie = b"".join(u.to_bytes(4, "little") for u in units)
    return normalizers.Precompiled(len(trie).to_bytes(4, "little") + trie + b"X\0")


def observe_graphemes():
    """{code point: class and bits}: what joins a cluster, which is replaced as a whole or not."""
    accent = "\u0301"
    maps = {c: single_entry_charsmap(c.encode()).normalize_str for c in "a©\u0301\u0600\u0958\u1100\u1161\u11a8"}
    joined = lambda before, key: maps[key](before + key + accent).endswith("X" + accent)
    found = {}
    for c in SCALARS:
        s = chr(c)
        value = OTHER
        if c == 0x200D:
            value = ZWJ
        elif c not in (0xD, 0xA) and maps["a"]("a" + s) == "X":
            value = EXTEND if joined("☃" + s + "\u200d", "©") else SPACING
        elif c < 0x10000 and joined(s, "a"):
            value = PREPEND
        elif 0x10FFFF > c >= 0x10000 and maps["a"](s + "a" + accent) != s + "X":
            value = PREPEND
        elif 0x1100 <= c < 0xD7FC and c not in HANGUL:
            if joined(s, "\u1100"):
                value = LEAD
            elif joined(s, "\u1161"):
                value = VOWEL
            elif joined(s, "\u11a8"):
                value = TRAIL
        if value == OTHER and maps[accent](s + accent + "\u0302") == s + "X":
            value = CONTROL  # the marks after it are a cluster
        if value == OTHER and joined(s + "\u200d", "©"):
            value |= PICTOGRAPH
        if value == PREPEND:
            pass  # joins whatever follows
        elif joined(s + "\u094d", "\u0958"):
            value |= CONSONANT
        elif joined("क" + s, "\u0958"):
            value |= LINKER
        elif joined("क\u094d" + s, "\u0958"):
            value |= CONJUNCT_EXTEND
        if value:
            found[c] = value
    return found


def observe_scripts():
    """{code point: script}, scripts being numbered as they are met; 0: any script."""
    pieces = lambda text: len(pre_tokenizers.UnicodeScripts().pre_tokenize_str(text))
    scripts = ["a", "中"]  # one character of each script, by number less one
    found, value = {}, 0
    for c in SCALARS:
        s = chr(c)
        with_latin, with_han = pieces("a" + s) == 1, pieces("中" + s) == 1
        if with_latin and with_han:
            value = 0
            continue
        if not (value and pieces(scripts[value - 1] + s) == 1):  # neighbours mostly share one
            value = next((k for k, r in enumerate(scripts, 1) if pieces(r + s) == 1), None)
            if value is None:
                scripts.append(s)
                value = len(scripts)
        found[c] = value
    return found


def observe():
    """Everything, each property by code point."""
    clean, accents = bert(clean_text=True), bert(strip_accents=True)
    nfd, nfkd, nfc = normalizers.NFD(), normalizers.NFKD(), normalizers.NFC()
    lower, marks = normalizers.Lowercase(), normalizers.StripAccents()
    words, digits = pre_tokenizers.BertPreTokenizer(), pre_tokenizers.Digits(True)
    flags = {name: set() for name in FLAGS}
    lowered, decomposed, compatible, composed, classes = {}, {}, {}, {}, {}
    for c in SCALARS:
        s = chr(c)
        if clean.normalize_str(s) == "":
            flags["Control"].add(c)
        n_words = len(words.pre_tokenize_str(f"a{s}b"))
        if n_words > 1:
            flags["Whitespace" if n_words == 2 else "Punctuation"].add(c)
        if (low := lower.normalize_str(s)) != s:
            lowered[c] = low
        if marks.normalize_str(s) == "":
            flags["Mark"].add(c)
        if len(digits.pre_tokenize_str(f"a{s}b")) == 3:
            flags["Numeric"].add(c)
        if c not in HANGUL and (parts := nfkd.normalize_str(s)) != nfd.normalize_str(s):
            compatible[c] = parts
        if (parts := nfd.normalize_str(s)) != s:
            if c not in HANGUL:  # computed, not stored
                decomposed[c] = parts
                first = nfc.normalize_str(parts[:-1])
                if len(first) == 1 and nfc.normalize_str(first + parts[-1]) == s:
                    composed[c] = first + parts[-1]
                else:
                    assert nfc.normalize_str(s) != s
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
    flags["Combining"], flags["DecomposesCompat"] = set(classes), set(compatible)
    categories, spaces, flags["PatternWord"] = observe_categories()
    assert spaces == flags["Whitespace"], spaces ^ flags["Whitespace"]
    return {
        "flags": flags, "lower": lowered, "canonical": decomposed, "compatible": compatible,
        "composed": composed, "classes": classes, "categories": categories,
        "graphemes": observe_graphemes(), "scripts": observe_scripts(),
    }  # fmt: skip


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


def run_table(name, values):
    runs = runs_of(lambda c: values.get(c, 0))
    return f"""extern const Run k{name}Runs[] = {{
{rows(f"{{0x{c:X},{v}}}" for c, v in runs)}
}};
extern const size_t k{name}RunCount = {len(runs)};
"""


def decomposition_table(name, decomposed):
    parts = [
        item
        for c, text in sorted(decomposed.items())
        for item in [f"0x{c | len(text) << 24:X}"] + [f"0x{ord(p):X}" for p in text]
    ]
    return f"""extern const uint32_t k{name}[] = {{
{rows(parts)}
}};
extern const size_t k{name}Size = {len(parts)};
"""


def render(tables):
    packed = {}
    for k, name in enumerate(FLAGS):
        for c in tables["flags"][name]:
            packed[c] = packed.get(c, 0) | 1 << k
    long_lower = {c: low for c, low in tables["lower"].items() if len(low) > 1}
    assert list(long_lower) == [0x130] and long_lower[0x130] == "i\u0307", long_lower
    assert max(map(len, tables["canonical"].values())) <= 4
    assert max(map(len, tables["compatible"].values())) <= 18
    lower = lower_ranges(tables["lower"])
    composed = sorted((ord(p[0]), ord(p[1]), c) for c, p in tables["composed"].items())
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
// {", ".join(f"{1 << k + 4} {name}" for k, name in enumerate(FLAGS[4:8]))},
// {", ".join(f"{1 << k + 8} {name}" for k, name in enumerate(FLAGS[8:]))}.
{run_table("Flag", packed)}
{run_table("CombiningClass", tables["classes"])}
extern const LowerRange kLowerRanges[] = {{
{rows(f"{{0x{a:X},0x{b:X},{s},{d}}}" for a, b, s, d in lower)}
}};
extern const size_t kLowerRangeCount = {len(lower)};

// (length << 24 | code point), then its full decomposition.
{decomposition_table("Decompositions", tables["canonical"])}
// Where they differ from the canonical ones.
{decomposition_table("CompatDecompositions", tables["compatible"])}
extern const Composition kCompositions[] = {{
{rows(f"{{0x{a:X},0x{b:X},0x{c:X}}}" for a, b, c in composed)}
}};
extern const size_t kCompositionCount = {len(composed)};

// {" ".join(CATEGORIES)}
{run_table("Category", tables["categories"])}
{run_table("Grapheme", tables["graphemes"])}
{run_table("Script", tables["scripts"])}
}}  // namespace qe::unicode
// clang-format on
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    check = parser.parse_args().check
    text = render(observe())
    if not check:
        OUT.write_text(text)
    elif OUT.read_text() != text:
        sys.exit(f"error: {OUT} differs from what tokenizers {tokenizers.__version__} does")


if __name__ == "__main__":
    main()
