"""Prior covariances of Gaussian processes, by name or the user's own. Loads gpytorch with the first kernel."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Literal

from condensa_core.errors import UsageError
from condensa_core.search.quiet import quiet

if TYPE_CHECKING:
    from gpytorch.constraints import Interval
    from gpytorch.kernels import Kernel
    from gpytorch.priors import Prior

KernelName = Literal["matern-1/2", "matern-3/2", "matern-5/2", "rbf"]
PriorName = Literal["gamma", "log-normal", "flat"]
MakeKernel = Callable[[int], "Kernel"]  # from the number of knobs; or a kernel, which every fit starts from

_SMOOTHNESS: Final[dict[str, float]] = {"matern-1/2": 0.5, "matern-3/2": 1.5, "matern-5/2": 2.5, "rbf": math.inf}
KERNELS: Final = tuple(_SMOOTHNESS)
PRIORS: Final = ("gamma", "log-normal", "flat")
DEFAULT_KERNEL: Final = "matern-5/2"  # twice differentiable: smooth enough to interpolate, not so smooth as to ring
DEFAULT_PRIOR: Final = "gamma"

# Length-scales in units of the unit cube. Shorter ones interpolate single points, longer ones are a straight line.
_FLAT_RANGE = (0.01, 10.0)


def kernel_maker(kernel: str | MakeKernel = DEFAULT_KERNEL, prior: str = DEFAULT_PRIOR) -> MakeKernel:
    """What makes a fresh kernel over d knobs, in float64, with a length-scale per knob.

    `kernel` is one of KERNELS, scaled and with a prior on the length-scales:
    - gamma: Gamma(3, 6), mode 1/3, and Gamma(2, 0.15) on the output scale, BoTorch's choice for Matern kernels;
    - log-normal: LogNormal(sqrt 2 + ln(d) / 2, sqrt 3), which lets them grow with the number of knobs (Hvarfner et
      al., "Vanilla Bayesian optimization performs great in high dimensions", ICML 2024);
    - flat: none, maximum likelihood within 0.01..10.
    Or any gpytorch kernel over the unit cube with priors of its own, or a function of d that makes one; `prior` is not
    used then. UsageError for an unknown name, and from the maker for what is no kernel.
    """
    if not isinstance(kernel, str):
        return lambda knobs: _own(kernel, knobs)
    for what, word, known in (("kernel", kernel, KERNELS), ("prior", prior, PRIORS)):
        if word not in known:
            raise UsageError(f"no {what} is called {word!r}", hint="known: " + ", ".join(known))
    return lambda knobs: _stationary(_SMOOTHNESS[kernel], prior, knobs)


def _stationary(smoothness: float, prior: str, knobs: int) -> Kernel:
    with quiet():
        from gpytorch.kernels import MaternKernel, RBFKernel, ScaleKernel
        from gpytorch.priors import GammaPrior

    over_lengths = _length_scale_prior(prior, knobs)
    within = _length_scale_range(prior)
    settings = {"ard_num_dims": knobs, "lengthscale_prior": over_lengths, "lengthscale_constraint": within}
    shape = RBFKernel(**settings) if math.isinf(smoothness) else MaternKernel(nu=smoothness, **settings)
    over_scale = None if prior == "flat" else GammaPrior(2.0, 0.15)
    scaled: Kernel = ScaleKernel(shape, outputscale_prior=over_scale).double()
    return scaled


def _own(make: MakeKernel, knobs: int) -> Kernel:
    with quiet():
        from gpytorch.kernels import Kernel

    made = copy.deepcopy(make) if isinstance(make, Kernel) else make(knobs)
    if not isinstance(made, Kernel):
        raise UsageError(f"a kernel must be a gpytorch kernel, got {type(made).__name__}")
    return made.double()


def _length_scale_prior(prior: str, knobs: int) -> Prior | None:
    from gpytorch.priors import GammaPrior, LogNormalPrior

    if prior == "gamma":
        return GammaPrior(3.0, 6.0)
    if prior == "log-normal":
        return LogNormalPrior(math.sqrt(2) + math.log(knobs) / 2, math.sqrt(3))
    return None


def _length_scale_range(prior: str) -> Interval | None:
    from gpytorch.constraints import GreaterThan, Interval

    if prior == "flat":
        return Interval(*_FLAT_RANGE, initial_value=1 / 3)
    return GreaterThan(0.025, transform=None, initial_value=1.0) if prior == "log-normal" else None
