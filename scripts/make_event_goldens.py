#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors
"""Writes tests/golden/events.tfevents: an event file made of TensorBoard's own protobufs by its own
record writer, with times that tests/formats/event_file_test.cpp repeats.

    make_event_goldens.py tests/golden/events.tfevents

pip packages: tensorboard 2.21.0, protobuf 7.36.2.
"""

import sys

from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, tensor_shape_pb2
from tensorboard.summary.writer.record_writer import RecordWriter


def scalars(values):
    return summary_pb2.Summary(
        value=[summary_pb2.Summary.Value(tag=tag, simple_value=value) for tag, value in values])


def text(tag, content):
    plugin = summary_pb2.SummaryMetadata.PluginData(plugin_name="text")
    tensor = tensor_pb2.TensorProto(
        dtype="DT_STRING", string_val=[content.encode()],
        tensor_shape=tensor_shape_pb2.TensorShapeProto(
            dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=1)]))
    return summary_pb2.Summary(value=[summary_pb2.Summary.Value(
        tag=tag + "/text_summary", tensor=tensor,
        metadata=summary_pb2.SummaryMetadata(plugin_data=plugin))])


EVENTS = [
    dict(file_version="brain.Event:2"),
    dict(step=301, session_log=event_pb2.SessionLog(status=event_pb2.SessionLog.START)),
    dict(summary=text("args", '{"bits": 4, "dot": "\u00b7"}')),
    dict(step=301, summary=scalars([("train/loss", 2.4721), ("train/learning_rate", 5e-5),
                                    ("train/grad_norm", 0.0), ("train/epoch", 1.25)])),
    dict(step=1 << 40, summary=scalars([("eval/" + "x" * 200, -1.5), ("eval/loss", float("nan")),
                                        ("eval/perplexity", float("inf"))])),
]

with open(sys.argv[1], "wb") as file:
    writer = RecordWriter(file)
    for i, event in enumerate(EVENTS):
        writer.write(event_pb2.Event(wall_time=1700000000.25 + i, **event).SerializeToString())
    writer.flush()
