"""The smaller model, proven equal: the user's own modules where their forward allows it, else the captured program."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection
from typing import Final

import numpy as np
from torch import Tensor, nn

from condensa_core.errors import OUR_FAULT, NotEquivalent, UsageError
from condensa_core.graph.channels import Family, Frozen, Keep, ModelGraph, Route
from condensa_core.graph.example import example_tuple
from condensa_core.materialise.attributes import resize_attributes
from condensa_core.materialise.equivalence import check_batches, check_equivalence, check_training
from condensa_core.materialise.masking import reference
from condensa_core.materialise.program import cut_program
from condensa_core.materialise.rousing import roused
from condensa_core.materialise.shrink import shrink


@dataclasses.dataclass(frozen=True, eq=False)
class Delivered:
    """A smaller model, by which route it was made, and its largest relative error against the masked model."""

    model: nn.Module
    route: Route
    error: float


def deliver(
    model: nn.Module,
    graph: ModelGraph,
    keep: Keep,
    example_inputs: tuple[Tensor, ...],
    routes: tuple[Route, ...] = ("module", "program"),
    without: Collection[str] = (),
) -> Delivered:
    """The model without the removed units, by the first of `routes` whose result computes what it must.

    Whole branches, named in `without`, can only go from a program: then it is the only route tried.

    That is what the masked model computes, norms that average over removed channels taken over the survivors, to a
    relative 1e-10 in float64: with the weights as they are and, where tensors hold one number only, with these drawn at
    random (see `roused`). The user's modules must also still run in training mode, and a program must hold for every
    batch size. NotEquivalent, with the reason of the last route, if none does; SchemeError for an impossible `keep` or
    an unknown branch; UsageError for routes that do not exist or cannot remove branches, and for a model that is not
    that of `graph`. `model` is not touched.
    """
    example_inputs = example_tuple(model, example_inputs)
    chosen = _chosen(routes, without)
    subjects = [subject for subject in (roused(model), model) if subject is not None]
    expected = [reference(subject, graph, keep, without) for subject in subjects]
    vocabularies = graph.anatomy.capture.vocabularies if graph.anatomy is not None else ()
    failure: NotEquivalent | None = None
    for route in chosen:
        for make in _WAYS[route]:
            try:
                if route == "program":
                    _require_any_batch(graph)
                for subject, right in zip(subjects, expected, strict=True):
                    small = make(subject, graph, keep, without)
                    error = check_equivalence(right, small, example_inputs, vocabularies=vocabularies)
                if route == "module":
                    check_training(model, small, example_inputs)
                else:
                    check_batches(expected[-1], small, example_inputs)
                return Delivered(small, route, error)
            except NotEquivalent as found:
                failure = failure if failure is not None and make is _shrink_attributes else found
    assert failure is not None
    raise failure


def _chosen(routes: object, without: Collection[str]) -> tuple[Route, ...]:
    """The routes to try."""
    known = " and ".join(repr(route) for route in _WAYS)
    if not isinstance(routes, (tuple, list)) or not routes:
        what = repr(routes) if isinstance(routes, (str, tuple, list)) else f"a {type(routes).__name__}"
        raise UsageError(
            f"routes must be a tuple of {known}, got {what}",
            hint=f"write ({routes!r},)" if isinstance(routes, str) else None,
        )
    for route in routes:
        if not isinstance(route, str) or route not in _WAYS:
            raise UsageError(f"there is no route {route!r}", hint=f"routes are {known}")
    if not without:
        return tuple(routes)
    if "program" not in routes:
        raise UsageError(
            "whole branches can only go from the captured program, and routes leave it out",
            hint="add 'program' to routes, or leave `without` empty",
        )
    return ("program",)


def _require_any_batch(graph: ModelGraph) -> None:
    if not _holds_for_any_batch(graph):
        raise NotEquivalent(
            "the captured program holds for some batch sizes only",
            hint="the forward must not depend on the number of samples: take it from x.shape, and do not branch on it",
        )


def _shrink(model: nn.Module, graph: ModelGraph, keep: Keep, without: Collection[str]) -> nn.Module:
    return shrink(model, graph, keep)


def _shrink_attributes(model: nn.Module, graph: ModelGraph, keep: Keep, without: Collection[str]) -> nn.Module:
    return resize_attributes(shrink(model, graph, keep), model, graph, keep)


# What is tried by each route, in this order.
_WAYS: Final[dict[Route, tuple[Callable[[nn.Module, ModelGraph, Keep, Collection[str]], nn.Module], ...]]] = {
    "module": (_shrink, _shrink_attributes),
    "program": (cut_program,),
}


def deliverable(
    model: nn.Module, graph: ModelGraph, example_inputs: tuple[Tensor, ...]
) -> tuple[ModelGraph, tuple[Route, ...]]:
    """The part of `graph` that can be cut out of this model, and the routes to do it with.

    An exported graph cannot tell a size that is written out (`x.view(-1, 512)`) from one that is computed, so it is
    tried: every family is cut to half. A forward that does not survive it is left behind for its captured program. Only
    a program that holds for the example's batch size alone is of no use: then the families whose removal the forward
    does not survive, found one by one, are frozen. NotEquivalent if families that can go alone cannot go together.
    """
    every = _halved(graph.families)
    if _failure(model, graph, every, example_inputs, "module") is None:
        return graph, ("module", "program") if _holds_for_any_batch(graph) else ("module",)
    if _holds_for_any_batch(graph) and _failure(model, graph, every, example_inputs, "program") is None:
        return graph, ("program",)
    failures = {f.name: _failure(model, graph, _halved((f,)), example_inputs, "module") for f in graph.families}
    families = tuple(family for family in graph.families if failures[family.name] is None)
    frozen = tuple(
        Frozen(layer, f"cannot be cut out of this forward: {failures[family.name]}")
        for family in graph.families
        if failures[family.name] is not None
        for layer in family.layers
    )
    together = _failure(model, graph, _halved(families), example_inputs, "module")
    if together is not None:
        raise NotEquivalent(f"channels that can go alone cannot go together: {together}", hint=OUR_FAULT)
    return dataclasses.replace(graph, families=families, frozen=graph.frozen + frozen), ("module",)


def _holds_for_any_batch(graph: ModelGraph) -> bool:
    return graph.anatomy is not None and graph.anatomy.capture.any_batch


def _halved(families: tuple[Family, ...]) -> Keep:
    return {family.name: np.arange(family.size) < (family.size + 1) // 2 for family in families}


def _failure(
    model: nn.Module, graph: ModelGraph, keep: Keep, example_inputs: tuple[Tensor, ...], route: Route
) -> str | None:
    """Why the cut model is not the masked one; None if it is."""
    try:
        deliver(model, graph, keep, example_inputs, (route,))
    except NotEquivalent as error:
        return error.message
    return None
