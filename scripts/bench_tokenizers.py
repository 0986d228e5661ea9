#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors
"""Tokenizing speed beside the Hugging Face `tokenizers` library, one thread each, in turns.

Both sides turn the same lines into ids, offsets, type ids, masks and word ids with special tokens,
and hold the results of a round until its clock has stopped: ours with `bench tokenize --threads 1`,
theirs with `encode_batch` and with `encode_batch_fast` (which gives no offsets) on one thread. A
round of each follows the other; both are warm. Seconds are those that the process computed (CPU
time), which other load on the machine disturbs less, and those of the clock.

  scripts/bench_tokenizers.py --model DIR... [--text examples/kjv/train.txt] [--rounds 7]

Exits with 1 when a median ratio (by CPU time) is below --at_least (of Unigram: 1).
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

os.environ["RAYON_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import tokenizers  # noqa: E402


def timed(encode, lines):
    """(seconds of the clock, CPU seconds, tokens) of one round."""
    cpu, clock = time.process_time(), time.perf_counter()
    encodings = encode(lines)
    seconds = time.perf_counter() - clock, time.process_time() - cpu
    return *seconds, sum(len(e.ids) for e in encodings)


def engine_round(args, folder, threads=1, steps=1):
    command = [args.engine, "bench", "tokenize", "--model", str(folder), "--text", args.text,
               "--threads", str(threads), "--steps", str(steps), "--json"]  # fmt: skip
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def spread(values, digits=2):
    return (f"{statistics.median(values):.{digits}f} "
            f"({min(values):.{digits}f} to {max(values):.{digits}f})")  # fmt: skip


def compare(args, folder, lines, n_bytes):
    """The row of a model: its kind, and the ratios of every round."""
    reference = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    reference.no_padding()
    reference.no_truncation()
    kind = type(reference.model).__name__
    calls = {"encode_batch": reference.encode_batch, "fast": reference.encode_batch_fast}
    for call in calls.values():
        call(lines)
    row = {"model": folder.name, "kind": kind, "rounds": []}
    for _ in range(args.rounds):
        report = engine_round(args, folder)
        ours = report["runs"][0]
        entry = {"engine": [ours["seconds"]["median"], ours["cpu_seconds"]]}
        for name, call in calls.items():
            *seconds, n_tokens = timed(call, lines)
            if n_tokens != report["tokens"]:
                sys.exit(f"{folder.name}: {n_tokens} tokens there, {report['tokens']} here")
            entry[name] = seconds
        row["rounds"].append(entry)
    for measure, name in enumerate(["clock", "cpu"]):
        for call in calls:
            ratios = [e[call][measure] / e["engine"][measure] for e in row["rounds"]]
            row[f"{call}_{name}"] = ratios
        row[f"engine_{name}"] = [1e-6 * n_bytes / e["engine"][measure] for e in row["rounds"]]
    if args.threads > 1:
        row["speedups"], row["efficiency"] = [], []
        for _ in range(args.rounds):
            report = engine_round(args, folder, args.threads, 3)
            one, all_threads = report["runs"]
            row["speedups"].append(report["speedup"]["median"])
            row["efficiency"].append(one["cpu_seconds"] / all_threads["cpu_seconds"])
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--engine", default="build/qlora-engine")
    parser.add_argument("--model", nargs="+", required=True)
    parser.add_argument("--text", default="examples/kjv/train.txt")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2, help="of the speedup; 1: not measured")
    parser.add_argument("--at_least", type=float, default=1.5)
    parser.add_argument("--json", help="keeps all numbers")
    args = parser.parse_args()

    lines = pathlib.Path(args.text).read_text().splitlines()
    n_bytes = sum(len(line.encode()) for line in lines)
    print(f"tokenizers {tokenizers.__version__}, {args.text}: {len(lines)} lines, "
          f"{n_bytes} bytes, {args.rounds} rounds; load {os.getloadavg()[0]:.1f}")  # fmt: skip
    rows, slow = [], []
    for folder in map(pathlib.Path, args.model):
        row = compare(args, folder, lines, n_bytes)
        rows.append(row)
        line = (f"{row['model']} ({row['kind']}): {spread(row['engine_cpu'], 1)} MB/s; "
                f"{spread(row['encode_batch_cpu'])} x encode_batch, "
                f"{spread(row['fast_cpu'])} x encode_batch_fast by CPU time, "
                f"{spread(row['encode_batch_clock'])} and {spread(row['fast_clock'])} "
                "by the clock")  # fmt: skip
        if args.threads > 1:
            line += (f"; {args.threads} threads: {spread(row['speedups'])} x of one by the clock, "
                     f"{args.threads} x {spread(row['efficiency'])} by CPU time")  # fmt: skip
        print(f"{line}; load {os.getloadavg()[0]:.1f}", flush=True)
        needed = 1.0 if row["kind"] == "Unigram" else args.at_least
        if statistics.median(row["encode_batch_cpu"]) < needed:
            slow.append(row["model"])
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(rows))
    if slow:
        sys.exit(f"too slow: {', '.join(slow)}")


if __name__ == "__main__":
    main()
