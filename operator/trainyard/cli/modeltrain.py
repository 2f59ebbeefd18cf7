"""`trainyard train model NAME`: another version of a model, as its spec says, or with some parameters otherwise.

Without --set it is the annotation that the operator answers. With --set it is a TrainingJob of the user's own that
names the model: what it ends with is registered as well, and the model's spec stays as it is.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from trainyard.api import names
from trainyard.api.reasons import Reason
from trainyard.cli import connection, modelintents, output, patching, posting, quickjob, reading, waits
from trainyard.cli.connection import Connection, Where
from trainyard.cli.exits import CommandError, ExitCode
from trainyard.cli.intents import Refusal
from trainyard.cli.kinds import reference
from trainyard.cli.output import Format
from trainyard.cli.reading import headline
from trainyard.cli.waits import Outcome

Json = dict[str, Any]

_REGISTERED_SECONDS = 30.0
_LOOK_SECONDS = 0.5
#: What only a change of the spec, or of the data, can end.
_KEPT_BY = (Reason.INVALID_SPEC, Reason.RECOMMENDATION_FAILED)
_ENDS = {"Done": ExitCode.OK, "Error": ExitCode.JOB_FAILED, "Canceled": ExitCode.JOB_CANCELED}


def command(
    kind: connection.ModelKind,
    name: connection.Model,
    parameters: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="A parameter of this training alone; repeatable.",
            show_default=False,
        ),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the training has ended.")] = False,
    timeout: waits.Timeout = None,
    form: output.Output = None,
    namespace: connection.Namespace = None,
    context: connection.Context = None,
    kubeconfig: connection.Kubeconfig = None,
) -> int:
    """Train the MLModel NAME again; what comes of it is a new version.

    Sets the annotation trainyard.dev/train-requested-at. With --set a TrainingJob is made from the model's spec, with
    these parameters over its trainingConfig, one by one. With --wait the exit code is 0 when it is Done, 4 when it
    ended in Error, 5 when it was cancelled.
    """
    waits.check_timeout(timeout, wait=wait)
    given = quickjob.nested(parameters or [])
    where = Where(namespace=namespace, context=context, kubeconfig=kubeconfig)
    return connection.run(_train(where, name, given, wait=wait, limit=timeout, form=form))


async def _train(
    where: Where, name: str, given: Json, *, wait: bool, limit: int | None, form: Format | None
) -> int:
    async with connection.connected(where) as there:
        model = await there.object("MLModel", name)
        if given:
            shown, code = await _apart(there, model, given, wait=wait, limit=limit, form=form)
        else:
            shown, code = await _again(there, model, wait=wait, limit=limit, form=form)
    if form is not None:
        output.print_objects([shown], form)
    return code


async def _again(
    there: Connection, model: Json, *, wait: bool, limit: int | None, form: Format | None
) -> tuple[Json, ExitCode]:
    """The operator trains it."""
    decided = modelintents.trained(model, datetime.now(UTC))
    if isinstance(decided, Refusal):
        raise CommandError(decided.said)
    assert decided.patch is not None
    after = await patching.patched(there, model, decided.patch)
    for note in decided.notes:
        typer.echo(note, err=True)
    if form is None:
        typer.echo(f"{reference('MLModel', model['metadata']['name'])} {decided.said}")
    if not wait:
        return after, ExitCode.OK
    asked = after["metadata"]["annotations"][names.TRAIN_REQUESTED_AT]
    (reached,) = await waits.reach(there, [after], lambda now: answered(now, asked), limit=limit)
    if reached.outcome.code is ExitCode.OK and form is None:
        typer.echo(_became(reached.job))
    return reached.job, reached.outcome.code


def answered(model: Json, asked: str) -> Outcome | None:
    """Waits for the end of the training that this value of the annotation asks for."""
    training = (model.get("status") or {}).get("training") or {}
    name = model["metadata"]["name"]
    if training.get("requestedAt") == asked:
        if (outcome := training.get("outcome")) is None:
            return None
        why = f": {training['message']}" if training.get("message") else ""
        job = training.get("job") or training.get("experiment")
        said = "" if outcome == "Done" else f"{job} of MLModel {name} ended as {outcome}{why}"
        return Outcome(code=_ENDS[outcome], said=said)
    now = (model["metadata"].get("annotations") or {}).get(names.TRAIN_REQUESTED_AT)
    if now != asked:
        return Outcome(
            code=ExitCode.FAILED, said=f"Somebody else has asked for another training of MLModel {name}."
        )
    if (refusal := modelintents.refused(model)) is not None:
        return Outcome(code=ExitCode.FAILED, said=refusal.said)
    if reading.told(model) and (model.get("status") or {}).get("reason") in _KEPT_BY:
        return Outcome(code=ExitCode.STALLED, said=f"MLModel {name} is not trained. {headline(model)}")
    return waits.stalled(model)


def _became(model: Json) -> str:
    """The version that a training has made."""
    status, name = model.get("status") or {}, model["metadata"]["name"]
    training = status.get("training") or {}
    for version in reversed(status.get("versions") or []):
        lineage = version.get("lineage") or {}
        if any(training.get(key) and training[key] == lineage.get(key) for key in ("job", "experiment")):
            return _version(name, int(version["number"]))
    return f"{training.get('job') or training.get('experiment')} of MLModel {name} is Done."


def _version(model: str, number: int) -> str:
    return f"MLModel {model} has version {number}; `trainyard card model {model} --version {number}` describes it."


async def _apart(
    there: Connection, model: Json, given: Json, *, wait: bool, limit: int | None, form: Format | None
) -> tuple[Json, ExitCode]:
    """A job of the user's own."""
    if (refusal := modelintents.refused(model)) is not None:
        raise CommandError(refusal.said)
    # NB: loaded here only, as the models of the API take as long as the command itself.
    from trainyard.cli import modeljob

    body, notes = modeljob.build(model, given)
    for note in notes:
        typer.echo(note, err=True)
    job = await posting.job(there, body)
    if form is None:
        typer.echo(f"{reference('TrainingJob', job['metadata']['name'])} created")
    if not wait:
        return job, ExitCode.OK
    (reached,) = await waits.reach(there, [job], waits.end, limit=limit)
    if reached.outcome.code is not ExitCode.OK:
        return reached.job, reached.outcome.code
    job = await _registered(there, reached.job)
    told = (job.get("status") or {}).get("modelVersion") or {}
    if form is None:
        name = model["metadata"]["name"]
        done = f"TrainingJob {job['metadata']['name']} is Done, and not yet a version of MLModel {name}."
        typer.echo(_version(name, int(told["number"])) if told.get("number") else done)
    return job, ExitCode.OK


async def _registered(there: Connection, job: Json) -> Json:
    """The job once it knows of which version it is; as it is after a while, where the model does not take it."""
    until = time.monotonic() + _REGISTERED_SECONDS
    while not (job.get("status") or {}).get("modelVersion") and time.monotonic() < until:
        await asyncio.sleep(_LOOK_SECONDS)
        job = await there.training_job(job["metadata"]["name"])
    return job
