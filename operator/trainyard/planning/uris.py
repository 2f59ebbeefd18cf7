"""Addresses of data: folders in volume claims, `pvc://<claim>/<folder>`, and in buckets, `s3://<bucket>/<prefix>`.

Separate because datasets, outputs and parents speak of the same places. The layout of an output is in
docs/artifacts.md.
"""

from __future__ import annotations

from trainyard.api.shared import Output


def pvc(claim: str, *parts: str) -> str:
    """The address of a folder in a claim."""
    return below(f"pvc://{claim}", *parts)


def below(store: str, *parts: str) -> str:
    """The address of a folder below another one."""
    return "/".join([store.rstrip("/"), *(p.strip("/") for p in parts if p.strip("/"))])


def is_pvc(uri: str) -> bool:
    """Whether it lies in a volume claim, which a pod mounts."""
    return uri.startswith("pvc://")


def split_pvc(uri: str) -> tuple[str, str]:
    """Claim and folder ('' for its root). Raises ValueError for another scheme or a folder that climbs."""
    if not is_pvc(uri):
        raise ValueError(f"{uri} is not of the form pvc://<claim>/<folder>.")
    claim, _, folder = uri.removeprefix("pvc://").partition("/")
    parts = [part for part in folder.split("/") if part not in ("", ".")]
    if not claim or ".." in parts:
        raise ValueError(f"{uri} names no folder inside a claim.")
    return claim, "/".join(parts)


def store(output: Output) -> str:
    """The address below which each job has a folder of its own, named by its UID."""
    if output.claim_name is not None:
        return pvc(output.claim_name)
    return (output.uri or "").rstrip("/")


def job_folder(*, job_uid: str, attempt: int, rank: int = 0) -> str:
    """Where a rank of an attempt writes; by the job's UID, so that a later job of the same name cannot overwrite it."""
    folder = f"{job_uid}/attempt-{attempt}"
    return folder if rank == 0 else f"{folder}/rank-{rank}"
