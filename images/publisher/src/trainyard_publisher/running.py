"""One run from its beginning to its exit code: signals first, then the order, then a verdict.

Separate because everything here must work before, and whatever happens after, a target's library is imported. Exit 0:
done, or stopped as asked. 2: the order, the version or the target cannot be used. 1: anything else.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping
from importlib import import_module
from typing import Protocol, cast

from trainyard_publisher import order as orders
from trainyard_publisher import version as versions
from trainyard_publisher.order import Order
from trainyard_publisher.problems import Failed, Refused, Stopped
from trainyard_publisher.reporting import Reporter, Verdict, termination_log, write_termination
from trainyard_publisher.result import Published
from trainyard_publisher.stopping import StopFlag
from trainyard_publisher.version import Version

EXIT_DONE, EXIT_FAILED, EXIT_REFUSED = 0, 1, 2
ACTIONS = ("publish", "unpublish")


class Target(Protocol):
    """A module that knows one kind of target."""

    def publish(self, order: Order, version: Version, reporter: Reporter) -> Published:
        """Puts the version there, where it does not lie there already."""

    def unpublish(self, order: Order, reporter: Reporter) -> str:
        """Takes away what was published there, and nothing else; gives a sentence that says what it found."""


#: NB: names, so that a run does not wait for what only another target needs.
_TARGETS = {
    "s3": "folders",
    "gs": "folders",
    "abfs": "folders",
    "pvc": "folders",
    "oci": "modelpack",
    "mlflow": "mlflow",
    "hf": "hub",
}


def run(action: str, environ: Mapping[str, str]) -> int:
    """Carry out the order in the environment; the exit code."""
    stop = StopFlag()
    stop.install()
    reporter = Reporter(stream=sys.stdout, stopped=stop)
    try:
        verdict, code = _perform(action, environ, reporter), EXIT_DONE
    except Stopped as stopped:
        reporter.line("RUNNING", str(stopped))
        verdict, code = Verdict(status="RUNNING", complete=False, message=str(stopped)), EXIT_DONE
    except Refused as refusal:
        verdict, code = _failed(reporter, str(refusal)), EXIT_REFUSED
    except Failed as failure:
        verdict, code = _failed(reporter, str(failure)), EXIT_FAILED
    except Exception as error:
        reporter.log(traceback.format_exc())
        verdict, code = _failed(reporter, _advice(error)), EXIT_FAILED
    write_termination(termination_log(environ), verdict)
    return code


def _perform(action: str, environ: Mapping[str, str], reporter: Reporter) -> Verdict:
    if action not in ACTIONS:
        raise Refused(f'This image does not know the action "{action}". It knows: {", ".join(ACTIONS)}.')
    order = orders.read(environ, action=action)
    module = import_module(f"trainyard_publisher.{_TARGETS[order.scheme]}")
    target = cast(Target, module)
    if action == "unpublish":
        reporter.line("STARTED", f"unpublish: what {order.owner} has published at {order.uri}")
        message = target.unpublish(order, reporter)
        reporter.line("SUCCESS", message)
        return Verdict(status="SUCCESS", complete=True, message=message)
    version = versions.read(order)
    size = sum(file.size for file in version.all)
    reporter.line(
        "STARTED",
        f"publish: version {version.number} of {order.model}, {len(version.all)} files of {size} bytes, to {order.uri}",
    )
    published = target.publish(order, version, reporter)
    what = f"version {version.number} of {order.model}"
    message = f"{what} is published at {published.uri}; {published.sent} files sent"
    if published.left:
        tags, stay = ("tags", "stay") if len(published.left) > 1 else ("tag", "stays")
        message += f"; {tags} {', '.join(published.left)} {stay}, as {published.why}"
    reporter.line("SUCCESS", message, published=published.said())
    return Verdict(status="SUCCESS", complete=True, message=message)


def _failed(reporter: Reporter, message: str) -> Verdict:
    reporter.line("FAILURE", message)
    return Verdict(status="FAILURE", complete=False, message=message)


def _advice(error: Exception) -> str:
    first = str(error).splitlines()[0] if str(error) else "no message"
    return f"{type(error).__name__}: {first}. The log above says where; if a retry fails too, report it."
