"""What went wrong, as one sentence that says what to do.

Separate from the commands because all of them fail in the same way: one line on stderr, a code of `exits`, no
traceback; and from the command line's library, whose exceptions are not ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
import yaml
from kubernetes.aio import config

from trainyard.cli.exits import CommandError
from trainyard.cluster.client import ApiError, CredentialsError
from trainyard.cluster.configuration import NoClusterError

_FORBIDDEN = re.compile(
    r'(?P<resource>\S+) (?:"(?P<name>[^"]*)" )?is forbidden: User "(?P<user>[^"]*)" cannot (?P<verb>\w+) resource '
    r'"(?P<what>[^"]*)" in API group "(?P<group>[^"]*)"(?: in the namespace "(?P<namespace>[^"]*)")?'
)

#: The kind is not served.
NOT_INSTALLED = (
    "Trainyard is not installed in this cluster: install its chart, or choose another cluster by --context."
)
# What a rule in CEL gives for a value is the name of its type.
_TYPE_FOR_VALUE = re.compile(r'^Invalid value: "(?:object|array|string|integer|number|boolean)": ')


@contextmanager
def told() -> Iterator[None]:
    """Turns what a user can meet into CommandError."""
    try:
        yield
    except ApiError as error:
        raise CommandError(sentence(error)) from None
    except (config.ConfigException, NoClusterError) as error:
        text = as_sentence(str(error))
        remedy = "" if "--kubeconfig" in text else " Choose another by --context or --kubeconfig."
        raise CommandError(f"There is no cluster to talk to: {text}{remedy}") from None
    except yaml.YAMLError as error:
        raise CommandError(
            f"The kubeconfig cannot be read: {as_sentence(str(error))} Mend it, or name another by --kubeconfig."
        ) from None
    except CredentialsError as error:
        raise CommandError(
            f"You are not logged in: {as_sentence(str(error))} Log in to the cluster again."
        ) from None
    except (aiohttp.ClientError, TimeoutError) as error:
        raise CommandError(unreachable(error)) from None


def unreachable(error: BaseException) -> str:
    detail = as_sentence(str(error) or type(error).__name__)
    return f"The cluster does not answer: {detail} Check the network, or choose another cluster by --context."


def sentence(error: ApiError) -> str:
    """What a refusal of the API server means to the user."""
    if error.status == 401:
        return "The cluster does not know you; log in again or choose another context."
    if error.status == 403:
        return _forbidden(error.message)
    if is_not_served(error):
        return NOT_INSTALLED
    if error.status == 404 and (error.body.get("details") or {}).get("kind") == "namespaces":
        name = _named(error)
        return f"There is no namespace {name}; `kubectl create namespace {name}`, or choose another by --namespace."
    return f"The cluster refuses this ({error.status} {error.reason}): {as_sentence(error.message)}"


def is_not_served(error: ApiError) -> bool:
    """Whether the cluster has no such kind of object, rather than no object of that name."""
    return error.status == 404 and not _named(error)


def causes(error: ApiError) -> list[str]:
    """Each field that the API server finds wrong, with what is wrong; empty where it names none."""
    found = (error.body.get("details") or {}).get("causes") or []
    lines = [_cause(cause.get("field") or "", cause.get("message") or "") for cause in found]
    return list(dict.fromkeys(line for line in lines if line))


def as_sentence(text: str) -> str:
    """On one line, without control sequences, with a full stop."""
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _named(error: ApiError) -> str:
    return str((error.body.get("details") or {}).get("name") or "")


def _forbidden(message: str) -> str:
    match = _FORBIDDEN.search(message)
    if match is None:
        return f"The cluster does not allow this: {as_sentence(message)}"
    what = f"{match['what']}.{match['group']}" if match["group"] else match["what"]
    place = f"in namespace {match['namespace']}" if match["namespace"] else "in all namespaces"
    return (
        f"You ({match['user']}) may not {match['verb']} {what} {place}; ask an administrator for a Role with this "
        "verb, or choose another --namespace or --context."
    )


def _cause(field: str, message: str) -> str:
    text = as_sentence(_TYPE_FOR_VALUE.sub("", message))
    field = "" if field == "<nil>" else field
    return text if not field or text.startswith(field) else f"{field}: {text}"
