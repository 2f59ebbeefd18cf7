"""One action from its beginning to its exit code: signals first, then the order, then a verdict.

Separate because everything here must work before, and whatever happens after, the heavy packages are imported. Called
by `trainyard_data.__main__`. Exit 0: done, or stopped as asked. 2: the parameters or the data are not usable. 1:
anything else.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from trainyard_data.actions import parameters
from trainyard_data.actions.contract import Order, read_order, termination_log
from trainyard_data.actions.problems import Refused, Stopped, nearest
from trainyard_data.actions.reporting import Reporter, Verdict, write_termination
from trainyard_data.actions.stopping import StopFlag
from trainyard_data.findings import BadData

EXIT_DONE, EXIT_FAILED, EXIT_REFUSED = 0, 1, 2

Action = Callable[[Order, Mapping[str, Any], Reporter, StopFlag], Verdict]


def run(action: str, environ: Mapping[str, str] | None = None) -> int:
    """Carry out the order in the environment (the process's own by default); the exit code."""
    environ = os.environ if environ is None else environ
    stop = StopFlag()
    stop.install()
    reporter = Reporter(stream=sys.stdout)
    try:
        verdict, code = _perform(action, environ, reporter, stop), EXIT_DONE
    except Stopped as stopped:
        reporter.line("RUNNING", str(stopped))
        verdict, code = Verdict(status="RUNNING", complete=False, message=str(stopped)), EXIT_DONE
    except (Refused, BadData) as refusal:
        verdict, code = _failed(reporter, str(refusal)), EXIT_REFUSED
    except Exception as error:
        reporter.log(traceback.format_exc())
        verdict, code = _failed(reporter, _advice(error)), EXIT_FAILED
    write_termination(termination_log(environ), verdict)
    return code


def _perform(action: str, environ: Mapping[str, str], reporter: Reporter, stop: StopFlag) -> Verdict:
    if action not in ACTIONS:
        raise Refused(
            f'This image does not know the action "{action}".{nearest(action, ACTIONS)} It knows: '
            f"{', '.join(ACTIONS)}."
        )
    order = read_order(environ, action=action)
    checked = parameters.check(order.parameters, action=action)
    reporter.line("STARTED", f"{action}: reading dataset {order.dataset}")
    if stop.requested:
        raise Stopped("stopped before it began; there is nothing to save")
    return ACTIONS[action](order, checked, reporter, stop)


def _failed(reporter: Reporter, message: str) -> Verdict:
    reporter.line("FAILURE", message)
    return Verdict(status="FAILURE", complete=False, message=message)


def _advice(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "Out of memory. Give the job more memory in resources."
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return "No space is left for the new dataset. Enlarge the volume of the output."
    if isinstance(error, PermissionError):
        return f"No permission for {error.filename}. Let user {os.getuid()} write to the volume (fsGroup)."
    first = str(error).splitlines()[0] if str(error) else "no message"
    return f"{type(error).__name__}: {first}. The log above says where; if a retry fails too, report it."


# NB: functions that import, so that an action does not wait for what only another one needs.
def _validate(order: Order, checked: Mapping[str, Any], reporter: Reporter, stop: StopFlag) -> Verdict:
    from trainyard_data.actions.validate import validate

    return validate(order, checked, reporter=reporter, stop=stop)


def _analyze(order: Order, checked: Mapping[str, Any], reporter: Reporter, stop: StopFlag) -> Verdict:
    from trainyard_data.actions.analyze import analyze

    return analyze(order, checked, reporter=reporter, stop=stop)


def _convert(order: Order, checked: Mapping[str, Any], reporter: Reporter, stop: StopFlag) -> Verdict:
    from trainyard_data.actions.convert import convert

    return convert(order, checked, reporter=reporter, stop=stop)


def _augment(order: Order, checked: Mapping[str, Any], reporter: Reporter, stop: StopFlag) -> Verdict:
    from trainyard_data.actions.augment import augment

    return augment(order, checked, reporter=reporter, stop=stop)


def _split(order: Order, checked: Mapping[str, Any], reporter: Reporter, stop: StopFlag) -> Verdict:
    from trainyard_data.actions.split import split

    return split(order, checked, reporter=reporter, stop=stop)


ACTIONS: Mapping[str, Action] = {
    "validate": _validate,
    "analyze": _analyze,
    "convert": _convert,
    "annotation_format_convert": _convert,
    "augment": _augment,
    "split": _split,
}
