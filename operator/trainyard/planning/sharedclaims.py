"""A claim is one volume of a pod, however often it is mounted there.

Separate because several parts of a pod mount claims, a user's template too, and none of them knows of the others.
Called by `planning.podspec`. NB: of two volumes of one claim the kubelet mounts one, and waits for the other for ever.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]

_USES = ("volumeMounts", "volumeDevices")


def joined(pod_spec: Mapping[str, Any]) -> Json:
    """The spec of a pod in which the first volume of a claim stands for all of them; what was mounted to be read only
    still is.
    """
    volumes = _listed(pod_spec.get("volumes"))
    claims: dict[str, list[Json]] = {}
    for volume in volumes:
        if claim := _source(volume).get("claimName"):
            claims.setdefault(str(claim), []).append(volume)
    shared = [several for several in claims.values() if len(several) > 1]
    if not shared:
        return dict(pod_spec)
    # By the name of a volume of such a claim: the volume that stands for it, and whether it was read only.
    now = {
        str(one.get("name")): (_of_all(several), _source(one).get("readOnly") is True)
        for several in shared
        for one in several
    }
    kept: list[Json] = []
    for volume in volumes:
        stands = now[volume["name"]][0] if volume.get("name") in now else volume
        if stands not in kept:
            kept.append(stands)
    found: Json = {**pod_spec, "volumes": kept}
    for kind in ("containers", "initContainers"):
        if kind in found:
            found[kind] = [_moved(one, now) for one in _listed(found[kind])]
    return found


def _of_all(several: list[Json]) -> Json:
    """The first of some volumes of one claim; it can be written to where any of them could."""
    first = several[0]
    if all(_source(one).get("readOnly") for one in several):
        return first
    source = {key: value for key, value in _source(first).items() if key != "readOnly"}
    return {**first, "persistentVolumeClaim": source}


def _moved(container: Json, now: Mapping[str, tuple[Json, bool]]) -> Json:
    uses = {kind: [_use(one, now) for one in _listed(container[kind])] for kind in _USES if kind in container}
    return {**container, **uses}


def _use(mount: Json, now: Mapping[str, tuple[Json, bool]]) -> Json:
    if mount.get("name") not in now:
        return mount
    volume, read_only = now[mount["name"]]
    return {**mount, "name": volume["name"], **({"readOnly": True} if read_only else {})}


def _source(volume: Json) -> Json:
    source = volume.get("persistentVolumeClaim")
    return source if isinstance(source, dict) else {}


def _listed(value: Any) -> list[Json]:
    return list(value) if isinstance(value, list) else []
