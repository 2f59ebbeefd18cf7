"""What a job's output has to offer, and what of it is wanted: artifacts of all ranks, or a checkpoint.

Separate from `download`, which brings it here: this asks the pod that reads the output, and checks what it says against
the job's status. Called by `download`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlencode

from trainyard.cli import filelists, outputs
from trainyard.cli.exits import CommandError
from trainyard.cli.filelists import ARTIFACTS, CHECKPOINTS, MANIFEST, WHOLE, File, Text
from trainyard.cli.outputs import Place
from trainyard.cli.tunnel import Tunnel, TunnelCut

Json = dict[str, Any]
T = TypeVar("T")

#: How many names a sentence has.
SHOWN = 5

_LATEST, _BEST = "latest", "best"
_ANSWER_SECONDS = 60
_PAUSE_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What the command line asks for."""

    attempt: int | None
    checkpoint: str | None
    patterns: tuple[str, ...]

    @property
    def artifacts(self) -> bool:
        """Whether artifacts are wanted: with a checkpoint only those that are named."""
        return self.checkpoint is None or bool(self.patterns)


@dataclass(frozen=True, kw_only=True)
class Found:
    """What is to be fetched: files, and the manifests that list them; `what` they are."""

    what: str
    files: list[File]
    texts: list[Text]


def is_checkpoint(text: str) -> bool:
    """Whether it can be said of a checkpoint."""
    return text in (_BEST, _LATEST) or (text.isascii() and text.isdecimal() and len(text) <= 9)


def asked(job: Json, place: Place, wanted: Choice) -> tuple[str, dict[str, str]]:
    """Whose folder is read, and which attempt is asked for."""
    there = None
    if wanted.checkpoint is None:
        there = outputs.artifacts(job, place.store)
        if there is None and wanted.attempt is None:
            raise CommandError(outputs.unfinished(job))
    elif wanted.checkpoint == _BEST:
        there = outputs.best(job, place.store)
    else:
        there = outputs.latest(job, place.store)
    uid = there.uid if there is not None else str(job["metadata"]["uid"])
    if wanted.attempt is not None:
        return uid, {"attempt": str(wanted.attempt)}
    if there is not None:
        return uid, {"attempt": str(there.attempt)}
    return uid, {"newest": "checkpoints"}


async def found(
    tunnel: Tunnel, job: Json, place: Place, uid: str, question: dict[str, str], wanted: Choice
) -> Found:
    answer = await _patiently(tunnel, lambda: tunnel.json(f"/manifest?{urlencode(question)}"))
    files: list[File] = []
    texts: list[Text] = []
    what = []
    attempt = answer.get("attempt")
    if wanted.artifacts:
        files, texts = _artifacts(job, answer, f"{place.store}/{uid}/attempt-{attempt}", f"attempt-{attempt}")
        every, files = files, filelists.chosen(files, wanted.patterns)
        if not files:
            raise CommandError(
                f"No artifact of attempt {attempt} matches {' or '.join(wanted.patterns) or '*'}; there "
                f"{'are ' + few([file.path for file in every]) if every else 'is none'}."
            )
        what.append("artifacts")
    if wanted.checkpoint is not None:
        more, manifests, title = await _checkpoint(tunnel, job, answer, wanted.checkpoint)
        files, texts = [*files, *more], [*texts, *manifests]
        what.append(title)
    filelists.checked(files, texts)
    return Found(what=f"{' and '.join(what)} of attempt {attempt}", files=files, texts=texts)


async def _patiently(tunnel: Tunnel, ask: Callable[[], Awaitable[T]]) -> T:
    """An answer of a pod that may have just begun to run, over a connection that may be cut."""
    until = asyncio.get_running_loop().time() + _ANSWER_SECONDS
    while True:
        try:
            return await ask()
        except TunnelCut as cut:
            if asyncio.get_running_loop().time() > until:
                raise CommandError(f"The pod that reads the output does not answer: {cut}.") from None
            await tunnel.close()
            await asyncio.sleep(_PAUSE_SECONDS)


def _artifacts(job: Json, answer: Json, uri: str, source: str) -> tuple[list[File], list[Text]]:
    manifests = filelists.by_rank(answer.get("artifacts") or {})
    if 0 not in manifests:
        raise CommandError(_nothing(job, answer, "has left no artifacts.json"))
    digests = outputs.digests(job)
    files, texts = [], []
    for rank, text in manifests.items():
        part = filelists.rank_folder(rank)
        where, what = "/".join(filter(None, (source, part))), "/".join(filter(None, (part, ARTIFACTS)))
        told = digests.get("/".join(filter(None, (uri, part))))
        if told is not None and told != filelists.digest(text):
            raise CommandError(
                f"{uri}/{what} is not the one that the job ended with: status.artifacts has the sha256 {told[:12]}..., "
                f"and the file {filelists.digest(text)[:12]}.... It was changed in the store; nothing was downloaded."
            )
        files += filelists.listed(text, what=what, source=where, under=part)
        texts.append(Text(path=what, content=text))
    return files, texts


async def _checkpoint(
    tunnel: Tunnel, job: Json, answer: Json, asked: str
) -> tuple[list[File], list[Text], str]:
    known = filelists.epochs(answer.get("checkpoints"))
    base = f"attempt-{answer.get('attempt')}"
    if not known and asked == _LATEST and isinstance(whole := answer.get("whole"), str):
        source = f"{base}/{CHECKPOINTS}"
        files = filelists.listed(whole, what=f"{CHECKPOINTS}/{WHOLE}", source=source, under=CHECKPOINTS)
        return files, [], "checkpoint folder"
    if not known:
        raise CommandError(_nothing(job, answer, "has no checkpoint that is safe in the output"))
    best = ((job.get("status") or {}).get("best") or {}).get("epoch")
    if asked == _BEST and best is None:
        raise CommandError("The job has reported no best epoch: name one, or take --checkpoint latest.")
    number = known[-1].number if asked == _LATEST else int(float(str(best)) if asked == _BEST else asked)
    epoch = next((one for one in known if one.number == number), None)
    if epoch is None:
        there = ", ".join(str(one.number) for one in known)
        others = ", ".join(str(one) for one in answer.get("attempts") or [] if one != answer.get("attempt"))
        hint = f" --attempt chooses another attempt: {others}." if others else ""
        raise CommandError(
            f"Attempt {answer['attempt']} keeps no checkpoint of epoch {number}; it has those of {there}.{hint}"
        )
    files = []
    texts: list[Text] = []
    ranks, rank = 1, 0
    while rank < ranks:
        where = "/".join(filter(None, (filelists.rank_folder(rank), epoch.folder)))
        content = await text(tunnel, f"{base}/{where}/{MANIFEST}")
        if rank == 0:
            if filelists.digest(content) != epoch.sha256:
                raise CommandError(
                    f"{where}/{MANIFEST} is not the one that the index of checkpoints lists; take an earlier epoch."
                )
            ranks = filelists.parts(content, what=f"{where}/{MANIFEST}")
        files += filelists.listed(content, what=f"{where}/{MANIFEST}", source=f"{base}/{where}", under=where)
        texts.append(Text(path=f"{where}/{MANIFEST}", content=content))
        rank += 1
    return files, texts, f"checkpoint of epoch {number}"


async def text(tunnel: Tunnel, path: str) -> str:
    """A file that is text. Raises CommandError for one that is none, or is not there."""

    async def ask() -> bytes:
        async with aclosing(tunnel.file(path)) as chunks:
            return b"".join([chunk async for chunk in chunks])

    try:
        return (await _patiently(tunnel, ask)).decode()
    except UnicodeDecodeError:
        raise CommandError(f"{path} is broken: it is no text.") from None


def _nothing(job: Json, answer: Json, what: str) -> str:
    attempt = answer.get("attempt")
    whose = f"Attempt {attempt}" if attempt is not None else "The job"
    there = ", ".join(str(one) for one in answer.get("attempts") or []) or "none"
    return f"{whose} of {job['metadata']['name']} {what}; attempts in the output: {there}."


def few(names: list[str]) -> str:
    """Some of them, and that there are more."""
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
