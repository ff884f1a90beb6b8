#!/usr/bin/env python3
"""Prints what TensorBoard itself reads from a run's event files, as JSON: every scalar as {tag: [[step, value], ...]},
the size of every image, and the text of every text summary.
"""
import json
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

events = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0, "images": 0, "tensors": 0})
events.Reload()
tags = events.Tags()
print(json.dumps({
    "scalars": {tag: [[e.step, e.value] for e in events.Scalars(tag)] for tag in tags["scalars"]},
    "images": {tag: [[e.width, e.height, e.encoded_image_string[:4].hex()] for e in events.Images(tag)]
               for tag in tags["images"]},
    "texts": {tag: [e.tensor_proto.string_val[0].decode() for e in events.Tensors(tag)] for tag in tags["tensors"]},
}))
