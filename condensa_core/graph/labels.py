"""Channel identities as integers: which must live and die together, and which may not die at all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# The identities along one dimension of a value; None where it carries none: batch, space, constants, and always where
# the size is 1, since that only channel cannot be removed, and it broadcasts.
Dim = np.ndarray | None
Dims = tuple[Dim, ...]


@dataclass(frozen=True)
class Stop:
    """Why channels cannot be removed: `operator` is the ATen name, `module` where it was met."""

    reason: str
    operator: str | None = None
    module: str = ""


@dataclass(frozen=True, eq=False)
class Classes:
    """Every label's class (its smallest label) and the first stop that its class touched (-1: none)."""

    root: np.ndarray
    stop: np.ndarray
    stops: tuple[Stop, ...]


class Labels:
    """A growing set of labels with ties between them; `classes` solves all ties at once.

    Ties are only recorded while a graph is walked: a walk costs a few numpy calls per operator, whatever the widths.
    """

    def __init__(self) -> None:
        self._count = 0
        self._left: list[np.ndarray] = []
        self._right: list[np.ndarray] = []
        self._stopped: list[np.ndarray] = []
        self._stops: list[Stop] = []

    def fresh(self, count: int) -> np.ndarray:
        """`count` labels that nothing else carries yet."""
        self._count += count
        return np.arange(self._count - count, self._count)

    def tie(self, a: np.ndarray, b: np.ndarray) -> None:
        """Position by position, a and b are the same channel."""
        assert a.shape == b.shape, (a.shape, b.shape)
        self._left.append(a.ravel())
        self._right.append(b.ravel())

    def freeze(self, labels: np.ndarray, stop: Stop) -> None:
        """These channels must stay, and with them everything tied to them now or later."""
        self._stopped.append(labels.ravel())
        self._stops.append(stop)

    def classes(self) -> Classes:
        """The connected components of all ties."""
        none = [np.empty(0, np.int64)]
        root = connected_components(
            self._count, np.concatenate(self._left or none), np.concatenate(self._right or none)
        )
        late = len(self._stops)
        stop = np.full(self._count, late)
        if self._stopped:
            numbers = np.repeat(np.arange(late), [len(labels) for labels in self._stopped])
            np.minimum.at(stop, root[np.concatenate(self._stopped)], numbers)
        stop = stop[root]
        return Classes(root, np.where(stop == late, -1, stop), tuple(self._stops))


def connected_components(count: int, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The smallest node of every node's component, in the graph of `count` nodes with edges left[i]-right[i].

    Hooking and pointer jumping, a whole round per numpy call: roots only ever point to smaller nodes, so it ends.
    Source: Shiloach and Vishkin, "An O(log n) parallel connectivity algorithm", J. Algorithms 3 (1982).
    """
    root = np.arange(count)
    while len(left):
        a, b = root[left], root[right]
        open_ = a != b
        left, right, a, b = left[open_], right[open_], a[open_], b[open_]
        np.minimum.at(root, np.maximum(a, b), np.minimum(a, b))
        while not np.array_equal(root, root[root]):
            root = root[root]
    return root
