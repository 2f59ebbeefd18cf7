"""A parent process for a rank, so that it ends with an exit code and a last line however jax ends it.

Separate because only a rank of several needs it: jax aborts a process that has lost the others, without an exception
that could be caught, and leaving the others in order can fail when the work is done. Called by `__main__`, before
anything heavy is imported: the parent stays small.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
from collections.abc import Callable
from types import FrameType

from trainyard_trainer import ranks
from trainyard_trainer.problems import PeerLost
from trainyard_trainer.stopping import StopFlag

_LEAVE_SECONDS = 15.0
_LONGEST_MESSAGE = 4096
_PR_SET_PDEATHSIG = 1


def guard(work: Callable[[], int], *, stop: StopFlag, on_loss: Callable[[str], int]) -> int:
    """Do the work in a child process and hand signals on to it; the exit code.

    That is what `work` returned, whatever happens afterwards. What `on_loss` makes of a message if it raised PeerLost
    or jax aborted it; 128 and the signal's number if another signal killed it.
    """
    told, telling = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(told)
        _die_with_parent()
        _work(work, telling)
    os.close(telling)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _handing_on(child))
    if stop.requested:
        os.kill(child, signal.SIGTERM)
    said = os.read(told, _LONGEST_MESSAGE)
    # NB: the child's end of the pipe closes when it has ended.
    if said and not select.select([told], [], [], _LEAVE_SECONDS)[0]:
        os.kill(child, signal.SIGKILL)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if len(said) > 1:
        # NB: last of all, after what jax still had to say.
        return on_loss(said[1:].decode())
    if said:
        return said[0]
    if ended == -signal.SIGABRT:
        return on_loss(ranks.lost("this process was aborted, as the lines above say"))
    return 128 - ended if ended < 0 else ended


def _work(work: Callable[[], int], telling: int) -> None:
    """In the child; never returns. A rank that failed does not part from the others: it would wait for them."""
    code = 1
    try:
        try:
            code = work()
            os.write(telling, bytes([code]))
        except PeerLost as gone:
            os.write(telling, bytes([code]) + str(gone).encode()[: _LONGEST_MESSAGE - 1])
        if code == 0:
            ranks.leave()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # NB: at once, without what jax does at exit.
        os._exit(code)


def _handing_on(child: int) -> Callable[[int, FrameType | None], None]:
    def hand_on(number: int, frame: FrameType | None) -> None:
        os.kill(child, number)

    return hand_on


def _die_with_parent() -> None:
    """Whoever kills the parent means the child."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
