"""Several inferences under way at once: a thread for each stream, all of one loaded file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor


class Streams:
    """Threads that ask for inferences, each by its own call, until a stretch is over.

    The calls must leave other threads running while they compute, as those of ONNX Runtime and OpenVINO do.
    """

    def __init__(self, calls: Sequence[Callable[[], object]]) -> None:
        self._calls = calls
        self._pool = ThreadPoolExecutor(len(calls), thread_name_prefix="stream")

    def run(self, runs: int) -> None:
        """`runs` inferences in all: one in every stream, while there are that many, then each where a stream is free.

        They have ended when it returns. What a call raises is raised, when the others have ended.
        """
        working = self._calls[:runs]
        left = iter(range(runs - len(working)))  # of C: no two threads get the same number
        started = [self._pool.submit(_work, call, left) for call in working]
        for one in started:
            one.exception()
        for one in started:
            one.result()

    def close(self) -> None:
        self._pool.shutdown()


def _work(call: Callable[[], object], left: Iterator[int]) -> None:
    call()
    for _ in left:
        call()
