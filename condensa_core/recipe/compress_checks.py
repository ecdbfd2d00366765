"""How compression is learned, against what is asked of it: keys of another method, and keys that change nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from condensa_core.errors import Problem
from condensa_core.recipe.document import Document, KeyPath
from condensa_core.recipe.records import CompressSpec, FinetuneSpec, RuleSpec
from condensa_core.recipe.search import SearchSpec

_SECTION = "compress"


@dataclass(frozen=True)
class CompressChecks:
    """The checks of a `compress` section that is sound by itself."""

    document: Document
    compress: CompressSpec

    def problems(self, rules: tuple[RuleSpec, ...] | None, search: SearchSpec | None) -> Iterator[Problem]:
        """Every problem, in no particular order; `rules` and `search` are None where they are in question."""
        yield from self._unused()
        if rules is not None:
            yield from self._penalties(rules)
        if search is not None:
            yield from self._early_abort(search)
            yield from self._short_runs(search)

    @property
    def _direct(self) -> bool:
        return self.compress.method == "direct"

    @property
    def _tuned(self) -> bool:
        """Whether fine-tuning follows: by default after `lc`, only where it is asked for after `direct`."""
        tune = self.compress.finetune
        return not self._direct if tune is None else 0 not in (tune.epochs, tune.iterations)

    def _unused(self) -> Iterator[Problem]:
        """W304 for each key that is written and changes nothing."""
        tune = self.compress.finetune or FinetuneSpec()
        if self._direct:
            yield from self._idle("method direct projects once", ("steps",), ("mu",))
            clocks: tuple[KeyPath, ...] = (("l_step", "epochs"), ("l_step", "iterations"), ("l_step", "lr_end"))
            yield from self._idle("method direct has no L steps", *clocks)
            if not self._tuned:
                keys = ("optimizer", "lr", "momentum", "weight_decay")
                yield from self._idle("this recipe trains nothing", *(("l_step", key) for key in keys))
            elif tune.lr is not None:
                yield from self._idle("'finetune.lr' is the step size of all training here", ("l_step", "lr"))
        elif self.compress.steps == 1:
            yield from self._idle("there is one L step, at 'lr'", ("l_step", "lr_end"))
            yield from self._idle("there is one L step, at 'start'", ("mu", "growth"), ("mu", "cap"))
        elif self.compress.mu is not None and (self.compress.mu.growth or 1) == 1:
            yield from self._idle("mu stays at 'start'", ("mu", "cap"))
        if not self._tuned:
            yield from self._idle("there is no fine-tuning", ("finetune", "lr"))

    def _idle(self, reason: str, *keys: KeyPath) -> Iterator[Problem]:
        for key in keys:
            owner = self.compress if len(key) == 1 else getattr(self.compress, str(key[0]))
            if owner is not None and getattr(owner, str(key[-1])) is not None:
                yield self._problem("W304", (_SECTION, *key), f"{reason}, so '{key[-1]}' changes nothing", on_key=True)

    def _penalties(self, rules: tuple[RuleSpec, ...]) -> Iterator[Problem]:
        """E109 for a price of what is kept under a method that has no penalty parameter to weigh it against."""
        for number, rule in enumerate(rules if self._direct else ()):
            for position, scheme in enumerate(rule.scheme):
                for below, leaf in scheme.leaves():
                    if leaf.settings.get("alpha") is not None:
                        path: KeyPath = ("layers", number, "scheme", position, *below, "alpha")
                        message = "'alpha' is weighed against mu, which method direct does not have"
                        yield self._problem("E109", path, message, "use a constraint, or compress: {method: lc}")

    def _early_abort(self, search: SearchSpec) -> Iterator[Problem]:
        """E109 for ending fine-tuning early where there is none."""
        if search.early_abort and not self._tuned:
            message = "'early_abort' ends fine-tuning, and this recipe has none"
            yield self._problem("E109", ("search", "early_abort"), message, "leave it out")

    def _short_runs(self, search: SearchSpec) -> Iterator[Problem]:
        """E101 for short runs of a compression that has no iterations to be fewer."""
        if search.short is not None and self._direct:
            message = "'short' needs learning, and compress.method is direct"
            yield self._problem("E101", ("search", "short"), message, "leave it out", on_key=True)

    def _problem(self, code: str, path: KeyPath, message: str, *advice: str, on_key: bool = False) -> Problem:
        return Problem(code, message, self.document.place(path, on_key=on_key), advice, path)
