"""The domain-reducing search of the 2020 paper: never look at milder settings than one that held."""

from __future__ import annotations

from condensa_core.search.bisection import answers
from condensa_core.search.frames import Frame
from condensa_core.search.strategy import Told


def reduced_domain(frame: Frame, told: Told) -> float:
    """The lower end of DR-UCB's domain after what was told, in the frame's coordinate; 0 at first.

    A trial that met the level, and lay beyond the trial told before it, moves the lower end to its place. Trials that
    miss the level leave the domain as it is, as published, although a falling metric would allow to lower its upper
    end. ILS-UCB is maximised over the rest.
    Source: Joseph, Gopalakrishnan, Muralidharan, Garland and Garg, "A programmable approach to neural network
    compression", IEEE Micro 40(5), 2020, algorithm 1.
    """
    lower, previous = 0.0, 0.0
    for place, met in zip(*answers(frame, told), strict=True):
        if place > previous and met:
            lower = float(place)
        previous = float(place)
    return lower
