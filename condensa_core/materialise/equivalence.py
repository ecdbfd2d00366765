"""The proof that a rewritten model computes what the original computes."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from condensa_core.errors import NotEquivalent
from condensa_core.graph.example import example_tuple
from condensa_core.materialise.double import in_double

_HINT = (
    "the forward probably has a size written out: write reshapes with -1 or flatten and take sizes from x.shape, "
    "or leave the layer whole (in a recipe: name it in `keep`)"
)


def check_equivalence(
    reference: nn.Module,
    small: nn.Module,
    example_inputs: tuple[Tensor, ...],
    tolerance: float = 1e-10,
    vocabularies: Sequence[int | None] = (),
) -> float:
    """The relative error max|y_small - y| / max|y| over all outputs, in float64 and evaluation mode.

    Both models run as float64 copies on the example inputs and on three random draws of the same shapes, the same in
    every call; whole numbers lie below their `vocabularies` where these are given, else within the example's range.
    NotEquivalent if the error exceeds `tolerance`, is not a number, shapes differ, or one of the models does not run.
    """
    example_inputs = example_tuple(reference, example_inputs)
    reference, candidate = (copy.deepcopy(model).double().eval() for model in (reference, small))
    worst = 0.0
    for inputs in (_doubled(example_inputs), *_drawn(example_inputs, 3, vocabularies)):
        try:
            expected = _outputs(reference, inputs)
        except Exception as failed:  # whatever the user's forward raises
            reason = str(failed).strip().partition("\n")[0]
            message = f"the model does not run in float64, so no cut can be checked: {reason}"
            raise NotEquivalent(
                message, hint="forward must not fix the type of its tensors: write x.dtype for torch.float32"
            ) from failed
        if not expected:
            raise NotEquivalent(
                "the model returns no tensor, so no cut can be checked",
                hint="forward must return a tensor, or a tuple, list or dict that holds some",
            )
        with _blaming(candidate):
            actual = _outputs(candidate, inputs)
        if [y.shape for y in actual] != [y.shape for y in expected]:
            shapes = [tuple(y.shape) for y in actual], [tuple(y.shape) for y in expected]
            raise NotEquivalent(
                f"the smaller model's outputs have shapes {shapes[0]} instead of {shapes[1]}", hint=_HINT
            )
        for y, z in zip(actual, expected, strict=True):
            error = _relative_error(y, z)
            if not error <= tolerance:
                raise NotEquivalent(
                    f"the smaller model differs from the masked one by {error:.1e} relative (allowed: {tolerance:.0e})",
                    hint=_HINT,
                )
            worst = max(worst, error)
    return worst


def check_batches(reference: nn.Module, program: nn.Module, example_inputs: tuple[Tensor, ...]) -> None:
    """`check_equivalence` with one sample, and with more than the example has: a capture is made with its batch only.

    Sizes at which `reference` itself does not run are left out.
    """
    samples = example_inputs[0].shape[0]
    if any(x.shape[:1] != (samples,) for x in example_inputs):
        return
    for count in (1, 2 * samples + 1):
        inputs = tuple(x[torch.arange(count) % samples] for x in example_inputs)
        try:
            _outputs(copy.deepcopy(reference).double().eval(), _doubled(inputs))
        except (RuntimeError, ValueError, IndexError, TypeError, AssertionError):
            continue
        check_equivalence(reference, program, inputs)


def check_training(model: nn.Module, small: nn.Module, example_inputs: tuple[Tensor, ...]) -> None:
    """NotEquivalent if `small` does not run in training mode where `model` does: heads that only train may have been
    overlooked, since a capture is of evaluation mode."""
    trained, candidate = (copy.deepcopy(one).train() for one in (model, small))
    with torch.no_grad(), torch.random.fork_rng():
        try:
            trained(*example_inputs)
        except Exception:  # the user's forward, in a mode that it may not be made for
            return
        with _blaming(candidate):
            candidate(*example_inputs)


def _relative_error(actual: Tensor, expected: Tensor) -> float:
    if not expected.numel():
        return 0.0
    if not expected.is_floating_point():
        return 0.0 if torch.equal(actual, expected) else float("inf")
    difference, scale = float((actual - expected).abs().max()), float(expected.abs().max())
    return difference / scale if scale else difference


def _outputs(model: nn.Module, inputs: tuple[Tensor, ...]) -> list[Tensor]:
    with torch.no_grad(), in_double():
        return [leaf for leaf in tree_leaves(model(*inputs)) if isinstance(leaf, Tensor)]


def _doubled(inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(x.double() if x.is_floating_point() else x for x in inputs)


def _drawn(inputs: tuple[Tensor, ...], times: int, vocabularies: Sequence[int | None]) -> Iterator[tuple[Tensor, ...]]:
    """Normal deviates; whole numbers (token ids) lie between the smallest and largest of the example."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(times):
        drawn = []
        for number, x in enumerate(inputs):
            if x.is_floating_point():
                drawn.append(torch.randn(x.shape, generator=generator, dtype=torch.float64).to(x.device))
            elif x.dtype == torch.bool or not x.numel():
                drawn.append(x)
            else:
                rows = vocabularies[number] if number < len(vocabularies) else None
                low, high = (0, rows) if rows is not None else (int(x.min()), int(x.max()) + 1)
                drawn.append(torch.randint(low, high, x.shape, generator=generator, dtype=x.dtype).to(x.device))
        yield tuple(drawn)


@contextmanager
def _blaming(model: nn.Module) -> Iterator[None]:
    """Turns a crash of the model's forward into NotEquivalent that names the innermost module that was running."""
    running: list[str] = []
    handles = []

    def leave(*_: object) -> None:
        running.pop()

    for name, module in model.named_modules():
        handles.append(module.register_forward_pre_hook(lambda *_, name=name: running.append(name)))
        handles.append(module.register_forward_hook(leave))
    try:
        yield
    except Exception as error:  # whatever the user's forward raises
        where = (running[-1] if running else "") or type(model).__name__
        reason = str(error).strip().partition("\n")[0]
        raise NotEquivalent(f"the smaller model does not run, in {where}: {reason}", hint=_HINT) from error
    finally:
        for handle in handles:
            handle.remove()
