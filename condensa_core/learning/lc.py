"""Method `lc`: learning and compression in turn until the weights meet their compressed copy."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from condensa_core.learning.alternate import Iterate, alternate, c_step, mu_of
from condensa_core.learning.batchnorm import recalibrate_batchnorm
from condensa_core.learning.checkpoint import Checkpoint, Progress
from condensa_core.learning.descent import Loss, descend, optimizer_named, stream
from condensa_core.learning.meter import Meter
from condensa_core.learning.penalty import Penalty
from condensa_core.learning.saved_state import fits
from condensa_core.learning.schedule import StepSize, default_ladder, explicit_ladder
from condensa_core.learning.settings import Settings
from condensa_core.learning.unlisted_state import UnlistedState
from condensa_core.progress import Advanced, Listener, MidStep, Note, PhaseEnded, PhaseStarted, silent, stoppable
from condensa_core.randomness import Seed
from condensa_core.schemes import Code, Part, Tensors, leaves_little_free, zero_units
from condensa_core.workload import Batches, Score, drawing_from

_LOST = (
    "the model keeps {}, which change while it learns: no buffers, numbers or tensors that it had from the start, so "
    "a resumed run may end with other weights; register them as buffers"
)


@dataclass(frozen=True, eq=False)
class Learned:
    """The outcome of a method: Delta(Theta) in place in `model`, the codes behind it, and how it came about.

    `score` is the validation score of `model`, `direct` that of direct compression (step 0), which is never returned by
    `lc`. `history` has one entry for each step; `converged` says whether the loop stopped because it had settled.
    `live` is the state dict of w after the last step, empty where nothing was learned.
    """

    model: nn.Module
    codes: tuple[Code, ...]
    score: Score
    direct: Score
    best_step: int
    converged: bool
    history: tuple[dict[str, Any], ...]
    live: Mapping[str, Tensor] = field(default_factory=dict)


@torch.no_grad()
def put_in_place(model: nn.Module, theta: Tensors, codes: Sequence[Code], parts: Sequence[Part]) -> None:
    """Set the model's parameters to Delta(Theta), in place.

    Columns that read a removed channel become zero too: an activation with f(0) != 0 would otherwise feed them.
    """
    parameters = dict(model.named_parameters())
    for name, value in theta.items():
        parameters[name].copy_(value)
    for code, part in zip(codes, parts, strict=True):
        keep = getattr(code, "keep", None)
        if keep:
            zero_units(parameters, part.families, keep, consumers=True)


def compress(
    model: nn.Module,
    parts: Sequence[Part],
    train: Batches,
    loss: Loss,
    judge: Callable[[nn.Module], Score],
    settings: Settings,
    *,
    seed: Seed,
    listener: Listener = silent,
    checkpoint: Checkpoint | None = None,
    meter: Meter | None = None,
    start_from: Tensors | None = None,
) -> Learned:
    """min over w, Theta of L(w) subject to w = Delta(Theta), from the trained `model`, which is not touched.

    `judge` gives the validation score; the best iterate by it is returned, never step 0. With a `checkpoint`, state is
    saved after every L step and an interrupted run continues there, to the same result. `meter` counts all passes but
    those of `judge`, those of an interrupted run once. `start_from`, a state dict, is where w starts instead: the
    `live` of an earlier run; `direct` is that of this start then. Raises Diverged.
    Source: Carreira-Perpinan, arXiv:1707.01209; schedule: see `schedule`.
    """
    meter = meter or Meter()
    live = copy.deepcopy(model)  # w
    shadow = copy.deepcopy(model)  # Delta(Theta), judged and returned
    names = [name for part in parts for name in part.names]
    weights = {name: p for name, p in live.named_parameters() if name in set(names)}
    for w in weights.values():
        w.requires_grad_()  # a frozen weight could not meet its compressed copy
    multipliers = {name: torch.zeros_like(w) for name, w in weights.items()}
    ladder = mu_ladder(settings, weights, parts)
    if start_from is not None:
        live.load_state_dict(start_from)
    beside = UnlistedState(live)
    saved = _saved(checkpoint, listener)
    if saved and not (
        fits(saved, live.state_dict(), weights, settings.steps) and beside.fits(saved.unlisted, saved.numbers)
    ):
        saved = None
        listener(Note("the saved state of L steps is not of this training, which starts over", level="warning"))
    if saved:
        live.load_state_dict(saved.live)
        beside.put_back(live, saved.unlisted, saved.numbers)
        for name, value in saved.multipliers.items():
            multipliers[name].copy_(value)
        saved = saved.on(next(live.parameters()).device)
        meter.restore(saved.spent)
    history = list(saved.history) if saved else []
    best = _Best.restored(saved) if saved else _Best()
    earlier = saved.earlier if saved else {}
    mean_loss = saved.loss if saved else None  # of the latest L step
    detail = f"{len(names)} tensors, trained towards their compressed form and compressed anew in turn"
    listener(PhaseStarted("learn", total=settings.steps, detail=detail))

    def learn(step: int, mu: float, target: dict[str, Tensor]) -> None:
        nonlocal mean_loss
        batches = stoppable(stream(train, first_epoch(train, settings, step)), listener, MidStep())
        mean_loss = _l_step(live, weights, target, mu, step, batches, loss, settings, seed, meter)
        if checkpoint:
            tensors, numbers = beside.changed(live)
            if step == 1 and (lost := beside.lost(live)):
                listener(Note(_LOST.format(", ".join(lost)), level="warning"))
            checkpoint.save(
                Progress(
                    step=step,
                    loss=mean_loss,
                    live=live.state_dict(),
                    multipliers=multipliers,
                    history=tuple(history),
                    best_step=best.step,
                    best=best.state,
                    best_shifted=best.shifted,
                    earlier=earlier,
                    spent=meter.record(),
                    unlisted=tensors,
                    numbers=numbers,
                )
            )

    start = saved.step if saved else 0
    for now in alternate(weights, parts, ladder, learn, multipliers, start=start, earlier=earlier):
        shadow.load_state_dict(live.state_dict())
        beside.put_back(shadow)  # what ships has its state dict from here, and nothing else
        put_in_place(shadow, now.theta, now.codes, parts)
        with drawing_from(seed.child("c-step", now.step).root):
            recalibrate_batchnorm(shadow, train, meter=meter)
            score = judge(shadow)
        history.append(_entry(now, score, mean_loss))
        learned = {} if mean_loss is None else {"loss": mean_loss}
        listener(Advanced("learn", now.step, {**learned, "val": score.value, "distance": now.distance, "mu": now.mu}))
        earlier = now.shifted
        if now.step > 0:
            best.offer(now, score, shadow)
        if _converged(history, settings):
            break
    listener(PhaseEnded("learn", f"step {best.step} of {settings.steps} is the best"))
    shadow.load_state_dict(best.state)
    beside.put_back(shadow)
    with drawing_from(seed.child("c-step", best.step).root):
        score = judge(shadow)
    return Learned(
        model=shadow,
        codes=c_step(best.shifted, parts, mu_of(ladder, best.step))[0],
        score=score,
        direct=Score(**history[0]["score"]),
        best_step=best.step,
        converged=_converged(history, settings),
        history=tuple(history),
        live=live.state_dict(),
    )


def _saved(checkpoint: Checkpoint | None, listener: Listener) -> Progress | None:
    """What an interrupted run left behind; None, with a warning, where that cannot be gone on with."""
    if checkpoint is None:
        return None
    return checkpoint.load(lambda why: listener(Note(f"{why}; this training starts over", "warning")))


@torch.no_grad()
def mu_ladder(settings: Settings, weights: Tensors, parts: Sequence[Part]) -> list[float]:
    """mu of each L step: the user's, or chosen by the optimizer's step size and the kind of codes (see `schedule`)."""
    if settings.mu is not None:
        start, growth, cap = settings.mu
        return explicit_ladder(start, growth, cap, settings.steps)
    sizes = [
        StepSize(settings.lr_of(step), settings.momentum, settings.iterations_of(step))
        for step in range(1, settings.steps + 1)
    ]
    ladder = default_ladder(sizes)
    codes, _ = c_step(weights, parts, ladder[0])
    return default_ladder(sizes, firm=True) if any(leaves_little_free(code) for code in codes) else ladder


class _Best:
    """The best iterate so far by validation score; equal scores: the later one, which has less distance to close."""

    def __init__(self) -> None:
        self.step = 0
        self.value = math.nan
        self.state: dict[str, Tensor] = {}
        self.shifted: dict[str, Tensor] = {}

    @classmethod
    def restored(cls, saved: Progress) -> _Best:
        best = cls()
        best.step, best.state, best.shifted = saved.best_step, saved.best, saved.best_shifted
        if best.step:
            best.value = float(saved.history[best.step]["score"]["value"])
        return best

    def offer(self, now: Iterate, score: Score, model: nn.Module) -> None:
        sign = 1 if score.better == "higher" else -1
        if self.step == 0 or math.isnan(self.value) or sign * score.value >= sign * self.value:
            self.step, self.value, self.shifted = now.step, score.value, now.shifted
            self.state = {name: tensor.clone() for name, tensor in model.state_dict().items()}


def _l_step(
    live: nn.Module,
    weights: dict[str, nn.Parameter],
    target: dict[str, Tensor],
    mu: float,
    step: int,
    batches: Iterator[tuple[Tensor, Tensor]],
    loss: Loss,
    settings: Settings,
    seed: Seed,
    meter: Meter,
) -> float:
    """Move the live weights towards the minimum of L(w) + mu/2 ||w - target||^2; momentum starts at zero.

    Returns the mean of the loss L alone.
    Through an adaptive optimizer the penalty's gradient would lose its size, as weight decay does in Adam: there it is
    applied apart, after the step, at the rate that plain momentum SGD would give it (AdamW's cure, for the penalty).
    """
    adaptive = settings.optimizer != "sgd"
    rate = -math.expm1(-mu * settings.lr_of(step) / (1 - settings.momentum))
    parameters = [p for p in live.parameters() if p.requires_grad]
    for p in parameters:
        p.grad = torch.zeros_like(p)  # also those the loss does not reach: the penalty does
    penalty = Penalty(list(weights.values()), [target[name] for name in weights], mu)
    optimizer = optimizer_named(
        settings.optimizer, parameters, settings.lr_of(step), settings.momentum, settings.weight_decay
    )
    with drawing_from(seed.child("l-step", step).root), torch.enable_grad():  # dropout
        return descend(
            live,
            batches,
            loss,
            optimizer,
            settings.iterations_of(step),
            before_step=None if adaptive else lambda _: penalty.add_gradient(),
            after_step=(lambda: penalty.draw(rate)) if adaptive else None,
            meter=meter,
            where=f"L step {step}",
        )


def first_epoch(train: Batches, settings: Settings, step: int) -> int:
    """The data epoch an L step starts at, so that steps see different orders and a resumed step the same one."""
    done = sum(settings.iterations_of(s) for s in range(1, step))
    return -(-done // train.steps) + step


def _converged(history: Sequence[dict], settings: Settings) -> bool:
    """Whether the last `patience` steps changed no structure and left next to no distance."""
    last = history[-settings.patience :]
    return len(last) == settings.patience and all(e["settled"] and e["distance"] < settings.tolerance for e in last)


def _entry(now: Iterate, score: Score, loss: float | None) -> dict:
    return {
        "step": now.step,
        "loss": loss,
        "mu": now.mu,
        "distance": now.distance,
        "settled": now.settled,
        "score": {"value": score.value, "stderr": score.stderr, "count": score.count, "better": score.better},
    }
