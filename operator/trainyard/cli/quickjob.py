"""A TrainingJob from options of the command line, for trying things out without a file.

Separate because it is a manifest like any other from here on; `-o yaml --dry-run` shows it.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from trainyard.api import names
from trainyard.cli.exits import UsageError
from trainyard.cli.manifests import Manifest, checked

Json = dict[str, Any]


def _option(*flags: str, help: str, metavar: str) -> Any:
    return typer.Option(*flags, help=help, metavar=metavar, show_default=False)


Runtime = Annotated[str | None, _option(help="Runtime of the catalogue.", metavar="NAME")]
Type = Annotated[str | None, _option("--type", help="Type of model, as neural_network.", metavar="TYPE")]
Architecture = Annotated[str | None, _option(help="Network architecture, as dino.", metavar="NAME")]
Image = Annotated[
    str | None, _option(help="Image of your own, or instead of the runtime's.", metavar="IMAGE")
]
Action = Annotated[str | None, _option(help="What to do; default: train.", metavar="ACTION")]
Parameters = Annotated[
    list[str] | None, _option("-p", "--parameter", help="A parameter; repeatable.", metavar="NAME=VALUE")
]
Datasets = Annotated[
    list[str] | None, _option("--dataset", help="A Dataset to train on; repeatable.", metavar="NAME")
]
Parent = Annotated[str | None, _option(help="Job whose model is worked on.", metavar="JOB")]
Gpus = Annotated[
    int | None, typer.Option(min=0, help="GPUs of the pod.", metavar="NUMBER", show_default=False)
]
Nodes = Annotated[
    int | None, typer.Option(min=1, help="Pods that train together.", metavar="NUMBER", show_default=False)
]
OutputClaim = Annotated[str | None, _option(help="Volume claim for what is made.", metavar="NAME")]
OutputUri = Annotated[
    str | None, _option(help="Bucket for what is made, as s3://models/team.", metavar="URI")
]
OutputSecret = Annotated[str | None, _option(help="Secret with the keys of --output-uri.", metavar="NAME")]


def manifest(
    *,
    name: str | None,
    runtime: str | None,
    kind: str | None,
    architecture: str | None,
    image: str | None,
    action: str | None,
    parameters: list[str],
    datasets: list[str],
    parent: str | None,
    gpus: int | None,
    nodes: int | None,
    output_claim: str | None,
    output_uri: str | None,
    output_secret: str | None,
) -> Manifest | None:
    """The job; None where the options say nothing of one.

    Raises UsageError for parameters that make no object, CommandError for a value that cannot be sent.
    """
    spec: Json = {
        "runtime": runtime,
        "type": kind,
        "architecture": architecture,
        "image": image,
        "action": action,
        "parameters": nested(parameters),
        "datasets": {"train": datasets} if datasets else None,
        "parentJob": parent,
        "accelerator": {"count": gpus} if gpus else None,
        "nodes": nodes if nodes != 1 else None,
        "output": _output(output_claim, output_uri, output_secret),
    }
    spec = {key: value for key, value in spec.items() if value}
    if not spec:
        return None
    begin = (kind or architecture or runtime or "job").lower().replace("_", "-")[:40]
    metadata = {"name": name} if name else {"generateName": f"{begin}-"}
    raw = {"apiVersion": names.API_VERSION, "kind": "TrainingJob", "metadata": metadata, "spec": spec}
    return checked(Manifest(source="the command line", raw=raw))


def _output(claim: str | None, uri: str | None, secret: str | None) -> Json | None:
    if claim and uri:
        raise UsageError("Give --output-claim or --output-uri, not both.")
    if secret and not uri:
        raise UsageError("--output-secret has the keys of a bucket: give --output-uri as well.")
    if uri:
        return {"uri": uri} | ({"secretRef": {"name": secret}} if secret else {})
    return {"claimName": claim} if claim else None


def nested(parameters: list[str]) -> Json:
    """`a.b=1` as {a: {b: 1}}; a value is JSON where it is some, else text. Decimals are text, as in every spec."""
    found: Json = {}
    for one in parameters:
        key, sign, text = one.partition("=")
        if not sign or not all(key.split(".")):
            raise UsageError(f"Parameter {one!r} is not NAME=VALUE.")
        *path, last = key.split(".")
        place = found
        for part in path:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise UsageError(f"Parameter {key} is below {part}, which has a value of its own.")
        if last in place:
            raise UsageError(f"Parameter {key} is given twice, or has others below it: give it once.")
        place[last] = _value(key, text)
    return found


def _value(key: str, text: str) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> Json:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise UsageError(f"Parameter {key} has a key twice in one object: give it once.")
        return found

    try:
        # NB: NaN and Infinity, too, are words of Python's alone.
        return json.loads(text, parse_float=str, parse_constant=str, object_pairs_hook=once)
    except ValueError:
        return text
    except RecursionError:
        raise UsageError(f"Parameter {key} is nested too deep.") from None
