"""Weights from files: safetensors, or PyTorch's own format read without running any code in it."""

from __future__ import annotations

import difflib
import hashlib
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from condensa_core.code_free import is_torch_archive, open_torch_archive
from condensa_core.errors import UsageError, WorkloadError
from condensa_core.workload.location import located

if TYPE_CHECKING:
    from condensa_core.recipe import ModelSpec

_WRAPPERS = ("state_dict", "model_state_dict", "model")  # keys under which checkpoints keep the weights
_NO_WEIGHTS = (".yaml", ".yml", ".py", "")
_SHOWN = 3


def load_weights(module: nn.Module, spec: ModelSpec, directory: Path) -> str:
    """Puts the weights of `spec.weights` (relative to `directory`) into `module`; returns the file's SHA-256.

    Nothing is changed when anything is wrong. WorkloadError: no such file, another hash than `spec.sha256`, pickled
    code, missing or unexpected names, other shapes, integers for floats, NaN or infinity.
    """
    if spec.weights is None:
        raise WorkloadError("the recipe names no weights")
    path = located(spec.weights, directory)
    if not path.is_file():
        others = [other.name for other in path.parent.glob("*") if other.suffix not in _NO_WEIGHTS]
        near = difflib.get_close_matches(path.name, others, n=1)
        raise WorkloadError(
            f"{spec.weights!r} does not exist", hint=f"did you mean {near[0]!r}?" if near else f"looked in {directory}"
        )
    digest = file_digest(path)
    if spec.sha256 is not None and spec.sha256.lower() != digest:
        raise WorkloadError(
            f"{path.name} has sha256 {digest}, the recipe says {spec.sha256}",
            hint="put the right file in its place, or its sha256 into the recipe",
        )
    put_state(module, read_state(path), path.name)
    return digest


def file_digest(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def read_state(path: Path) -> dict[str, Tensor]:
    """The named tensors in a .safetensors file or a PyTorch checkpoint, on the CPU.

    Checkpoints that keep them under `state_dict`, `model_state_dict` or `model` are opened; the prefix that
    DataParallel puts before every name is taken off. WorkloadError for any other file, UsageError for an archive that
    would fill the memory.
    """
    found: Any
    try:
        with warnings.catch_warnings():
            # torch 2.13 remarks on pickles of another protocol; whether they can be read shows in a moment.
            warnings.filterwarnings("ignore", message="Detected pickle protocol")
            if path.suffix == ".safetensors":
                found = load_file(path)
            else:
                if is_torch_archive(path):
                    open_torch_archive(path)
                found = torch.load(path, "cpu", weights_only=True)
    except UsageError:
        raise
    except pickle.UnpicklingError as err:
        raise WorkloadError(
            f"{path.name} is no weights file, or holds pickled code, which is never run",
            hint="save model.state_dict(), best as .safetensors",
        ) from err
    except Exception as err:  # torch 2.13 meets damaged bytes with a dozen unrelated classes, AssertionError among them
        raise WorkloadError(
            f"{path.name} is not a readable weights file: {str(err) or type(err).__name__}",
            hint="save them with safetensors.torch.save_file, or torch.save(model.state_dict(), path)",
        ) from err
    for wrapper in _WRAPPERS:
        if isinstance(found, Mapping) and isinstance(found.get(wrapper), Mapping):
            found = found[wrapper]
    if not isinstance(found, Mapping) or not all(_is_named_tensor(*entry) for entry in found.items()):
        raise WorkloadError(f"{path.name} holds no state_dict", hint="save model.state_dict()")
    if found and all(name.startswith("module.") for name in found):
        found = {name.removeprefix("module."): value for name, value in found.items()}
    return dict(found)


def _is_named_tensor(name: object, value: object) -> bool:
    return isinstance(name, str) and isinstance(value, Tensor)


def put_state(module: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Loads `state`, called `source` in messages, if it fits `module` exactly; WorkloadError sums up what does not.

    Counters of BatchNorm (`num_batches_tracked`) may be missing: checkpoints before PyTorch 0.4.1 have none.
    """
    wanted = module.state_dict()
    missing = [name for name in wanted if name not in state and not name.endswith("num_batches_tracked")]
    unexpected = [name for name in state if name not in wanted]
    reshaped = [
        f"{name} is {_shape(value)} in the file and {_shape(wanted[name])} in the model"
        for name, value in state.items()
        if name in wanted and value.shape != wanted[name].shape
    ]
    whole = [
        f"{name} is {str(value.dtype).removeprefix('torch.')} in the file"
        for name, value in state.items()
        if name in wanted and wanted[name].is_floating_point() and not value.is_floating_point()
    ]
    if whole and not (missing or unexpected or reshaped):
        raise WorkloadError(
            f"{source} holds integers where the model has weights in floating point: {_count(whole, 'tensors')}",
            hint="name the weights as they were trained, not those of a quantized model",
        )
    if missing or unexpected or reshaped:
        raise WorkloadError(
            f"{source} does not fit the model: {_count(missing, 'missing')}, {_count(unexpected, 'unexpected')}, "
            f"{len(reshaped)} of another shape" + (f" (first: {reshaped[0]})" if reshaped else ""),
            hint="name the weights of this model, saved from its state_dict",
        )
    broken = [name for name, value in state.items() if name in wanted and not _fits(value, wanted[name])]
    if broken:
        raise WorkloadError(
            f"{source} holds NaN, infinity or numbers beyond the model's in {_count(broken, 'tensors')}",
            hint="train the model again: a training that diverged leaves such weights",
        )
    module.load_state_dict(state, strict=False)


def _fits(value: Tensor, own: Tensor) -> bool:
    """Whether all of it is finite, also in the model's dtype, or as infinite as there: masks of attention hold -inf."""
    if not value.is_floating_point():
        return True
    cast = value.to(own)
    return bool((cast.isfinite() | (cast == own)).all())


def _count(names: list[str], what: str) -> str:
    if not names:
        return f"0 {what}"
    shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
    return f"{len(names)} {what} ({shown})"


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a scalar"
