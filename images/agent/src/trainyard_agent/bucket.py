"""A folder in an object store, through fsspec.

Separate because objects appear whole, are never appended, and every call is a request that may fail. Made by
`__main__`; called in many threads at once.
"""

from __future__ import annotations

import errno
import glob
import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeVar

from trainyard_agent.log import say
from trainyard_agent.order import Place
from trainyard_agent.patience import Patience
from trainyard_agent.troubles import Final, Trouble, brief, s3_code

T = TypeVar("T")

#: More than S3 takes in one request would be refused.
_DELETED_AT_ONCE = 500
_LISTED_AT_ONCE = 1000
#: Damage on the way looks the same at first.
_TRIES_OF_CORRUPT = 3
_EXISTS_CODES = ("PreconditionFailed", "412")
#: How stores say that they do not know If-None-Match.
_UNKNOWN_CODES = ("NotImplemented", "501")


class Corrupt(Final):
    """The store's own checksum says that an object is damaged, again and again."""


class Parts(Protocol):
    """An object that is sent in parts, and is not there before `complete`."""

    #: Whether parts may be sent at the same time.
    parallel: bool

    def put(self, number: int, data: bytes) -> None:
        """Part `number`, from 1; the last one may be smaller than the others."""

    def complete(self) -> None:
        """Makes the object."""

    def abort(self) -> None:
        """Leaves nothing behind."""


class Bucket:
    """The folder at `place.uri`, which users call `name`; `options` reads the Secret. Methods raise Trouble."""

    def __init__(
        self, place: Place, *, name: str, options: Callable[[], dict[str, Any]], patience: Patience
    ) -> None:
        self.name = name
        self._place = place
        self._options = options
        self._patience = patience
        self._lock = threading.Lock()
        self._made: tuple[Any, str] | None = None

    @property
    def trouble(self) -> Trouble | None:
        """What is wrong with the store at present."""
        return self._patience.present

    def patiently(self, action: Callable[[], T], *, needed: bool = True) -> T:
        """What `action` gives, which asks this store, tried again while there is time.

        NB: what is not `needed` fails at once where the store refuses it, so that it holds up nothing.
        """
        return self._patience(action, place=self.name, refused=self._reconnect, needed=needed)

    def read(self, path: str) -> bytes | None:
        return self.patiently(lambda: self._found(lambda fs: bytes(fs.cat_file(self._full(path)))))

    def read_at_most(self, path: str, size: int) -> bytes | None:
        """The beginning of an object of which nobody has said how large it is; None where there is none."""

        def ask(fs: Any) -> bytes:
            with fs.open(self._full(path), "rb") as file:
                return bytes(file.read(size))

        return self.patiently(lambda: self._found(ask))

    def read_range(self, path: str, start: int, end: int) -> bytes | None:
        """Bytes of an object; None where there is none. Raises Corrupt where they are not what was stored."""

        def ask(fs: Any) -> bytes:
            try:
                return bytes(fs.cat_file(self._full(path), start=start, end=end))
            except Exception as error:
                if "Checksum" in type(error).__name__ and next(tries) >= _TRIES_OF_CORRUPT:
                    raise Corrupt(f"{path} is damaged in {self.name} ({brief(error)})") from error
                raise

        tries = itertools.count(1)
        return self.patiently(lambda: self._found(ask))

    def write(self, path: str, data: bytes) -> None:
        self.patiently(lambda: self._fs.pipe_file(self._full(path), data))

    def create(self, path: str, data: bytes) -> bool:
        return self.patiently(lambda: self._create(path, data))

    def names(self, path: str) -> list[str]:
        def ask(fs: Any) -> list[str]:
            fs.invalidate_cache()
            return list(fs.ls(self._full(path), detail=False))

        found = self.patiently(lambda: self._found(ask)) or []
        return sorted(name for name in (one.rstrip("/").rpartition("/")[2] for one in found) if name)

    def sizes(self, path: str) -> dict[str, int]:
        def ask(fs: Any) -> dict[str, Any]:
            fs.invalidate_cache()
            return dict(fs.find(self._full(path), detail=True))

        found = self.patiently(lambda: self._found(ask)) or {}
        top = self._full(path)
        return {name.removeprefix(f"{top}/"): int(info["size"] or 0) for name, info in found.items()}

    def pages(self, path: str) -> Iterator[dict[str, int]]:
        """All objects below a folder by their path in it, and how large each is, some at a time.

        They may be removed while the next ones are asked for.
        """
        return self._pages_of_s3(path) if self._is_s3 else self._pages_of_folders(path, "")

    def _pages_of_s3(self, path: str) -> Iterator[dict[str, int]]:
        last = ""
        while True:
            found = self.patiently(lambda last=last: self._page_of_s3(path, after=last))  # type: ignore[misc]  # bound in a loop
            if not found:
                return
            # NB: a marker of a folder is no file of ours.
            yield {name: size for name, size in found.items() if name and not name.endswith("/")}
            last = max(found, key=str.encode)

    def _page_of_s3(self, path: str, *, after: str) -> dict[str, int]:
        bucket, key, _ = self._fs.split_path(self._full(path))
        start = {"StartAfter": f"{key}/{after}"} if after else {}
        answer = self._fs.call_s3(
            "list_objects_v2", Bucket=bucket, Prefix=f"{key}/", MaxKeys=_LISTED_AT_ONCE, **start
        )
        found = answer.get("Contents") or ()
        return {one["Key"].removeprefix(f"{key}/"): int(one["Size"]) for one in found}

    def _pages_of_folders(self, path: str, prefix: str) -> Iterator[dict[str, int]]:
        top = self._full(path)

        def ask(fs: Any) -> list[dict[str, Any]]:
            fs.invalidate_cache()
            return list(fs.ls(f"{top}/{prefix}".rstrip("/"), detail=True))

        found = self.patiently(lambda: self._found(ask)) or []
        names = {one["name"].rstrip("/").removeprefix(f"{top}/"): one for one in found}
        yield {name: int(one["size"] or 0) for name, one in names.items() if one["type"] == "file"}
        for name, one in names.items():
            if one["type"] == "directory" and name != prefix.rstrip("/"):
                yield from self._pages_of_folders(path, f"{name}/")

    def remove(self, paths: Iterable[str]) -> None:
        """Removes objects; those that are gone already are no error. Raises Trouble at once where we may not."""
        # NB: fsspec takes a name with * or [ for a pattern.
        wanted = [glob.escape(self._full(path)) for path in paths]
        for start in range(0, len(wanted), _DELETED_AT_ONCE):
            some = wanted[start : start + _DELETED_AT_ONCE]
            self.patiently(
                lambda some=some: self._found(lambda fs: fs.rm(some)),  # type: ignore[misc]  # bound in a loop
                needed=False,
            )

    def begin(self, path: str, *, part_size: int) -> Parts:
        """Begins an object that is sent in parts of this size. What its methods raise is not tried again."""
        if self._is_s3:
            return self.patiently(lambda: _S3Parts(self._fs, self._full(path)))
        return self.patiently(lambda: _FileParts(self._fs, self._full(path), part_size))

    def abort_unfinished(self, path: str, *, ours: Callable[[str], bool]) -> None:
        """Takes away what a killed agent left of objects below `path` that are `ours` by their path in it.

        Google's and Azure's are gone after a week by themselves. Raises Trouble at once where we may not.
        """
        if self._is_s3:
            self.patiently(lambda: self._abort_unfinished(path, ours), needed=False)

    def _abort_unfinished(self, path: str, ours: Callable[[str], bool]) -> None:
        bucket, key, _ = self._fs.split_path(self._full(path))
        answer = self._fs.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=f"{key}/")
        for upload in answer.get("Uploads") or ():
            if ours(upload["Key"].removeprefix(f"{key}/")):
                self._fs.call_s3(
                    "abort_multipart_upload", Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                )

    def _create(self, path: str, data: bytes) -> bool:
        try:
            self._fs.pipe_file(self._full(path), data, mode="create")
        except FileExistsError:
            return False
        except OSError as error:
            code = s3_code(error)
            if code in _EXISTS_CODES:
                return False
            if code not in _UNKNOWN_CODES and error.errno != errno.ENOSYS:
                raise
            say(f"{self.name} knows no If-None-Match; {path} is looked for before it is written instead.")
            if self._fs.exists(self._full(path)):
                return False
            self._fs.pipe_file(self._full(path), data)
        return True

    def _found(self, ask: Callable[[Any], T]) -> T | None:
        """None where there is no such object. NB: a bucket that is not there is another matter."""
        try:
            return ask(self._fs)
        except FileNotFoundError as error:
            if s3_code(error) == "NoSuchBucket":
                raise
            return None

    def _reconnect(self) -> None:
        """Reads the Secret again at the next use: it may have been changed since."""
        with self._lock:
            self._made = None

    @property
    def _fs(self) -> Any:
        return self._connected()[0]

    def _full(self, path: str) -> str:
        root = self._connected()[1]
        return f"{root}/{path}" if path else root

    @property
    def _is_s3(self) -> bool:
        return self._place.uri.startswith("s3://")

    def _connected(self) -> tuple[Any, str]:
        with self._lock:
            if self._made is None:
                self._made = self._connect()
            return self._made

    def _connect(self) -> tuple[Any, str]:
        try:
            from fsspec.core import url_to_fs

            fs, root = url_to_fs(
                self._place.uri, skip_instance_cache=True, use_listings_cache=False, **self._options()
            )
        except ImportError as error:
            kind = self._place.uri.partition("://")[0]
            raise Trouble(
                "broken",
                f"The agent's image cannot speak to {kind}:// ({error}): set settings.agent.image to one that was"
                f" built with the extra for it.",
            ) from error
        if self._is_s3:
            # NB: of the object, not of its class; trying again is our own business, which knows when time is up.
            fs.retries = 1
        return fs, str(root).rstrip("/")


class _S3Parts:
    parallel = True

    def __init__(self, fs: Any, path: str) -> None:
        self._fs = fs
        self._bucket, self._key, _ = fs.split_path(path)
        self._id = fs.call_s3("create_multipart_upload", Bucket=self._bucket, Key=self._key)["UploadId"]
        self._tags: dict[int, str] = {}
        self._sizes: dict[int, int] = {}

    def put(self, number: int, data: bytes) -> None:
        answer = self._call("upload_part", PartNumber=number, Body=data)
        self._tags[number], self._sizes[number] = answer["ETag"], len(data)

    def complete(self) -> None:
        parts = [{"PartNumber": number, "ETag": tag} for number, tag in sorted(self._tags.items())]
        try:
            self._call("complete_multipart_upload", MultipartUpload={"Parts": parts})
        except FileNotFoundError:
            # An answer that was lost on the way: it is complete already.
            if self._fs.info(f"{self._bucket}/{self._key}")["size"] != sum(self._sizes.values()):
                raise

    def abort(self) -> None:
        self._call("abort_multipart_upload")

    def _call(self, method: str, **arguments: Any) -> Any:
        return self._fs.call_s3(method, Bucket=self._bucket, Key=self._key, UploadId=self._id, **arguments)


class _FileParts:
    parallel = False

    def __init__(self, fs: Any, path: str, part_size: int) -> None:
        self._file = fs.open(path, "wb", block_size=part_size)

    def put(self, number: int, data: bytes) -> None:
        self._file.write(data)

    def complete(self) -> None:
        self._file.close()

    def abort(self) -> None:
        # NB: a file that is merely forgotten is closed by its destructor, and so is made of what was written.
        if (discard := getattr(self._file, "discard", None)) is not None:
            discard()
        self._file.closed = True
