#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors
"""Makes tests/golden/dataset.json and tests/golden/dataset/: files of rows as Python's own csv and
json modules write and read them, and compressed files as gzip and zstd write them. Needs nothing
but Python and the zstd program.

  scripts/make_dataset_goldens.py
"""
import csv
import gzip
import io
import json
import pathlib
import random
import subprocess

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "tests" / "golden"
PIECES = ["word", "two words", ",", "\t", '"', '""', "\n", "\r\n", "\r", " ", "", "'", ";", "\\",
          "é", "日本語", "\U0001f600", "\u2028", "a,b", 'said "so"', "line\nbreak", "{", "]", "NA", "3.5"]


def cell(rng, pieces=PIECES):
    return "".join(rng.choice(pieces) for _ in range(rng.randrange(5)))


def read_back(text, delimiter):
    """Rows as objects; lines without anything are passed over, as pandas does."""
    rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if row]
    return [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]


def written_tables(rng):
    for i in range(40):
        delimiter = rng.choice([",", ",", "\t"])
        n_columns = rng.randrange(1, 5)
        names = [f"column {k}" if k else rng.choice(["text", 'a "name"', "x,y", "é"])
                 for k in range(n_columns)]
        out = io.StringIO(newline="")
        end = rng.choice(["\n", "\r\n"])
        quoting = rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
        writer = csv.writer(out, delimiter=delimiter, lineterminator=end, quoting=quoting)
        writer.writerow(names)
        # Before Python 3.13 the writer left a lone "\r" without quotes, which ends a record.
        bare_return = quoting == csv.QUOTE_MINIMAL and end == "\n"
        pieces = [p for p in PIECES if not (bare_return and "\r" in p)]
        written = [[cell(rng, pieces) for _ in names] for _ in range(rng.randrange(1, 8))]
        writer.writerows(written)
        text = out.getvalue()
        if rng.random() < 0.3:
            text = text.removesuffix(end)
        if rng.random() < 0.2:
            text = "\ufeff" + text
        rows = [dict(zip(names, row, strict=True)) for row in written]
        assert rows == read_back(text.lstrip("\ufeff"), delimiter)
        yield {"name": f"written {i}", "file": "a.tsv" if delimiter == "\t" else "a.csv",
               "content": text, "rows": rows}


def odd_tables():
    contents = {
        "header only": "a,b\n",
        "no end": "a,b\n1,2",
        "empty cells": "a,b\n,\n,x\ny,\n",
        "blank lines": "\n\na,b\n\n1,2\n\r\n\n3,4\n\n",
        "an empty text in quotes": 'a\n""\n\n"x"\n',
        "quotes inside": 'a,b\nx"y,z""\n"p""q",""""\n',
        "returns": "a,b\r1,2\r3,4\r",
        "mixed ends": 'a,b\r\n1,2\n3,4\r"5\r6","7\n8"\r\n',
        "blanks around": "a, b\n 1 , 2 \n",
    }
    for name, text in contents.items():
        yield {"name": name, "file": "a.csv", "content": text, "rows": read_back(text, ",")}


def arrays(rng):
    for i in range(12):
        rows = [{"text": cell(rng) + rng.choice(["", "[", "}", '\\"', "]\\"]), "n": rng.randrange(9),
                 "more": [{"k": [cell(rng)]}, None, True, {}]} for _ in range(rng.randrange(5))]
        text = json.dumps(rows, indent=rng.choice([None, None, 1, 4]),
                          ensure_ascii=rng.random() < 0.5)
        if rng.random() < 0.3:
            text = "\ufeff \n" + text + "\n \n"
        yield {"name": f"array {i}", "file": "a.json", "content": text, "rows": rows}
    yield {"name": "array of texts", "file": "a.json", "content": '["a", "b]", ""]',
           "rows": [{"text": t} for t in ("a", "b]", "")]}


def zstd(data, *options):
    return subprocess.run(["zstd", "-q", "-c", *options], input=data, stdout=subprocess.PIPE,
                          check=True).stdout


def main():
    rng = random.Random(0)
    cases = [*written_tables(rng), *odd_tables(), *arrays(rng)]
    text = "[\n" + ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases) + "\n]\n"
    (GOLDEN / "dataset.json").write_text(text, encoding="utf-8", newline="")

    folder = GOLDEN / "dataset"
    folder.mkdir(exist_ok=True)
    # More than the decompressors give at once, in two members or frames.
    halves = ["".join(f"line {i % 100}, of many\n" for i in range(begin, begin + 20000)).encode()
              for begin in (0, 20000)]
    (folder / "lines.txt.gz").write_bytes(b"".join(gzip.compress(h, 9, mtime=0) for h in halves))
    skippable = b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc"
    (folder / "lines.txt.zst").write_bytes(zstd(halves[0], "-19") + skippable + zstd(halves[1], "-19"))
    small = b'id,text\n1,"a, b"\n2,"c\nd"\n'
    (folder / "small.csv.gz").write_bytes(gzip.compress(small, 9, mtime=0) + b"\0" * 512)
    (folder / "small.csv.zst").write_bytes(zstd(small))


if __name__ == "__main__":
    main()
