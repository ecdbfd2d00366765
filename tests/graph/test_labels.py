"""Ties are solved as connected components; scipy is the independent oracle."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components as oracle

from condensa_core.graph.labels import Labels, Stop, connected_components


@given(st.integers(1, 40), st.data())
def test_components_are_those_of_scipy_named_by_their_smallest_node(count, data):
    edges = data.draw(st.lists(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)), max_size=60))
    left, right = np.array(edges, dtype=np.int64).reshape(-1, 2).T

    root = connected_components(count, left, right)

    _, expected = oracle(coo_matrix((np.ones(len(left)), (left, right)), shape=(count, count)), directed=False)
    for component in np.unique(expected):
        nodes = np.flatnonzero(expected == component)
        assert (root[nodes] == nodes.min()).all()


def test_a_long_chain_is_solved():
    # the worst case for hooking: every edge points one further
    chain = np.arange(4999)

    assert (connected_components(5000, chain + 1, chain) == 0).all()


def test_a_stop_reaches_everything_tied_before_and_after_and_the_first_one_counts():
    labels = Labels()
    a, b, c = labels.fresh(2), labels.fresh(2), labels.fresh(2)

    labels.tie(a, b)
    labels.freeze(b[:1], Stop("first"))
    labels.freeze(a, Stop("second"))
    labels.tie(c, a[::-1].copy())
    classes = labels.classes()

    assert classes.stop[a].tolist() == [0, 1] and classes.stop[c].tolist() == [1, 0]
