"""Whether a Secret may be mounted that reads the bucket of a model's version: a spec has to name it for that.

Separate because where a version lies is said by the model's status, and who may write that must not choose a
Secret of the namespace, or where its keys are sent. Called by `card` and `download`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from trainyard.cli import outputs
from trainyard.cli.connection import Connection
from trainyard.cli.exits import CommandError, UsageError
from trainyard.cli.outputs import Place
from trainyard.cli.reading import printable
from trainyard.cluster import resources
from trainyard.cluster.client import ApiError

Json = dict[str, Any]

#: Objects that are read at most for one Secret: status may list a hundred versions.
_ASKED = 8

Secret = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Of a model: read the version's bucket with this Secret; default: the one that the model's or the "
        "spec of what made it names for it.",
        show_default=False,
    ),
]


async def checked(there: Connection, model: Json, number: int, place: Place, *, secret: str | None) -> Place:
    """The place of a version, as it may be read. `secret` is what the user says. Raises CommandError where status
    alone names a Secret, UsageError for a Secret of a claim.
    """
    if secret is not None:
        if place.claim is not None:
            raise UsageError(f"--secret is for versions in a bucket; this one is on claim {place.claim}.")
        typer.echo(f"Secret {secret} is used for {_shown(place)}.", err=True)
        return dataclasses.replace(place, secret=secret)
    if place.secret is None or any(one == place for one in _of_specs(model)):
        return place
    told = []
    for kind, name in _made_by(model, number, place):
        try:
            maker = await there.client.get(resources.path(kind, there.namespace, name))
        except ApiError as error:
            if error.status not in (403, 404):
                raise
            why = "may not be read" if error.status == 403 else "is gone"
        else:
            if any(one == place for one in _of_spec(maker["spec"])):
                return place
            why = ""
        word = "Experiment" if kind == "Experiment" else "job"
        told.append(f"that of {word} {printable(name)}{f', which {why},' if why else ''}")
    raise CommandError(
        f"Version {number} of MLModel {model['metadata']['name']} lies at {_shown(place)} and is read with "
        f"Secret {printable(place.secret)}, says its status; but neither the model's spec nor "
        f"{' nor '.join(told) or 'that of a job'} says so, and status may have been written by others. If both are "
        f"right, give the Secret yourself: --secret {printable(place.secret)}."
    )


def _of_specs(model: Json) -> Iterator[Place]:
    """The outputs that the model's spec has, for itself and for what it makes."""
    spec = model["spec"]
    training = spec.get("training") or {}
    yield from _places(spec.get("output"))
    for template in ("jobTemplate", "experimentTemplate"):
        yield from _of_spec((training.get(template) or {}).get("spec") or {})


def _of_spec(spec: Json) -> Iterator[Place]:
    """The outputs of a job, or of an Experiment and the templates of its jobs, which go over its own."""
    yield from _places(spec.get("output"))
    for one in (spec, *(spec.get("actions") or [])):
        yield from _places(((one.get("jobTemplate") or {}).get("spec") or {}).get("output"))


def _places(output: Any) -> Iterator[Place]:
    if isinstance(output, dict) and output:
        yield outputs.place({"spec": {"output": output}}, None, {})


def _made_by(model: Json, number: int, place: Place) -> list[tuple[str, str]]:
    """Kind and name of the jobs and Experiments whose specs may name the Secret: those of the version itself, then
    those of the newest others that status lists at the same place, each once.
    """
    listed = (model.get("status") or {}).get("versions") or []
    of_it = [one for one in listed if int(one["number"]) == number]
    others = [one for one in reversed(listed) if one not in of_it and _lies_at(one, place)]
    found: dict[tuple[str, str], None] = {}
    for version in (*of_it, *others):
        lineage = version.get("lineage") or {}
        for kind, key in (("TrainingJob", "job"), ("Experiment", "experiment")):
            if lineage.get(key):
                found[kind, str(lineage[key])] = None
    return list(found)[:_ASKED]


def _lies_at(version: Json, place: Place) -> bool:
    if not str(version.get("uri") or "").startswith(f"{place.store}/"):
        return False
    return any(one == place for one in _places({"uri": place.store, **(version.get("store") or {})}))


def _shown(place: Place) -> str:
    """Where a place is, with all that says to whom the Secret's keys go."""
    reached = ", ".join(f"{key} {value}" for key, value in place.reached)
    return printable(f"{place.store} ({reached})" if reached else place.store)
