"""Condensa: trained PyTorch models made smaller and faster, under an accuracy floor the user states.

The rooms, in the order the work flows through them (imports point left, or to a foundation, never right):

recipe, workload, graph, criteria, schemes, plan, search, learning, materialise, export, bench, report, then flow.
Foundations: errors, progress, randomness, run_directory.
"""

import os

# From 1.29 on, importing ONNX Runtime starts a thread that sends telemetry and writes a device id and a database into
# the user's cache. Its function `disable_telemetry_events` comes too late for that; who wants it sets 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"
