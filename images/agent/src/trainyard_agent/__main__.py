"""`trainyard-agent fetch | run | share | receive | survey | pull | sweep | record`.

Separate because a handler for SIGTERM must be in place before the slow imports. Called by the container's command.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from trainyard_agent import messages
from trainyard_agent.endings import Ending
from trainyard_agent.log import say
from trainyard_agent.order import Order, read_order, termination_log
from trainyard_agent.troubles import ModelFailed, of

#: Exit codes of `fetch`: the job has its result already; a later attempt has begun.
COMPLETE, FENCED = 10, 11
#: How long `fetch` bears a store that does not answer.
FETCH_SECONDS = 300.0


def main() -> None:
    """The entry point. NB: it leaves at once: threads that hang in a request must not keep the pod."""
    try:
        code = command(sys.argv[1:])
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def command(arguments: Sequence[str]) -> int:
    """Runs one subcommand; gives the exit code."""
    parser = argparse.ArgumentParser(prog="trainyard-agent", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser(
        "fetch", help="before the trainer: what it goes on from, and whether to run it at all"
    )
    commands.add_parser("run", help="beside the trainer: its checkpoints and artifacts to the job's output")
    commands.add_parser("share", help="give stored artifacts to others", add_help=False)
    commands.add_parser("receive", help="take a dataset from a laptop onto a volume", add_help=False)
    commands.add_parser("survey", help="what a dataset's source holds now, pinned by a digest")
    commands.add_parser("pull", help="bring a dataset from its source onto a volume")
    commands.add_parser("sweep", help="remove the checkpoints and artifacts that jobs have stored")
    commands.add_parser("record", help="store the record and the card of a model's version")
    chosen, more = parser.parse_known_args(arguments)
    if chosen.command == "share":
        from trainyard_agent.sharing import share

        return share(more)
    if chosen.command == "receive":
        from trainyard_agent.intake import receive

        return receive(more)
    if more:
        parser.error(f"unrecognized arguments: {' '.join(more)}")
    if chosen.command in ("survey", "pull"):
        return _dataset(chosen.command)
    if chosen.command == "sweep":
        return _sweep()
    if chosen.command == "record":
        return _record()
    return _fetch() if chosen.command == "fetch" else _run()


def _fetch() -> int:
    ending = Ending()
    ending.install(then=lambda: os._exit(143))
    try:
        order = read_order(os.environ)
        return _fetched(order)
    except Exception as error:
        trouble = of(error, place="The output")
        say(str(trouble))
        kind = trouble.kind if trouble.kind == "absent" else None
        model = trouble.model if isinstance(trouble, ModelFailed) else None
        said = messages.failed(str(trouble), claimed=trouble.claimed, kind=kind, model=model)
        messages.write(termination_log(os.environ), said)
        return FENCED if trouble.kind == "fenced" else 1


def _fetched(order: Order) -> int:
    from trainyard_agent import fetching, places
    from trainyard_agent.patience import Patience

    patience = Patience(tolerance=FETCH_SECONDS)
    try:
        fetching.fetch(
            order,
            store=places.output(order, patience),
            parent=places.parent(order, patience),
            handed=places.handed(order, patience),
        )
    except fetching.Complete as complete:
        messages.write(order.termination_log, messages.complete(complete.result))
        return COMPLETE
    if order.base_models:
        from trainyard_agent import models

        brought = models.bring(order.base_models, cards=order.work / "base-models", patience=patience)
        messages.write(order.termination_log, messages.done(models.told(brought, room=messages.LIMIT)))
    return 0


def _run() -> int:
    ending = Ending()
    ending.install()
    try:
        order = read_order(os.environ)
        from trainyard_agent import places, running
        from trainyard_agent.patience import Patience

        def left() -> float:
            return ending.left(
                upload_seconds=order.upload_seconds, grace_seconds=order.grace_seconds, begun=order.ending
            )

        patience = Patience(left=left, hurry=ending.came)
        return running.run(order, store=places.output(order, patience), ending=ending, left=left)
    except Exception as error:
        trouble = of(error, place="The output")
        say(str(trouble))
        # NB: the kubelet would start it again and again beside the trainer.
        ending.came.wait()
        messages.write(termination_log(os.environ), messages.failed(str(trouble)))
        return 1


def _dataset(command: str) -> int:
    """NB: SIGTERM ends it at once; another pod goes on from what is on the volume."""
    Ending().install(then=lambda: os._exit(143))
    log = termination_log(os.environ)
    try:
        from trainyard_agent.dataorder import read_data_order
        from trainyard_agent.progress import Progress

        order = read_data_order(os.environ)
        progress = Progress()
        if command == "survey":
            from trainyard_agent.surveying import survey

            told = progress.told_while(lambda: survey(order))
        else:
            from trainyard_agent.pulling import pull

            told = progress.told_while(lambda: pull(order, progress))
    except Exception as error:
        trouble = of(error, place="The source")
        say(str(trouble))
        messages.write(log, messages.failed(str(trouble), kind=trouble.kind))
        return 1
    messages.write(log, messages.done(told))
    return 0


def _sweep() -> int:
    """NB: SIGTERM ends it at once; another pod removes what is left."""
    Ending().install(then=lambda: os._exit(143))
    log = termination_log(os.environ)
    try:
        from trainyard_agent import places, sweeping
        from trainyard_agent.patience import Patience
        from trainyard_agent.sweeporder import read_sweep_order

        order = read_sweep_order(os.environ)
        told = sweeping.sweep(order, places.whole(order, Patience(tolerance=FETCH_SECONDS)))
    except Exception as error:
        trouble = of(error, place="The output")
        say(str(trouble))
        messages.write(log, messages.failed(str(trouble)))
        return 1
    messages.write(log, messages.done(told))
    return 1 if "error" in told else 0


def _record() -> int:
    """NB: SIGTERM ends it at once; another pod does it again."""
    Ending().install(then=lambda: os._exit(143))
    log = termination_log(os.environ)
    try:
        from trainyard_agent import places, recording
        from trainyard_agent.patience import Patience
        from trainyard_agent.recordorder import read_record_order

        order = read_record_order(os.environ)
        told = recording.record(order, places.whole(order, Patience(tolerance=FETCH_SECONDS)))
    except Exception as error:
        trouble = of(error, place="The output")
        say(str(trouble))
        messages.write(log, messages.failed(str(trouble)))
        return 1
    messages.write(log, messages.done(told))
    return 0


if __name__ == "__main__":
    main()
