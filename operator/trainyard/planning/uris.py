"""Addresses of data in volume claims, `pvc://<claim>/<folder>`.

Separate because datasets, outputs and parents speak of the same volumes.
"""

from __future__ import annotations


def pvc(claim: str, *parts: str) -> str:
    """The address of a folder in a claim."""
    return "/".join([f"pvc://{claim}", *(p.strip("/") for p in parts if p.strip("/"))])


def split_pvc(uri: str) -> tuple[str, str]:
    """Claim and folder ('' for its root). Raises ValueError for another scheme or a folder that climbs."""
    if not uri.startswith("pvc://"):
        raise ValueError(f"{uri} is not of the form pvc://<claim>/<folder>.")
    claim, _, folder = uri.removeprefix("pvc://").partition("/")
    parts = [part for part in folder.split("/") if part not in ("", ".")]
    if not claim or ".." in parts:
        raise ValueError(f"{uri} names no folder inside a claim.")
    return claim, "/".join(parts)


def job_folder(*, job_uid: str, attempt: int) -> str:
    """Where an attempt writes; by the job's UID, so that a later job of the same name cannot overwrite it."""
    return f"{job_uid}/attempt-{attempt}"
