#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors
"""Turns the files of unpacked packages into passages of clean English sentences.

    tiny_corpus.py TEXTS OUT --exclude FILE... [--tech-share 0.22]

TEXTS/GROUP/PACKAGE/... -> OUT/GROUP.train.txt and OUT/GROUP.valid.txt. A line is a passage: a run
of kept sentences that followed one another, separated by tabs. Every 200th passage is held out.
Kept is what reads like an English sentence (is_sentence below), once; sentences of the --exclude
files are dropped, whole sentences exactly. Files of unknown kind are read as plain text: the
sentence filter does the rest. Needs python3 alone.
"""

import argparse
import bz2
import gzip
import html
import lzma
import pathlib
import re
import zlib

MAX_BYTES = 64 << 20
SKIP = re.compile(r"(^|/)(copyright|changelog|NEWS|AUTHORS|COPYING|LICEN[CS]E)|"
                  r"\.(png|jpe?g|gif|svg|ogg|wav|mp3|ttf|otf|so|pyc?|css|js|mo|po|pdf|ps)(\.gz)?$")
STOP_WORDS = set("the of and to a in is it that was for on be with as you are by this or he his "
                 "not have from at an which can if will i they she".split())
CODE = re.compile(r"::|->|=>|==|[{}\\<>|_^~@#]|https?:|//|\(\)|\w=\w|&&|\.\.\.\.|--\w|[a-z][A-Z]")
SENTENCE_END = re.compile(r"(?:(?<=[.!?])|(?<=[.!?][\"')]))\s+(?=[\"'(]?[A-Z])")
NOT_PROSE = re.compile(r"(?is)<(script|style|pre|code|table|head|programlisting|screen)\b.*?</\1>")
BLOCK_TAG = re.compile(r"(?i)</?(p|div|li|h\d|br|td|dd|dt|ul|ol|para|title|section)\b[^>]*>")
ABBREVIATION = re.compile(r"\b(Mr|Mrs|Dr|St|e\.g|i\.e|cf|vs|etc|No|Sir|[A-Z])\.$")


def decompress(path):
    data = path.read_bytes()
    for magic, module in ((b"\x1f\x8b", gzip), (b"\xfd7zXZ", lzma), (b"BZh", bz2)):
        if data.startswith(magic):
            return module.decompress(data)
    return data


def r_strings(data):
    """The character strings of an R lazy-load database: zlib streams after their lengths."""
    while len(data) > 4:
        stream = zlib.decompressobj()
        values = stream.decompress(data[4:])
        data = stream.unused_data
        for match in re.finditer(b"\0\4\0\x09", values):  # an ASCII CHARSXP, then its length
            begin = match.end() + 4
            length = int.from_bytes(values[match.end():begin], "big")
            yield values[begin:begin + length].decode("ascii", "replace")


def strip_markup(text):
    text = NOT_PROSE.sub(" . ", text)
    return html.unescape(re.sub(r"<[^>]*>", "", BLOCK_TAG.sub("\n\n", text)))


def strip_roff(text):
    text = re.sub(r"(?m)^[.'](PP|P|LP|SH|SS|TP|IP|br|sp).*$", "\n", text)
    text = re.sub(r"(?m)^[.'](B|I|BR|IR|RB|RI) +(.*)$", lambda m: m[2].replace('"', ""), text)
    text = re.sub(r"(?m)^[.'].*$", "", text)
    text = re.sub(r"\\f\(?\w|\\&", "", text)
    return text.replace("\\-", "-").replace("\\(aq", "'")


def article(word):
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


def wordnet_paragraphs(root):
    """Sentences made of WordNet's synsets: kinds, definitions and their examples."""
    for name, define in (("noun", "{} is {}."), ("verb", "To {} is to {}."),
                         ("adj", "{} means {}."), ("adv", "{} means {}.")):
        lines = [line for path in root.rglob(f"data.{name}")
                 for line in path.read_text("latin-1").splitlines() if line[:1].isdigit()]
        first_word = {line[:8]: line.split()[4].split("(")[0].replace("_", " ") for line in lines}
        for line in lines:
            fields, gloss = line.split(" | ", 1)
            fields = fields.split()
            words = fields[4:4 + 2 * int(fields[3], 16):2]
            words = [w.split("(")[0].replace("_", " ") for w in words]
            meaning, *examples = re.split(r';?\s*"', gloss.strip())
            for word in words:
                subject = article(word).capitalize() if name == "noun" and word.islower() else word
                yield define.format(subject if name == "verb" else subject[0].upper() + subject[1:],
                                    meaning.strip("; "))
                parents = [first_word.get(fields[i + 1]) for i, f in enumerate(fields[:-1])
                           if f == "@" and name == "noun" and word.islower()]
                yield from (f"{subject} is a kind of {parent}." for parent in parents if parent)
            for example in filter(None, map(str.strip, examples)):
                yield example[0].upper() + example[1:].rstrip(".") + "."


def paragraphs(path):
    data = decompress(path)
    if path.suffix == ".rdb":
        text = "\n".join(r_strings(data))
    elif b"\0" in data[:4096]:
        return
    else:
        text = data.decode("utf-8", "replace")
    name = path.name.removesuffix(".gz").removesuffix(".xz")
    if path.name == "Translation-en":
        text = re.sub(r"(?m)^(Package|Description\S*):.*$|^ \.$", "", text)
    elif re.search(r"\.(x?html?|xml|docbook|page)$", name):
        text = strip_markup(text)
    elif re.search(r"/man/man\d/", str(path)):
        text = strip_roff(text)
    elif re.search(r"\.(json|cfg|lua|ruleset|py|txt\.in|rpy|ini|yaml)$", name):
        text = "\n\n".join(re.findall(r'"((?:[^"\\\n]|\\.){40,})"', text))
    for paragraph in re.split(r"\n[ \t]*\n|\n%\n", text):
        yield re.sub(r"\s+", " ", paragraph).strip()


def sentences(paragraph):
    parts = SENTENCE_END.split(paragraph)
    while parts:
        sentence = parts.pop(0)
        while parts and ABBREVIATION.search(sentence):
            sentence += " " + parts.pop(0)
        yield sentence.translate({0x2018: "'", 0x2019: "'", 0x201c: '"', 0x201d: '"', 0x2014: "-"})


def is_sentence(text):
    if not 20 <= len(text) <= 400 or not re.match(r"[\"'(]?[A-Z]", text):
        return False
    if not re.search(r"[.!?][\"')]?$", text) or CODE.search(text):
        return False
    words = re.findall(r"[a-z']+", text.lower())
    letters = sum(c.isalpha() or c == " " for c in text)
    return (text.isascii() and len(words) >= 4 and letters >= 0.88 * len(text)
            and sum(len(w) for w in words) <= 8 * len(words)
            and sum(w in STOP_WORDS for w in words) >= max(1, len(words) // 8))


def fingerprint(sentence):
    return "".join(c for c in sentence.lower() if c.isalpha())


def package_passages(root, seen):
    """Lists of new sentences of the package, in file order."""
    sources = [wordnet_paragraphs(root)] if list(root.rglob("data.noun")) else (
        paragraphs(p) for p in sorted(root.rglob("*"))
        if p.is_file() and not p.is_symlink() and p.stat().st_size < MAX_BYTES
        and not SKIP.search(str(p.relative_to(root))))
    for source in sources:
        for paragraph in source:
            run = []
            for sentence in sentences(paragraph):
                key = fingerprint(sentence)
                if is_sentence(sentence) and key not in seen:
                    seen.add(key)
                    run.append(sentence)
                elif run:
                    yield run
                    run = []
            if run:
                yield run


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--exclude", nargs="*", default=[], type=pathlib.Path)
    parser.add_argument("--tech-share", type=float, default=0.22, help="of the tech passages kept")
    options = parser.parse_args()

    lines = [line for path in options.exclude for line in path.read_text().splitlines()]
    seen = {fingerprint(s) for line in lines for s in [line, *sentences(line)]}
    options.out.mkdir(parents=True, exist_ok=True)
    print("package\tgroup\tclean_MB\tused_MB")
    for group in sorted(p for p in options.texts.iterdir() if p.is_dir()):
        share = options.tech_share if group.name == "tech" else 1.0
        n_found = n_used = 0
        with open(options.out / f"{group.name}.train.txt", "w") as train, \
                open(options.out / f"{group.name}.valid.txt", "w") as valid:
            for package in sorted(group.iterdir()):
                clean = used = 0
                for passage in package_passages(package, seen):
                    line = "\t".join(passage) + "\n"
                    clean += len(line)
                    n_found += 1
                    if int(n_found * share) > int((n_found - 1) * share):
                        used += len(line)
                        n_used += 1
                        (train if n_used % 200 else valid).write(line)
                print(package.name, group.name, f"{clean / 1e6:.3f}", f"{used / 1e6:.3f}",
                      sep="\t", flush=True)


if __name__ == "__main__":
    main()
