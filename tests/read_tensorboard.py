#!/usr/bin/env python3
"""Prints every scalar of a run's TensorBoard files as JSON, {tag: [[step, value], ...]}, read by TensorBoard itself."""
import json
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

events = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0})
events.Reload()
print(json.dumps({tag: [[e.step, e.value] for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}))
