"""Merging a user's PodTemplateSpec over the pod that is built.

Separate because it knows nothing of jobs: maps merge deep, lists of named things by their name (as kubectl's
strategic merge does for pods), other lists are replaced; `null` removes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Merge keys of core/v1 PodSpec and Container (patchMergeKey in the API's types).
_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "imagePullSecrets": "name",
    "resourceClaims": "name",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "ports": "containerPort",
    "hostAliases": "ip",
    "topologySpreadConstraints": "topologyKey",
}
_APPENDED = frozenset({"tolerations"})


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `over` laid on it. Neither is changed."""
    result = dict(base)
    for key, value in over.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            # NB: also where there is nothing to merge with, or a null that removes would stay as a null.
            there = result.get(key)
            result[key] = merged(there if isinstance(there, Mapping) else {}, value)
        elif isinstance(value, list) and isinstance(result.get(key), list):
            result[key] = _merged_list(key, result[key], value)
        else:
            result[key] = value
    return result


def _merged_list(key: str, base: list[Any], over: list[Any]) -> list[Any]:
    if key in _APPENDED:
        return base + [item for item in over if item not in base]
    by = _KEYS.get(key)
    if by is None or not all(isinstance(item, Mapping) and by in item for item in (*base, *over)):
        return list(over)
    result = {item[by]: item for item in base}
    for item in over:
        result[item[by]] = merged(result[item[by]], item) if item[by] in result else item
    return list(result.values())
