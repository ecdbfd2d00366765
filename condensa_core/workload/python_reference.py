"""What a recipe means by `python: file.py:object` or `python: package.module:object`."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from condensa_core.errors import CondensaError, UserCodeFailed, WorkloadError
from condensa_core.workload.global_state import keeping_global_state
from condensa_core.workload.neighbours import importable
from condensa_core.workload.out_of_memory import is_out_of_memory
from condensa_core.workload.python_sources import source_digest
from condensa_core.workload.sudden_end import no_sudden_end
from condensa_core.workload.watch import seen_running

_OURS = Path(__file__).parents[1]  # frames in condensa's own files help nobody
_MODULE_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def load_object(reference: str, directory: Path, *, allow_python: bool = True) -> Any:
    """The object that `reference` names; its module is run once per process and content.

    `file.py:object` is looked up relative to `directory` and runs under a private module name; `package.module:object`
    is imported. While the code runs, and only then, `directory` is on `sys.path`, so that it can import its neighbours.
    WorkloadError when Python is not allowed, for a missing file, module or object, and for whatever the code raises.
    """
    if not allow_python:
        raise WorkloadError(
            f"python reference {reference!r} is refused by --no-python",
            hint="leave out --no-python if you trust the recipe's author: its Python would be run",
        )
    source, colon, path = reference.rpartition(":")
    if not (source and colon and path):
        raise WorkloadError(f"python reference {reference!r} has no object", hint="write file.py:object")
    module = _file_module(source, directory) if source.endswith(".py") else _imported_module(source, directory)
    found: Any = module
    for name in path.split("."):
        if not hasattr(found, name):
            raise WorkloadError(f"{source} has no {path!r}", hint=_near(name, _public_names(found)))
        found = getattr(found, name)
    return found


def call_object(reference: str, called: Any, args: Mapping[str, Any], directory: Path) -> Any:
    """What the user's callable returns for `args`; WorkloadError, with file and line, for whatever it raises."""
    if not callable(called):
        raise WorkloadError(
            f"{reference} is {_kind(called)}, which cannot be called",
            hint="name a function, a class, or an object that is made already without args",
        )
    _check_arguments(reference, called, args)
    with importable(directory), user_code(reference):
        return called(**args)


@contextlib.contextmanager
def user_code(reference: str, hint: str | None = None) -> Iterator[None]:
    """Turns whatever the user's code raises inside the block into a UserCodeFailed that names its file and line.

    Also `sys.exit` and `os._exit`, which would end the command as if all was done. What torch keeps for the whole
    process is afterwards as it was, and a block that does not end is seen by whoever is `watching`. What the machine
    refuses, memory, passes as it is: it is no mistake of the code.
    """
    try:
        with keeping_global_state(), no_sudden_end(), seen_running(reference):
            yield
    except CondensaError:
        raise
    except SyntaxError as err:
        raise UserCodeFailed(f"{reference}: {Path(err.filename or '?').name}:{err.lineno}: {err.msg}") from err
    except SystemExit as err:
        raise UserCodeFailed(f"{reference} called {ending(err)} at {failing_line(err)}", hint=hint) from err
    except Exception as err:  # the user's code may raise anything, and its author needs to know where
        if is_out_of_memory(err):
            raise
        raise UserCodeFailed(
            f"{reference} failed at {failing_line(err)}: {type(err).__name__}: {err}", hint=hint
        ) from err


def ending(err: SystemExit) -> str:
    """The call by which the user's code wanted to end the program."""
    return str(err.code) if str(err.code).startswith("os._exit(") else f"sys.exit({err.code!r})"


def _file_path(source: str, directory: Path) -> Path:
    path = (directory / source).resolve()
    if not path.is_file():
        hint = f"looked in {directory}"
        near = difflib.get_close_matches(path.name, [p.name for p in path.parent.glob("*.py")], n=1)
        raise WorkloadError(f"{source!r} does not exist", hint=f"did you mean {near[0]!r}?" if near else hint)
    return path


def _file_module(source: str, directory: Path) -> ModuleType:
    path = _file_path(source, directory)
    # The content is part of the name, and that of its neighbours: what is edited is run again, two references to one
    # file share their module.
    content = source_digest(f"{source}:", directory)
    digest = hashlib.sha256(str(path).encode() + b"\0" + content.encode()).hexdigest()[:16]
    name = f"_condensa_user_{path.stem}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise WorkloadError(f"{source!r} cannot be loaded as Python", hint="write file.py:name or package.module:name")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and torch.export look their module up here
    try:
        with importable(path.parent), user_code(source):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _imported_module(source: str, directory: Path) -> ModuleType:
    if not _MODULE_NAME.fullmatch(source):
        raise WorkloadError(f"{source!r} is neither a .py file nor a module", hint="write file.py:object")
    with importable(directory), user_code(source):
        try:
            return importlib.import_module(source)
        except ModuleNotFoundError as err:
            if err.name is not None and (source == err.name or source.startswith(err.name + ".")):
                raise WorkloadError(f"there is no module {source!r}", hint=f"looked in {directory} too") from err
            raise


def _check_arguments(reference: str, called: Callable[..., Any], args: Mapping[str, Any]) -> None:
    try:
        signature = inspect.signature(called)
    except (TypeError, ValueError):  # builtins have none; the call itself will tell
        return
    try:
        signature.bind(**args)
    except TypeError as err:
        unknown = next((name for name in args if name not in signature.parameters), None)
        hint = _near(unknown, list(signature.parameters)) if unknown else f"its signature is {signature}"
        raise WorkloadError(f"{reference}: {err}", hint=hint) from err


def failing_line(err: BaseException) -> str:
    """The innermost frame outside installed packages, else the innermost of all: the line its author can change."""
    frames = [f for f in traceback.extract_tb(err.__traceback__) if not Path(f.filename).is_relative_to(_OURS)]
    own = [f for f in frames if "site-packages" not in f.filename and not f.filename.startswith("<")]
    if not frames:
        return "its call"
    frame = (own or frames)[-1]
    return f"{Path(frame.filename).name}:{frame.lineno}"


def _public_names(found: object) -> list[str]:
    return [name for name in dir(found) if not name.startswith("_")]


def _near(name: str, known: list[str]) -> str | None:
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return "it has: " + ", ".join(known[:20]) if known else None


def _kind(value: object) -> str:
    return f"a {type(value).__name__}"
