#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors
"""Reads a run's event files with TensorBoard's own reader and compares them with its log: every
number of trainer_state.json's log_history has to be there, once, at its step, and nothing else but
the end's.

    check_tensorboard.py OUTPUT_DIR EVENT_FOLDER

pip packages: tensorboard 2.21.0.
"""

import json
import math
import pathlib
import struct
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

AT_THE_END = {"train/train_loss", "train/train_runtime"}


def as_float32(value):
    return struct.unpack("<f", struct.pack("<f", value))[0]


def tag_of(key):
    return "eval/" + key[len("eval_"):] if key.startswith("eval_") else "train/" + key


output_dir, folder = map(pathlib.Path, sys.argv[1:3])
events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
events.Reload()
found = {(tag, e.step): [] for tag in events.Tags()["scalars"] for e in events.Scalars(tag)}
for tag in events.Tags()["scalars"]:
    for e in events.Scalars(tag):
        found[tag, e.step].append(e.value)

expected = {}
for entry in json.loads((output_dir / "trainer_state.json").read_text())["log_history"]:
    for key, value in entry.items():
        if key != "step" and isinstance(value, (int, float)):
            expected.setdefault((tag_of(key), entry["step"]), []).append(as_float32(value))

ours = {key: values for key, values in found.items() if key[0] not in AT_THE_END}
differing = [key for key in expected.keys() | ours.keys()
             if expected.get(key) != ours.get(key)
             and not all(math.isnan(v) for v in ours.get(key, [0]))]
for tag, step in sorted(differing):
    print(f"{tag} at {step}: log {expected.get((tag, step))}, events {ours.get((tag, step))}")
print(f"{len(list(folder.iterdir()))} files, {len(ours)} numbers in {len(events.Tags()['scalars'])} "
      f"tags, texts: {events.Tags()['tensors']}, {len(differing)} differ")
ended = AT_THE_END <= {tag for tag, _ in found}
sys.exit(bool(differing) or not expected or not ended)
