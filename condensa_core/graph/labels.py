"""Channel identities as integers: which must live and die together, and which may not die at all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix, csgraph


@dataclass(frozen=True, eq=False)
class Channels:
    """The identities along one dimension of a value.

    `labels` has one number for each position. `zero`: wherever a channel is removed, the value is exactly zero there in
    the masked model (weights that produce it and their biases are zero, and nothing since has made something of zero).
    """

    labels: np.ndarray
    zero: bool = False

    def __len__(self) -> int:
        return len(self.labels)

    def at(self, positions: np.ndarray | slice) -> Channels:
        return Channels(self.labels[positions], self.zero)


# What one dimension of a value carries; None where it carries nothing: batch, space, constants, and always where the
# size is 1, since that only channel cannot be removed, and it broadcasts.
Dim = Channels | None
Dims = tuple[Dim, ...]


@dataclass(frozen=True)
class Stop:
    """Why channels cannot be removed: `operator` is the ATen name, `module` where it was met, `line` of the forward."""

    reason: str
    operator: str | None = None
    module: str = ""
    line: str = ""


@dataclass(frozen=True, eq=False)
class Grid:
    """Channels that stand in a grid: a dimension that a view splits (heads x width), or that two dimensions merge into.

    `flat` are the labels of the n channels, `axes` those of the grid's sides, and channel i stands at `places[a][i]` of
    side a. A grid must stay a grid, so its channels go along one side only: either `flat[i]` is one with
    `axes[a][places[a][i]]` for the chosen side a and all other sides stay, or for another side.
    """

    flat: np.ndarray
    axes: tuple[np.ndarray, ...]
    places: tuple[np.ndarray, ...]
    stop: Stop


@dataclass(frozen=True, eq=False)
class Classes:
    """Every label's class (its smallest label) and the first stop that its class touched (-1: none)."""

    root: np.ndarray
    stop: np.ndarray
    stops: tuple[Stop, ...]


class Labels:
    """A growing set of labels with ties between them; `solve` settles all of them at once.

    Ties are only recorded while a graph is walked: a walk costs a few numpy calls per operator, whatever the widths.
    """

    def __init__(self) -> None:
        self.count = 0
        self.grids: list[Grid] = []
        self._left: list[np.ndarray] = []
        self._right: list[np.ndarray] = []
        self._stopped: list[np.ndarray] = []
        self._stops: list[Stop] = []

    def fresh(self, count: int) -> np.ndarray:
        """`count` labels that nothing else carries yet."""
        self.count += count
        return np.arange(self.count - count, self.count)

    def tie(self, a: np.ndarray, b: np.ndarray) -> None:
        """Position by position, a and b are the same channel."""
        assert a.shape == b.shape, (a.shape, b.shape)
        self._left.append(a.ravel())
        self._right.append(b.ravel())

    def freeze(self, labels: np.ndarray, stop: Stop) -> None:
        """These channels must stay, and with them everything tied to them now or later."""
        self._stopped.append(labels.ravel())
        self._stops.append(stop)

    def stand_in_grid(self, grid: Grid) -> None:
        """The channels of the grid go along one of its sides, chosen by `choose_sides`."""
        self.grids.append(grid)

    def tie_to_side(self, grid: Grid, side: int) -> None:
        """Settles a grid: its channels are those of this side, and the others stay."""
        self.tie(grid.flat, grid.axes[side][grid.places[side]])
        for other, axis in enumerate(grid.axes):
            if other != side:
                self.freeze(axis, grid.stop)

    def classes(self) -> Classes:
        """The connected components of all ties recorded so far."""
        none = [np.empty(0, np.int64)]
        root = connected_components(self.count, np.concatenate(self._left or none), np.concatenate(self._right or none))
        late = len(self._stops)
        stop = np.full(self.count, late)
        if self._stopped:
            numbers = np.repeat(np.arange(late), [len(labels) for labels in self._stopped])
            np.minimum.at(stop, root[np.concatenate(self._stopped)], numbers)
        stop = stop[root]
        return Classes(root, np.where(stop == late, -1, stop), tuple(self._stops))


def connected_components(count: int, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The smallest node of every node's component, in the graph of `count` nodes with edges left[i]-right[i]."""
    edges = coo_matrix((np.ones(len(left), np.int8), (left, right)), shape=(count, count))
    components, member_of = csgraph.connected_components(edges, directed=False)
    first = np.full(components, count)
    np.minimum.at(first, member_of, np.arange(count))
    return first[member_of]
