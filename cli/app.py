"""The command table, and the one place where refusals become exit codes."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from condensa_core import __version__
from condensa_core.errors import CondensaError, Interrupted, MachineError, RunFailed, UsageError
from condensa_core.report.ending import ending_of_bug, refusal_of

from . import exit_codes
from .ablate import ablate
from .apart import in_a_child
from .bench import bench
from .check import check
from .console import given_up, refused_by_stdout, say, show, show_json
from .crash import Crash, apology, save_traceback
from .doctor import doctor
from .engine import engine
from .init import init
from .inspect import inspect
from .plan import plan
from .problems import drawn_error, error_json
from .report import report
from .resume import resume
from .run import run
from .schema import schema
from .schemes import schemes
from .unpack import unpack

EPILOG = "Exit codes: 0 done; 1 a bound does not hold; 2 change the command or recipe; 3 this machine cannot; " + (
    "4 failed, resumable; 70 a bug; 130 interrupted."
)

app = typer.Typer(
    name="condensa",
    help="Make trained PyTorch models really smaller and really faster, under an accuracy floor you state.",
    epilog=EPILOG,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: half the start-up time, and greppable
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    init, check, plan, inspect, run, resume, bench, ablate, unpack, engine, report, schemes, schema, doctor,
):  # fmt: skip
    app.command(command.__name__)(command)

# The base of every mistake the command line parser finds. Typer carries its parser under different names from one
# version to the next, but this public subclass of it has always been there.
_ParserError = cast("type[Exception]", typer.BadParameter.__bases__[0])


@app.callback(invoke_without_command=True)
def condensa(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        show(f"condensa {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        raise UsageError("a command is missing", hint="condensa --help lists them; condensa init writes a first recipe")


def program(arguments: list[str]) -> int:
    """The command as the program is asked for it: the exit code to end with."""
    apart = arguments[:1] == ["bench"] and hasattr(os, "fork")
    return _bench_apart(arguments) if apart else exit_code_of(arguments)


def _bench_apart(arguments: list[str]) -> int:
    """`bench` loads what strangers made into runtimes written in C++: it works in a child, and its death has a code."""
    try:
        return in_a_child(lambda: exit_code_of(arguments), f"condensa {shlex.join(arguments)[:200]}")
    except (RunFailed, Interrupted) as error:
        return _refused(error, arguments)


def exit_code_of(arguments: Sequence[str]) -> int:
    """Run one command line, draw whatever it refuses, and tell the exit code to end with."""
    try:
        return _ended(list(arguments))
    except typer.Exit as left:  # the reader of stdout is gone
        return left.exit_code


def _ended(arguments: list[str]) -> int:
    try:
        return _invoke_or_refuse(arguments)
    except typer.Exit:
        raise
    except SystemExit as left:
        if isinstance(left.__context__, BrokenPipeError):  # the parser's way out, of help
            raise given_up(left.__context__) from None
        return _refused(cast(CondensaError, refusal_of(left)), arguments)
    except Crash as crash:
        return _broken(crash.__cause__ or crash, arguments, crash.directory, crash.continue_with)
    except Exception as error:
        if refused_by_stdout(error):  # help, which the parser of the command line prints
            return _refused(cast(CondensaError, given_up(cast(OSError, error))), arguments)
        return _broken(error, arguments)


def _invoke_or_refuse(arguments: list[str]) -> int:
    try:
        return _invoke(arguments)
    except CondensaError as error:
        return _refused(error, arguments)


def _refused(error: CondensaError, arguments: Sequence[str]) -> int:
    if _wants_json(arguments):
        _answer(error_json(error))
    say(drawn_error(error))
    return error.exit_code


def _broken(
    error: BaseException, arguments: Sequence[str], directory: Path | None = None, continue_with: str | None = None
) -> int:
    if _wants_json(arguments):
        run_dir = str(directory) if directory else None
        _answer(ending_of_bug(error, run_dir=run_dir, continue_with=continue_with).to_json())
    say(apology(error, save_traceback(error, directory)))
    return exit_codes.BUG


def _answer(document: Mapping[str, Any]) -> None:
    """Print it, unless stdout refuses it: stderr tells what there is to tell, and the exit code is the answer's."""
    with suppress(MachineError):
        show_json(document)


def _wants_json(arguments: Sequence[str]) -> bool:
    """Whether the command line asks for one JSON document; also where it is too broken to be parsed."""
    return "--json" in arguments or "--format=json" in arguments or ("--format", "json") in pairwise(arguments)


def _invoke(arguments: list[str]) -> int:
    try:
        code = app(arguments, prog_name="condensa", standalone_mode=False)
    except _ParserError as error:
        raise _usage_error(cast(typer.BadParameter, error)) from error
    except (typer.Abort, KeyboardInterrupt):
        code = exit_codes.INTERRUPTED
    if code == exit_codes.INTERRUPTED:  # at once: before the work began, or by the second signal
        raise Interrupted("interrupted")
    return code or exit_codes.OK


def _usage_error(error: typer.BadParameter) -> UsageError:
    """The parser's complaint as one of ours, so that it is drawn, counted and told to machines like every other."""
    command = error.ctx.command_path if error.ctx else "condensa"
    sentence = error.format_message().strip().rstrip(".")
    return UsageError(sentence[:1].lower() + sentence[1:], hint=f"{command} --help")
