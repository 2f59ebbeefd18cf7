"""What the shell completes: names of jobs and namespaces, asked of the cluster, and contexts of the kubeconfig.

Separate because it must never hinder typing: it has a second, prints nothing but candidates, and any trouble means
that there are none. Also `kubectl_complete-trainyard`, by which kubectl completes `kubectl trainyard`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shlex
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import typer

_SECONDS = 1.0
# Cobra's ShellCompDirectiveNoFileComp and ShellCompDirectiveDefault, which kubectl reads after the candidates.
_NO_FILES, _FILES = ":4", ":0"
_COMPLETES_FILES = frozenset({"submit", "push", "plot", "export"})


def runs(ctx: typer.Context, incomplete: str) -> list[str]:
    """What verbs take: TrainingJobs of the namespace, and Experiments after that word or as exp/NAME."""
    from trainyard.cli import kinds

    given = [str(one) for name in ("jobs", "job") for one in ctx.params.get(name) or ()]
    kind = kinds.known(given[0]) if given else None
    said, slash, _ = incomplete.partition("/")
    if slash and (meant := kinds.known(said)) is not None:
        return _asked(ctx, incomplete, lambda there: _named(there, meant, f"{said}/"))
    return _asked(ctx, incomplete, lambda there: there.names(kind or "TrainingJob"))


async def _named(there: Any, kind: str, begin: str) -> list[str]:
    return [f"{begin}{name}" for name in await there.names(kind)]


def datasets(ctx: typer.Context, incomplete: str) -> list[str]:
    """Datasets of the namespace that the command line names so far."""
    return _asked(ctx, incomplete, lambda there: there.names("Dataset"))


def dataset_word(incomplete: str) -> list[str]:
    """The one kind that a command is for."""
    return [word for word in ("dataset",) if word.startswith(incomplete)]


def experiments(ctx: typer.Context, incomplete: str) -> list[str]:
    """Experiments of the namespace that the command line names so far."""
    return _asked(ctx, incomplete, lambda there: there.names("Experiment"))


def experiment_word(incomplete: str) -> list[str]:
    """The one kind that a command is for."""
    return [word for word in ("experiment",) if word.startswith(incomplete)]


def models(ctx: typer.Context, incomplete: str) -> list[str]:
    """MLModels of the namespace that the command line names so far."""
    return _asked(ctx, incomplete, lambda there: there.names("MLModel"))


def model_word(incomplete: str) -> list[str]:
    """The one kind that a command is for."""
    return [word for word in ("model",) if word.startswith(incomplete)]


def aliases(ctx: typer.Context, incomplete: str) -> list[str]:
    """Aliases of the MLModel that the command line names, with the sign after which their version comes."""
    name = str(ctx.params.get("name") or "")

    async def said(there: Any) -> list[str]:
        found = await there.object("MLModel", name)
        return [f"{one['name']}=" for one in found["spec"].get("aliases") or []]

    return _asked(ctx, incomplete, said) if name else []


def aliases_of(ctx: typer.Context, incomplete: str) -> list[str]:
    """Aliases of that MLModel that stand for a version."""
    return [word.removesuffix("=") for word in aliases(ctx, incomplete)]


def objects(ctx: typer.Context, incomplete: str) -> list[str]:
    """What `get` takes: first a kind or the name of a TrainingJob, then names of that kind."""
    from trainyard.cli import kinds

    given = [str(one) for one in ctx.params.get("what") or ()]
    kind = kinds.known(given[0]) if given else None
    names = _asked(ctx, incomplete, lambda there: there.names(kind or "TrainingJob"))
    words = (*kinds.WORDS, "models")
    return names if given else [*(one for one in words if one.startswith(incomplete)), *names]


def namespaces(ctx: typer.Context, incomplete: str) -> list[str]:
    """Namespaces of the cluster, as far as they may be listed."""

    async def names(there: Any) -> list[str]:
        found = await there.client.get("/api/v1/namespaces", {"limit": "500"})
        return [raw["metadata"]["name"] for raw in found.get("items") or []]

    return _asked(ctx, incomplete, names)


def contexts(ctx: typer.Context, incomplete: str) -> list[str]:
    """Contexts of the kubeconfig."""
    from trainyard.cli import connection

    try:
        found, _ = connection.contexts(ctx.params.get("kubeconfig"))
    except Exception:  # whatever is wrong with the file, there is nothing to offer
        return []
    return [name for entry in found if (name := str(entry.get("name"))).startswith(incomplete)]


def _asked(ctx: typer.Context, incomplete: str, ask: Callable[[Any], Awaitable[list[str]]]) -> list[str]:
    from trainyard.cli import connection

    given = {key: ctx.params.get(key) for key in ("namespace", "context", "kubeconfig")}

    async def asked() -> list[str]:
        async with asyncio.timeout(_SECONDS), connection.connected(connection.Where(**given)) as there:
            return await ask(there)

    # NB: a login that fails is logged by the official client.
    logging.disable()
    try:
        return sorted(name for name in asyncio.run(asked()) if name.startswith(incomplete))
    except Exception:  # a completion that complains would write into the line that is being typed
        return []


def kubectl() -> None:
    """`kubectl_complete-trainyard WORD...`: the candidates for the last word, a line each, then Cobra's directive."""
    from trainyard.cli import main

    words = sys.argv[1:] or [""]
    os.environ |= {
        "_TRAINYARD_COMPLETE": "complete_bash",
        "COMP_WORDS": shlex.join(["trainyard", *words[:-1]]) + f" {words[-1]}",
        "COMP_CWORD": str(len(words)),
    }
    try:
        main(prog_name="trainyard")
    finally:
        print(f"\n{_FILES if words[0] in _COMPLETES_FILES else _NO_FILES}")
