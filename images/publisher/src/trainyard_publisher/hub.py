"""The Hugging Face hub as a target: a repository of models, by the hub's own client.

Separate because a repository is changed by commits, each whole or not at all, and keeps what it ever had: what is ours
on the branch `main` is known by its record, and the tags of ours are named there. Called by `running`.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from trainyard_publisher import credentials
from trainyard_publisher import record as records
from trainyard_publisher.order import Order
from trainyard_publisher.problems import Failed, Refused
from trainyard_publisher.record import Entry, Record
from trainyard_publisher.reporting import Reporter
from trainyard_publisher.result import Published
from trainyard_publisher.version import RECORD, File, Version, checked

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_NAME = re.compile(r"[A-Za-z0-9][-._A-Za-z0-9]*/[A-Za-z0-9][-._A-Za-z0-9]*")
_HUB = "https://huggingface.co"
_MAIN = "main"
#: The tag of a version, which stays as the version does.
_OF_A_VERSION = re.compile(r"v\d+")
#: What the hub puts into every new repository.
_OF_THE_HUB = frozenset({".gitattributes"})
_CHUNK = 1 << 20


def publish(order: Order, version: Version, reporter: Reporter) -> Published:
    """Commits the version to `main` and tags it, where it does not lie there already."""
    repository = _Repository(order)
    created = repository.create(private=order.private)
    there = repository.files()
    before = repository.record(_MAIN, there)
    if before is not None and before.owner != order.owner:
        raise records.not_ours(before.owner, order.uri)
    known_files = before.files.keys() if before is not None else set()
    for file in version.all:
        if file.name in there and file.name not in known_files:
            raise records.foreign(file.name, order.uri)
    tags = (f"v{version.number}", *order.aliases)
    ours = Record(owner=order.owner, number=version.number, digest=version.digest)
    ours.files = {file.name: Entry(sha256=file.sha256) for file in version.all}
    known = tuple((before.more.get("tags") if before is not None else None) or ())
    former = {one for one in order.former if one in known and not _OF_A_VERSION.fullmatch(one)}
    ours.more = {
        "created": created or bool(before is not None and before.more.get("created")),
        "tags": sorted({*known, *tags} - former),
    }
    standing = repository.tags()
    for tag in tags:
        if tag in standing and tag not in known:
            raise Refused(
                f"{order.uri} has a tag {tag} that was not made from here and is not moved: give another alias, or "
                "remove that tag."
            )
    # NB: before the record, which names them until they are gone.
    for tag in sorted(former & standing.keys()):
        repository.untag(tag)
    sent = _bring(repository, before, ours, version, there, reporter)
    for tag in tags:
        at = repository.record(tag, None) if tag in standing else None
        if at is None or at.digest != version.digest:
            repository.tag(tag, moves=tag in standing)
    return Published(
        uri=f"hf://{repository.name}@v{version.number}",
        digest=version.digest,
        version=f"v{version.number}",
        sent=sent,
    )


def unpublish(order: Order, reporter: Reporter) -> str:
    """Removes what the record names from `main`, and its tags; the repository, if it was made for this alone."""
    repository = _Repository(order)
    there = repository.files(absent=True)
    before = repository.record(_MAIN, there) if there is not None else None
    if there is None or before is None:
        return f"nothing is published at {order.uri} any more"
    if before.owner != order.owner:
        return f"{order.uri} has what {before.owner} has published by now, which stays"
    ours = {*before.files, RECORD} & there.keys()
    tags = set(before.more.get("tags") or ())
    standing = set(repository.tags())
    nothing_else = (
        there.keys() <= ours | _OF_THE_HUB and standing <= tags and repository.branches() == {_MAIN}
    )
    if before.more.get("created") and nothing_else:
        repository.delete()
        return f"the repository {repository.name}, which was made for this, is deleted"
    for tag in sorted(tags & standing):
        repository.untag(tag)
    reporter.file(1, 1, f"{len(ours)} files of {repository.name}")
    repository.commit([], sorted(ours), None, title=f"Unpublish version {before.number}")
    return f"{len(ours)} files are removed from {repository.name}; its history keeps them"


def _bring(
    repository: _Repository,
    before: Record | None,
    ours: Record,
    version: Version,
    there: Mapping[str, str],
    reporter: Reporter,
) -> int:
    """One commit with all that differs; the number of files in it. NB: the record is none of them."""
    added = []
    for number, file in enumerate(version.all, start=1):
        reporter.file(number, len(version.all), file.name)
        if there.get(file.name) not in (file.sha256, _git_name(file)):
            added.append(checked(file))
    stale = sorted((before.files.keys() if before is not None else set()) & there.keys() - ours.files.keys())
    record = ours.dump()
    if added or stale or before is None or before.dump() != record:
        repository.commit(added, stale, record, title=f"Publish version {version.number}")
    return len(added)


def _git_name(file: File) -> str:
    """As git names a file's content: what the hub tells of files that are no large ones."""
    digest = hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)
    try:
        with file.path.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
    except FileNotFoundError:
        return ""
    return digest.hexdigest()


class _Repository:
    """One repository of models; methods raise Failed or Refused."""

    def __init__(self, order: Order) -> None:
        self.name = order.place.removeprefix("models/")
        if not _NAME.fullmatch(self.name):
            raise Refused(f"uri: {order.uri} is to be hf://<owner>/<repository>.")
        values = credentials.values(order.secret)
        endpoint = order.endpoint or os.environ.get("HF_ENDPOINT") or _HUB
        self._title = f"the hub ({endpoint})" if endpoint != _HUB else "the hub"
        self._head = ""
        self._api = _client(endpoint, credentials.first(values, "HF_TOKEN") or values.get("token"))

    def create(self, *, private: bool) -> bool:
        """Makes the repository, if there is none; whether it did."""
        if self.files(absent=True) is not None:
            return False
        with self._told("making the repository"):
            self._api.create_repo(self.name, private=private, exist_ok=True)
        return True

    def files(self, *, absent: bool = False) -> Any:
        """The files of `main`: SHA-256 of large ones, git's names of the others. With `absent` None without one."""
        from huggingface_hub import RepoFile
        from huggingface_hub.errors import RepositoryNotFoundError

        try:
            with self._told("listing its files"):
                self._head = str(self._api.repo_info(self.name, revision=_MAIN).sha)
                listed = list(self._api.list_repo_tree(self.name, recursive=True, revision=self._head))
        except RepositoryNotFoundError as error:
            if absent:
                return None
            raise Failed(f"{self._title} has no {self.name} that we may see ({_brief(error)}).") from error
        files = [one for one in listed if isinstance(one, RepoFile)]
        return {one.path: one.lfs.sha256 if one.lfs else one.blob_id for one in files}

    def record(self, revision: str, there: Mapping[str, str] | None) -> Record | None:
        """What is ours at a revision. `there` are the files of it, where they are known."""
        from huggingface_hub.errors import EntryNotFoundError

        if there is not None and RECORD not in there:
            return None
        with TemporaryDirectory() as folder, self._told("reading its record"):
            try:
                path = self._api.hf_hub_download(
                    self.name,
                    RECORD,
                    revision=self._head if revision == _MAIN else revision,
                    cache_dir=folder,
                )
            except EntryNotFoundError:
                return None
            with open(path, "rb") as file:
                return records.read(file.read(), place=f"hf://{self.name}")

    def commit(self, added: list[File], removed: list[str], record: bytes | None, *, title: str) -> None:
        """One commit on top of what was listed; refused where somebody else has committed since."""
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        operations: list[Any] = [CommitOperationDelete(path_in_repo=name) for name in removed]
        operations += [CommitOperationAdd(path_in_repo=one.name, path_or_fileobj=one.path) for one in added]
        if record is not None:
            operations.append(CommitOperationAdd(path_in_repo=RECORD, path_or_fileobj=record))
        with self._told("committing"):
            made = self._api.create_commit(
                self.name, operations, commit_message=title, revision=_MAIN, parent_commit=self._head
            )
        self._head = str(made.oid)

    def tags(self) -> dict[str, str]:
        with self._told("listing its tags"):
            return {one.name: one.target_commit for one in self._api.list_repo_refs(self.name).tags}

    def branches(self) -> set[str]:
        with self._told("listing its branches"):
            return {one.name for one in self._api.list_repo_refs(self.name).branches}

    def tag(self, name: str, *, moves: bool) -> None:
        """Tags the head. NB: the hub does not move a tag; it is made anew."""
        if moves:
            self.untag(name)
        with self._told(f"tag {name}"):
            self._api.create_tag(self.name, tag=name, revision=self._head, exist_ok=True)

    def untag(self, name: str) -> None:
        from huggingface_hub.errors import RevisionNotFoundError

        with self._told(f"tag {name}"):
            try:
                self._api.delete_tag(self.name, tag=name)
            except RevisionNotFoundError:
                return

    def delete(self) -> None:
        with self._told("deleting the repository"):
            self._api.delete_repo(self.name, missing_ok=True)

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        import httpx2
        from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

        try:
            yield
        except RepositoryNotFoundError as error:
            # NB: the hub says so to those whom it does not know, too.
            if getattr(error.response, "status_code", None) == 401:
                raise self._refused(what, error) from error
            raise
        except HfHubHTTPError as error:
            status = getattr(error.response, "status_code", None)
            if status in (401, 403):
                raise self._refused(what, error) from error
            if status in (400, 404, 409, 422):
                raise Refused(f"{self._title} does not take it, at {what}: {_brief(error)}") from error
            raise Failed(f"{self._title} cannot do its work at {what}: {_brief(error)}") from error
        except RuntimeError as error:  # NB: what the client makes of a large file that could not be sent
            raise Failed(
                f"{self._title} cannot do its work at {what}: {_brief(error)} {_brief(error.__cause__ or error)}"
            ) from error
        except httpx2.HTTPError as error:
            raise Failed(
                f"{self._title} does not answer ({_brief(error)}): check the endpoint and the network."
            ) from error

    def _refused(self, what: str, error: Exception) -> Failed:
        return Failed(
            f"{self._title} refuses us at {what} ({_brief(error)}): check HF_TOKEN in the target's Secret, which must "
            f"have the right to write to {self.name}."
        )


def _client(endpoint: str, token: str | None) -> HfApi:
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    if endpoint != _HUB:
        # NB: the client does not ask whether a hub of one's own has Xet, the hub's own store. It reads this once.
        os.environ.setdefault("HF_HUB_DISABLE_XET", "1")
    from huggingface_hub import HfApi

    return HfApi(endpoint=endpoint, token=token or False)


def _brief(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text.partition("?")[0][:200] or type(error).__name__
