"""The process: signals first, then the order, then a verdict, always an exit code that means something.

Separate because everything here must work before, and whatever happens after, numpy is imported.
Exit 0: done, or stopped as asked. 2: the parameters or the data are not usable. 1: anything else.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
import warnings
from dataclasses import replace

from trainyard_trainer import guarding
from trainyard_trainer.actions import perform
from trainyard_trainer.contract import Place, read_order, read_place, termination_log, thread_defaults
from trainyard_trainer.problems import PeerLost, Refused
from trainyard_trainer.reporting import Reporter, Verdict, write_termination
from trainyard_trainer.stopping import StopFlag, StopRequested

EXIT_DONE, EXIT_FAILED, EXIT_REFUSED = 0, 1, 2


def main() -> int:
    """Run the order in the environment; the exit code."""
    stop = StopFlag()
    stop.install()
    os.environ.update(thread_defaults(os.environ))
    try:
        place = read_place(os.environ)
    except Refused:
        # It is said when the order is read.
        place = Place()
    reporter = Reporter(stream=sys.stdout, reports=place.rank == 0)
    _log_warnings(reporter)
    if place.ranks == 1:
        return _carry_out(reporter, stop)
    return guarding.guard(
        lambda: _carry_out(reporter, stop), stop=stop, on_loss=lambda message: _lost(reporter, message)
    )


def _carry_out(reporter: Reporter, stop: StopFlag) -> int:
    """Raises PeerLost, of which the last word is said when this process has ended."""
    try:
        verdict, code = perform(read_order(os.environ), reporter=reporter, stop=stop), EXIT_DONE
    except StopRequested as stopped:
        message = str(stopped) or "stopped before it began; there is nothing to save"
        reporter.line("RUNNING", message)
        verdict, code = Verdict(status="RUNNING", complete=False, message=message), EXIT_DONE
    except Refused as refusal:
        verdict, code = _failed(reporter, str(refusal)), EXIT_REFUSED
    except PeerLost:
        raise
    except Exception as error:
        reporter.log(traceback.format_exc())
        verdict, code = _failed(reporter, _advice(error)), EXIT_FAILED
    write_termination(termination_log(os.environ), _marked(reporter, verdict))
    return code


def _lost(reporter: Reporter, message: str) -> int:
    write_termination(termination_log(os.environ), _marked(reporter, _failed(reporter, message)))
    return EXIT_FAILED


def _marked(reporter: Reporter, verdict: Verdict) -> Verdict:
    return replace(verdict, message=reporter.marked(verdict.message))


def _log_warnings(reporter: Reporter) -> None:
    """Warnings become log lines on stdout, among the lines they belong to, each of them once."""
    said: set[str] = set()

    def show(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
        text = f"{category.__name__}: {message}"
        if text not in said:
            said.add(text)
            reporter.log(text)

    warnings.showwarning = show


def _failed(reporter: Reporter, message: str) -> Verdict:
    reporter.line("FAILURE", message)
    return Verdict(status="FAILURE", complete=False, message=message)


def _advice(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "Out of memory. Give the job more memory in resources, or use less data."
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return f"No space left for {error.filename}. Enlarge the claim, or lower checkpoints_kept."
    if isinstance(error, PermissionError):
        return f"No permission for {error.filename}. Let user {os.getuid()} write to the volume (fsGroup)."
    first = str(error).splitlines()[0] if str(error) else "no message"
    return f"{type(error).__name__}: {first}. The log above says where; if a retry fails too, report it."


if __name__ == "__main__":
    sys.exit(main())
