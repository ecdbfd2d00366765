"""Condensa: trained PyTorch models made smaller and faster, under an accuracy floor the user states.

The rooms, in the order the work flows through them (imports point left, or to a foundation, never right):

recipe, workload, graph, criteria, schemes, plan, search, learning, materialise, export, bench, report, then flow.
Foundations: errors, progress, randomness, run_directory.
"""

__version__ = "0.1.0"
