"""The operators a model runs, as `torch.export` sees them, with the model left as it was."""

from __future__ import annotations

import io
import logging
import operator
import re
import sys
import sysconfig
import traceback
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.fx import Graph, GraphModule, Node
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

from condensa_core.errors import WorkloadError, first_line
from condensa_core.evaluation_mode import evaluating


@dataclass(frozen=True, eq=False)
class Capture:
    """A model's ATen graph (training IR: `linear`, `batch_norm` and in-place operators are kept whole).

    `tensors` names the parameter or buffer behind a placeholder, by the first of its names in the model; `constants`
    are the tensors behind the placeholders of what the forward holds without owning it. `aliases` maps the other names
    of tied tensors to their first one; `shapes` has every parameter and buffer by first name.
    """

    program: torch.export.ExportedProgram
    tensors: Mapping[Node, str]
    constants: Mapping[Node, Tensor]
    aliases: Mapping[str, str]
    shapes: Mapping[str, tuple[int, ...]]
    modules: Mapping[str, nn.Module]
    example_inputs: tuple[Tensor, ...]

    @property
    def graph(self) -> Graph:
        """The graph of ATen calls, parameters and constants as placeholders."""
        return self.program.graph

    @cached_property
    def unlifted(self) -> GraphModule:
        """The same calls in the same order, with parameters and constants as attributes. Not to be changed."""
        unlifted = self.program.module(check_guards=False)
        assert isinstance(unlifted, GraphModule)
        for node in list(unlifted.graph.nodes):
            if node.target is torch.ops.aten._assert_tensor_metadata.default:
                unlifted.graph.erase_node(node)  # holds for the device and dtype of the capture only
                continue
            # In torch 2.13 an export may leave out a `contiguous` that only the real strides need.
            node.target = _WITH_ANY_STRIDES.get(node.target, node.target)
        unlifted.recompile()
        return unlifted

    def calls(self) -> Iterator[tuple[Node, Node]]:
        """Every call of `graph` with its twin in `unlifted`."""
        ours, theirs = (
            [
                node
                for node in graph.nodes
                if node.op == "call_function" and node.target is not torch.ops.aten._assert_tensor_metadata.default
            ]
            for graph in (self.graph, self.unlifted.graph)
        )
        assert [_WITH_ANY_STRIDES.get(node.target, node.target) for node in ours] == [
            node.target for node in theirs[: len(ours)]
        ]
        return zip(ours, theirs, strict=False)  # writes to buffers are added at the end

    @property
    def vocabularies(self) -> list[int | None]:
        """For every input, how many rows the table has that it numbers; None where it numbers none."""
        rows: dict[Node, int] = {}
        for node in self.graph.nodes:
            if node.target is torch.ops.aten.embedding.default and node.args[1].op == "placeholder":
                number, table = node.args[1], shape_of(node.args[0])
                assert table is not None
                rows[number] = min(rows.get(number, table[0]), table[0])
        given = set(self.program.graph_signature.user_inputs)
        return [rows.get(node) for node in self.graph.nodes if node.op == "placeholder" and node.name in given]

    @property
    def any_batch(self) -> bool:
        """Whether the graph holds for every batch size, not for that of the example alone."""
        given = set(self.program.graph_signature.user_inputs)
        inputs = [node for node in self.graph.nodes if node.op == "placeholder" and node.name in given]
        ranges = self.program.range_constraints
        return all(_is_open(node.meta["val"].shape[0], ranges) for node in inputs if node.meta["val"].ndim)


def capture(model: nn.Module, example_inputs: tuple[Tensor, ...]) -> Capture:
    """The model's graph in evaluation mode, for any batch size where the model lets it.

    WorkloadError, with the reason, where it cannot be exported.
    """
    program = _export(model, example_inputs)
    first, aliases = _names(model)
    signature = program.graph_signature
    behind = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    constants = signature.inputs_to_lifted_tensor_constants
    placeholders = [node for node in program.graph.nodes if node.op == "placeholder"]
    return Capture(
        program=program,
        tensors={
            node: aliases.get(behind[node.name], behind[node.name]) for node in placeholders if node.name in behind
        },
        constants={node: program.constants[constants[node.name]] for node in placeholders if node.name in constants},
        aliases=aliases,
        shapes={name: tuple(tensor.shape) for name, tensor in first.items()},
        modules=dict(model.named_modules(remove_duplicate=False)),
        example_inputs=example_inputs,
    )


def _export(model: nn.Module, example_inputs: tuple[Tensor, ...]) -> torch.export.ExportedProgram:
    any_batch: Any = torch.export.ShapesCollection()  # which finds each tensor also among `*args`
    for x in example_inputs:
        if x.ndim:
            any_batch[x] = {0: torch.export.Dim.AUTO}
    # Without gradients, `with torch.no_grad():` in a forward makes no operator of its own.
    with evaluating_unfused(model), torch.no_grad(), warnings.catch_warnings(), _quiet():
        warnings.simplefilter("ignore")  # torch.export warns about its own internals; failures are exceptions
        try:
            return _inlined(torch.export.export(model, example_inputs, dynamic_shapes=any_batch, strict=False))
        except Exception:  # its own batch size, or nothing at all: the second try tells
            pass
        try:
            return _inlined(torch.export.export(model, example_inputs, strict=False))
        except Exception as error:  # torch.export has no common exception class, and the forward is the user's
            data_dependent = isinstance(error, GuardOnDataDependentSymNode)
            raise WorkloadError(
                f"torch.export cannot capture {type(model).__name__}{_where(error)}: {first_line(error)}",
                hint=_ON_DATA if data_dependent else _ON_THE_REST,
            ) from error


_WITH_ANY_STRIDES: Final = {
    torch.ops.aten.view.default: torch.ops.aten.reshape.default,
    torch.ops.aten._unsafe_view.default: torch.ops.aten.reshape.default,
    torch.ops.aten.view_as.default: torch.ops.aten.reshape_as.default,
}
_ON_DATA: Final = (
    "sizes and branches must not depend on values: keep everything and choose with torch.where, or compress the part "
    "of the model before that, such as the backbone of a detector"
)
_ON_THE_REST: Final = (
    "the forward must run on the example input with torch operators alone: move the rest (NumPy, other libraries) out "
    "of the model, or compress the part that works on tensors"
)


def _inlined(program: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    """The program with regions of disabled autocast written out in place: they compute what stands in them."""
    graph_module = program.graph_module
    for node in list(graph_module.graph.nodes):
        if getattr(node.target, "__name__", "") != "wrap_with_autocast" or node.args[2] is not False:
            continue
        body = getattr(graph_module, node.args[4].target)
        inputs = [inner for inner in body.graph.nodes if inner.op == "placeholder"]
        with graph_module.graph.inserting_before(node):
            values = graph_module.graph.graph_copy(body.graph, dict(zip(inputs, node.args[5:], strict=True)))
        for user in list(node.users):
            assert user.target is operator.getitem
            user.replace_all_uses_with(values[user.args[1]])
            graph_module.graph.erase_node(user)
        graph_module.graph.erase_node(node)
    graph_module.recompile()
    return program


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch.export logs and prints before a failure: its reason is in the exception as well."""
    logger = logging.getLogger("torch")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with redirect_stderr(io.StringIO()):  # torch 2.13 prints the graph so far when a branch depends on values
            yield
    finally:
        logger.setLevel(before)


@contextmanager
def evaluating_unfused(model: nn.Module) -> Iterator[None]:
    """`evaluating(model)`, in which attention is computed operator by operator."""
    fused = torch.backends.mha.get_fastpath_enabled()
    with evaluating(model):
        torch.backends.mha.set_fastpath_enabled(False)  # one operator for a whole encoder layer hides its channels
        try:
            yield
        finally:
            torch.backends.mha.set_fastpath_enabled(fused)


def module_of(node: Node) -> str:
    """The name of the innermost module that ran this operator; empty for the model itself."""
    return next(reversed(modules_of(node)), "")


def modules_of(node: Node) -> list[str]:
    """The names of all modules that this operator ran in, from the model itself (empty) inwards."""
    # "conv@1" is the second call of one module
    return [path.partition("@")[0] for path, _ in (node.meta.get("nn_module_stack") or {}).values()]


def operator_name(node: Node) -> str:
    """The ATen name of a call, such as `aten.conv2d.default`."""
    return str(node.target)


def shape_of(node: Node) -> tuple[int, ...] | None:
    """The shape of a node's tensor; None if its value is no single tensor."""
    value = node.meta.get("val")
    return sizes_of(value) if isinstance(value, Tensor) else None


def sizes_of(value: Tensor) -> tuple[int, ...]:
    """A shape in numbers: an open batch size is that of the example."""
    return tuple(example_size(size) for size in value.shape)


def example_size(size: int | torch.SymInt) -> int:
    """A size as a number: an open one is that of the example, 0 where that depends on the numbers in it."""
    return int(size.node.hint or 0) if isinstance(size, torch.SymInt) else size


def _is_open(size: int | torch.SymInt, ranges: Mapping[Any, Any]) -> bool:
    """Whether a size may be any number: neither fixed nor bounded by what the forward does with it."""
    if not isinstance(size, torch.SymInt) or size.node.maybe_as_int() is not None:
        return False
    allowed = ranges.get(size.node.expr)
    return allowed is None or (allowed.lower <= 2 and allowed.upper >= sys.maxsize)


def _where(error: Exception) -> str:
    """` at file:line` of the innermost line of user code in a traceback; empty if there is none."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_own(frame.filename)]
    return f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""


def _is_own(file: str) -> bool:
    packaged = "site-packages" in file and not file.startswith(_TORCH)
    return not file.startswith(("<", _TORCH, _OURS)) and (packaged or not file.startswith(_STDLIB))


def line_of(node: Node) -> str:
    """`file:line` of the innermost line of user code that made this call; empty if it is not known."""
    frames = _FRAME.findall(node.meta.get("stack_trace") or "")
    own = [(file, line) for file, line in frames if not file.startswith(_TORCH)]
    return f"{Path(own[-1][0]).name}:{own[-1][1]}" if own else ""


_TORCH: Final = str(Path(torch.__file__).parent)
_OURS: Final = str(Path(__file__).parents[1])
_STDLIB: Final = sysconfig.get_path("stdlib")
_FRAME: Final = re.compile(r'File "([^"]+)", line (\d+)')


def _names(model: nn.Module) -> tuple[dict[str, Tensor], dict[str, str]]:
    first: dict[str, Tensor] = {}
    aliases: dict[str, str] = {}
    seen: dict[int, str] = {}
    for named in (model.named_parameters(remove_duplicate=False), model.named_buffers(remove_duplicate=False)):
        for name, tensor in named:
            if id(tensor) in seen:
                aliases[name] = seen[id(tensor)]
            else:
                seen[id(tensor)] = name
                first[name] = tensor
    return first, aliases
