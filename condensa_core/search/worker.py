"""The other end of `Processes`: what a worker process runs."""

from __future__ import annotations

import os
import pickle
import queue
import sys
import threading
import traceback
from multiprocessing.connection import Connection
from typing import Any, Final

from condensa_core.errors import Interrupted, RunFailed
from condensa_core.progress import Event, MidStep, Waiting
from condensa_core.search.observation import Trial

STOP: Final = b"stop"  # all other messages are pickles


def work(handle: int) -> None:
    """Open what arrives first on the socket `handle`, then answer every trial until the other end says STOP.

    Stops at the next event, with Interrupted. Ends the process at once when the other end hangs up.
    """
    os.set_inheritable(handle, False)
    connection = Connection(handle)
    orders: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    stopping = threading.Event()
    threading.Thread(target=_listen, args=(connection, orders, stopping), daemon=True).start()

    saying = threading.Lock()  # whoever watches this process tells events from a thread of its own

    def say(*message: Any) -> None:
        with saying:
            connection.send_bytes(pickle.dumps(message))

    def tell(event: Event) -> None:
        if stopping.is_set() and not isinstance(event, MidStep):  # whoever asked kills it if that lasts
            raise Interrupted("stopped")
        if not isinstance(event, Waiting):  # the other end has a heartbeat of its own
            say("event", event)

    try:
        index, opening = pickle.loads(orders.get())
        evaluate = opening(index, tell)
        say("opened")
        while (order := orders.get()) != STOP:
            trial: Trial = pickle.loads(order)
            say("taken")
            try:
                reading = evaluate(trial)
            except RunFailed as err:
                say("failed", str(err), dict(err.details))
            else:
                say("read", reading)
    except (Interrupted, ConnectionError):
        pass
    except Exception as err:  # whatever it is, the other end raises it again
        say("raised", _portable(err), "".join(traceback.format_exception(err)))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # tearing down an interpreter that holds torch and its runtimes takes seconds, for nothing


def _listen(connection: Connection, orders: queue.SimpleQueue[bytes], stopping: threading.Event) -> None:
    """Take orders in a thread of its own: a hang-up must be heard while the other one computes."""
    while True:
        try:
            order = connection.recv_bytes()
        except (EOFError, OSError):
            os._exit(1)  # nobody is left to answer to; files in the making never carry their final name
        if order == STOP:
            stopping.set()
        orders.put(order)


def _portable(error: Exception) -> Exception:
    """The error, or one that says the same where it cannot be pickled and made again."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # the constructor of any error may ask for more than its message
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
