"""MLflow's model registry as a target: a registered model, a version of it with its files, aliases, tags and metrics.

Separate because MLflow keeps all versions and counts them itself: ours are known by their tags. Called by
`running`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainyard_publisher.order import Order
from trainyard_publisher.problems import Refused
from trainyard_publisher.reporting import Reporter
from trainyard_publisher.result import Published
from trainyard_publisher.tracking import DIGEST, FOLDER, PROXIED, Registry, tags
from trainyard_publisher.version import Version, checked

#: Sources that MLflow and its clients can read by themselves.
_READABLE = ("s3://", "gs://", "abfs://")


def publish(order: Order, version: Version, reporter: Reporter) -> Published:
    """Registers the version, where it is not registered already."""
    registry = Registry(order)
    registry.ensure_model(order.description)
    ours = list(registry.versions())
    standing = registry.aliases() if order.aliases or order.former else {}
    for alias in order.aliases:
        if alias in standing and standing[alias] not in {str(one["version"]) for one in ours}:
            raise Refused(
                f"Alias {alias} of {registry.name} stands for version {standing[alias]}, which was not published from "
                "here, and is not moved: give another alias, or remove that one first."
            )
    found = next((one for one in ours if tags(one).get(DIGEST) == version.digest), None)
    sent = 0
    if found is None:
        run = registry.run(version)
        source, sent = _source(order, registry, run, version, reporter)
        found = registry.register(run, source, version)
    for alias in order.aliases:
        registry.alias(alias, found["version"])
    for alias in order.former:
        if standing.get(alias) in {str(one["version"]) for one in ours}:
            registry.unalias(alias)
    number = str(found["version"])
    return Published(
        uri=f"models:/{registry.name}/{number}", digest=version.digest, version=number, sent=sent
    )


def unpublish(order: Order, reporter: Reporter) -> str:
    """Removes the versions that the target has registered, with their runs; the model, if it was made for these."""
    registry = Registry(order)
    ours = list(registry.versions())
    for number, one in enumerate(ours, start=1):
        reporter.file(number, len(ours), f"version {one['version']}")
        registry.remove(one)
    for run in registry.runs(DIGEST):
        registry.remove_run(run)
    gone = registry.remove_empty_model()
    return f"{len(ours)} versions of {registry.name} are removed{', and the model with them' if gone else ''}"


def _source(
    order: Order, registry: Registry, run: Mapping[str, Any], version: Version, reporter: Reporter
) -> tuple[str, int]:
    """Where the files of the version lie for MLflow, and how many were sent there.

    A server that keeps artifacts itself is sent them; else it is told where they lie, if others can read that.
    """
    artifacts = str(run["info"].get("artifact_uri") or "")
    if not artifacts.startswith(PROXIED):
        uri = str(order.metadata.get("uri") or "")
        if not uri.startswith(_READABLE):
            raise Refused(
                f"{registry.web.name} keeps no artifacts itself (they go to {artifacts.partition(':')[0]}:), and this "
                f"version lies at {uri or 'an unknown place'}, where its clients could not read it: start it with "
                "--serve-artifacts, or give the model an output that is a bucket."
            )
        return uri, 0
    there = registry.artifacts(run)
    sent = 0
    for number, file in enumerate(version.all, start=1):
        reporter.file(number, len(version.all), file.name)
        if there.get(file.name) != file.size:
            registry.send(run, file.name, checked(file))
            sent += 1
    return f"{artifacts}/{FOLDER}", sent
