"""The other end of `server.py`: commands in forked processes, with faults on order."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from scene import Scene

HERE: Final = Path(__file__).parent
# The operations that `failing_calls.c` counts, in its order.
KINDS: Final = ("write", "fsync", "rename", "mkdir", "open")


class Forks:
    """Commands carried out by `server.py`, where chosen file operations can be made to fail; needs a C compiler.

    `undisturbed` is the scene of a run by the server itself, before any fork.
    """

    def __init__(self, work: Path) -> None:
        library = work / "failing_calls.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, HERE / "failing_calls.c", "-ldl"], check=True)
        environment = os.environ | {"LD_PRELOAD": str(library), "OMP_NUM_THREADS": "1"}
        (work / "nothing").mkdir(exist_ok=True)
        self.undisturbed = Scene.laid(work / "undisturbed", work / "nothing")
        self._log = (work / "server.log").open("w")
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", HERE / "server.py", self.undisturbed.folder],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True, env=environment,
        )  # fmt: skip
        if self._answer() != "ready":
            raise SystemExit(f"the server did not start; see {self._log.name}")

    def carry_out(self, scene: Scene, arguments: list[str], **more: Any) -> dict[str, Any]:
        """What `server.carried_out` answers: code, seconds, what was said and counted."""
        order = {
            "arguments": arguments,
            "environment": scene.environment,
            "under": str(scene.disk),
            **more,
        }
        assert self._process.stdin
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return json.loads(self._answer())

    def _answer(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline().strip()

    def close(self) -> None:
        self._process.communicate()
        self._log.close()


def told_well(scene: Scene, stderr: str) -> bool:
    """Whether the refusal names a file of the case and says what to do, without a traceback."""
    told = stderr[stderr.rfind("error: ") :]
    whole = "error: " in stderr and "Traceback" not in stderr and "internal error" not in stderr
    return whole and str(scene.disk) in told and "help: " in told
