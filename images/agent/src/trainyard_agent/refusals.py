"""What an answer of a source means: the status and the words of a server, as a trouble for people.

Separate because object stores and web servers refuse in the same ways. Called by the sources.
"""

from __future__ import annotations

from trainyard_agent.troubles import KEY_CODES, Passing, Trouble, brief

#: Codes by which S3 servers say that there is nothing under this name, or that it is in another region.
_NOT_HERE = ("NoSuch", "InvalidBucketName", "PermanentRedirect", "AuthorizationHeaderMalformed")


def refused(place: str, why: str) -> Passing:
    return Passing(
        "forbidden",
        f"{place} refuses us ({why}): check the Secret of its secretRef, or the rights of the pod's service"
        " account, to list and read there.",
    )


def missing(place: str, why: str) -> Passing:
    return Passing(
        "missing",
        f"{place} is not there ({why}): check its address, the bucket's region and the endpoint.",
    )


def unreachable(place: str, why: str) -> Passing:
    return Passing(
        "network",
        f"{place} cannot be reached ({why}): check the endpoint, the network and its policies.",
    )


def changed(path: str, place: str) -> Trouble:
    return Trouble("changed", f"{path} has changed at {place} while it was being pulled.")


def answered(status: int, *, place: str, path: str, why: str, code: str = "") -> Exception:
    """What a status that is no success means. `path` is of what was asked for, empty for the source itself."""
    what = f"{place}: {path}" if path else place
    if status in (401, 403) or any(word in code for word in KEY_CODES):
        return refused(place, why)
    if status == 404 or status == 410 or code.startswith(_NOT_HERE):
        return missing(what, why)
    if status in (412, 416):
        return changed(path or place, place)
    if 300 <= status < 400:
        return missing(what, f"{why}; it is redirected, as by a bucket of another region")
    if status in (408, 425, 429) or status >= 500:
        return unreachable(place, why)
    return missing(what, why)


def failed(error: Exception, *, place: str) -> Passing:
    """A request that has got no answer."""
    return unreachable(place, brief(error))
