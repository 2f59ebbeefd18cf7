"""Where a version and its model card lie, and by what they are reached; or why there is none.

Separate and free of I/O because an address in status must not lead anywhere but to a job's artifacts and to the folder
of cards beside them. Called by `card` and `download`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from trainyard.cli import modelintents
from trainyard.cli.exits import CommandError
from trainyard.cli.outputs import Place, reached
from trainyard.cli.reading import headline, printable

Json = dict[str, Any]

_FOLDER = re.compile(r"(?P<store>[a-z0-9]+://[^\s]+)/(?P<uid>[0-9A-Za-z][-0-9A-Za-z]{0,62})/models/[^/]+\.md")
_ARTIFACTS = re.compile(
    r"(?P<store>(pvc|s3|gs|abfs)://[^\s]+)/[0-9A-Za-z][-0-9A-Za-z]{0,62}/attempt-(?P<attempt>[0-9]{1,9})"
)


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A card: the store, the folder of a job in it, and the path below that. `job` is the name of the job, or empty."""

    number: int
    place: Place
    uid: str
    path: str
    job: str

    @property
    def record(self) -> str:
        """The path of the version's record."""
        return f"{self.path.removesuffix('.md')}.json"


def number_of(model: Json, *, version: int | None, alias: str | None) -> int:
    """The version that is meant: by default the newest. Raises CommandError where there is none."""
    name, status = model["metadata"]["name"], model.get("status") or {}
    if version is not None:
        return version
    if alias is None:
        there = modelintents.versions(model)
        if not there:
            raise CommandError(f"MLModel {name} has no version yet. {headline(model)}")
        return there[-1]
    known = {str(one["name"]): int(one["version"]) for one in status.get("aliases") or []}
    if alias in known:
        return known[alias]
    asked = next((one for one in model["spec"].get("aliases") or [] if one["name"] == alias), None)
    if asked is not None:
        raise CommandError(
            f"Alias {alias} of MLModel {name} stands for no version: spec.aliases says {asked['version']}."
        )
    shown = f"it has {', '.join(sorted(known))}" if known else "it has none"
    raise CommandError(f"MLModel {name} has no alias {alias}; {shown}.")


def stored(model: Json, number: int, *, pod: Json | None = None) -> Stored:
    """The card of a version. `pod` is the one that stores it, where it is there. Raises CommandError without a card."""
    name, status = model["metadata"]["name"], model.get("status") or {}
    listed, former = status.get("versions") or [], status.get("formerVersions") or []
    version = next((one for one in [*listed, *former] if int(one["number"]) == number), None)
    if version is None:
        raise CommandError(_capital(modelintents.missing(model, number)))
    address = version.get("card")
    if not address:
        raise CommandError(_without(model, version, pod))
    match = _FOLDER.fullmatch(str(address))
    if match is None or not str(address).endswith(f"/models/{name}-{number}.md"):
        raise CommandError(
            f"Version {number} of MLModel {name} has its card at {printable(str(address))[:200]!r}, says status, which "
            "is no place of one."
        )
    return Stored(
        number=number,
        place=_place(model, version, match["store"]),
        uid=match["uid"],
        path=f"models/{name}-{number}.md",
        job=str((version.get("lineage") or {}).get("job") or ""),
    )


def as_job(model: Json, number: int) -> Json:
    """A version as the job that has left it, which may be gone: its output, its artifacts, and their digest. Raises
    CommandError for a version that has left none here.
    """
    name = model["metadata"]["name"]
    listed = (model.get("status") or {}).get("versions") or []
    version = next((one for one in listed if int(one["number"]) == number), None)
    if version is None:
        raise CommandError(_capital(modelintents.missing(model, number)))
    uri = str(version.get("uri") or "")
    match = _ARTIFACTS.fullmatch(uri)
    if match is None or version.get("origin") == "reported":
        lies = f" (it says that they lie at {printable(uri)[:200]})" if uri else ""
        raise CommandError(
            f"Version {number} of MLModel {name} has left no artifacts in a store of ours{lies}."
        )
    place = _place(model, version, match["store"])
    said = {"claimName": place.claim} if place.claim else {"uri": place.store, **(version.get("store") or {})}
    like = job_like(model)
    artifacts = [{key: version[key] for key in ("uri", "size", "sha256") if key in version}]
    status = {"artifacts": artifacts, "attempts": [{"number": int(match["attempt"])}]}
    return {**like, "spec": {**like["spec"], "output": said}, "status": status}


def pod_name(model: str, number: int) -> str:
    """The pod that stores a version's record and card."""
    return f"{model}-record-{number}"


def job_like(model: Json) -> Json:
    """The model as what the pod that reads belongs to, with what its trainings say of nodes and pods."""
    training = model["spec"].get("training") or {}
    template = (training.get("jobTemplate") or {}).get("spec") or {}
    return {**model, "kind": "MLModel", "spec": template}


def _place(model: Json, version: Json, store: str) -> Place:
    if store.startswith("pvc://"):
        claim, _, folder = store.removeprefix("pvc://").partition("/")
        if folder:
            raise CommandError(f"{store} is no claim, so that the card in it cannot be read.")
        return Place(store=store, claim=claim)
    said = version.get("store") or _output(model, store)
    return Place(store=store, reached=reached(said), secret=(said.get("secretRef") or {}).get("name"))


def _output(model: Json, store: str) -> Json:
    """By what the bucket of a version is reached that status lists no longer: as the model's own output, or as those of
    its other versions.
    """
    output = model["spec"].get("output") or {}
    if str(output.get("uri") or "").rstrip("/") == store:
        return dict(output)
    for one in (model.get("status") or {}).get("versions") or []:
        if str(one.get("uri") or "").startswith(f"{store}/"):
            return dict(one.get("store") or {})
    return {}


def _without(model: Json, version: Json, pod: Json | None) -> str:
    """Why a version has no card."""
    number, name = version["number"], model["metadata"]["name"]
    begin = f"Version {number} of MLModel {name} has no model card"
    if version.get("origin") == "reported":
        return f"{begin}: it was reported from outside, and nothing of it was stored here."
    if version.get("origin") == "job" and not version.get("sha256"):
        return f"{begin}: its job has left no artifacts with a digest, beside which it could lie."
    if version.get("origin") is None:
        return f"{begin}, and status lists it no longer."
    if pod is None:
        return (
            f"{begin} yet: the pod {pod_name(name, number)}, which stores it, is not there. {headline(model)}"
        )
    return f"{begin} yet: {_state(pod)}"


def _state(pod: Json) -> str:
    """How far the pod is that stores it."""
    name, status = pod["metadata"]["name"], pod.get("status") or {}
    for one in status.get("containerStatuses") or []:
        state = one.get("state") or {}
        if "terminated" in state:
            code = state["terminated"].get("exitCode")
            said = printable(str(state["terminated"].get("message") or "")).strip()[-500:]
            return f"the pod {name}, which stores it, has ended with exit code {code}" + (
                f": {said}" if code and said else "."
            )
        if message := (state.get("waiting") or {}).get("message"):
            return f"the pod {name}, which stores it, waits: {printable(str(message))}"
    for one in status.get("conditions") or []:
        if one.get("type") == "PodScheduled" and one.get("status") == "False" and one.get("message"):
            return f"the pod {name}, which stores it, waits: {printable(str(one['message']))}"
    return f"the pod {name}, which stores it, is {str(status.get('phase') or 'Pending').lower()}; ask again soon."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
