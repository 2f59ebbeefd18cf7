"""The stores that Datasets are pulled from, each a real server, behind one face for tests that hold for all of them.

Separate because what a test wants of a store (fill it, count what it sends, have it refuse us) is done in another way
on each. Called by fixtures.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.harness import azurite, gcs, hub, pki, processes, s3, web, wiretap
from tests.harness.wiretap import Wiretap

Json = dict[str, Any]
Files = Mapping[str, bytes]
_PASSWORD = "reader:p%ss word"


class Wire(Protocol):
    """What both a Wiretap and a server of ours count and slow down."""

    sent: int
    rate: float | None


@dataclass(frozen=True, kw_only=True)
class DataStore:
    """A store that is running; `name` is that of a folder in it, or of a repository.

    `source` is what a Dataset would say of a folder, or of one file in it; `lacking` for what is not there. `wrong` is
    a Secret that is refused, None where the server asks nobody who they are; `refuse` makes it refuse everybody.
    """

    fill: Callable[[str, Files], None]
    source: Callable[..., Json]
    lacking: Json
    wire: Wire
    refuse: Callable[[bool], None]
    secret: Mapping[str, str]
    environment: Mapping[str, str] = field(default_factory=dict)
    wrong: Mapping[str, str] | None = None


@contextmanager
def s3_store(folder: Path) -> Iterator[DataStore]:
    with s3.running(folder, "data") as server, wiretap.tapping(server.port) as tap:
        client = s3_client(server)

        def fill(name: str, files: Files) -> None:
            client.pipe({f"data/{name}/{path}": content for path, content in files.items()})

        common = {"endpoint": tap.endpoint, "region": "us-east-1"}
        yield DataStore(
            fill=fill,
            source=_addresses("s3://data", common),
            lacking={"uri": "s3://nowhere/digits", **common},
            wire=tap,
            secret=s3_secret(server),
            wrong={"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nothing"},
            refuse=_refusing(tap),
        )


def s3_secret(server: s3.S3) -> dict[str, str]:
    """The keys of a Secret for it."""
    return {name: server.environment[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}


def s3_client(server: s3.S3) -> Any:
    """A file system (fsspec) of the server."""
    import s3fs  # type: ignore[import-untyped]  # it has no types

    return s3fs.S3FileSystem(
        key=s3.ACCESS_KEY,
        secret=s3.SECRET_KEY,
        endpoint_url=server.endpoint,
        client_kwargs={"region_name": "us-east-1"},
        use_listings_cache=False,
        skip_instance_cache=True,
    )


@contextmanager
def gcs_store(folder: Path) -> Iterator[DataStore]:
    (port,) = processes.free_ports(1)
    with (
        wiretap.tapping(port) as tap,
        gcs.running(folder, "data", port=port, behind=tap.port) as server,
    ):
        common = {"endpoint": tap.endpoint}
        yield DataStore(
            fill=lambda name, files: server.write("data", _below(name, files)),
            source=_addresses("gs://data", common),
            # NB: of a bucket that is not there this server says that it is itself out of order.
            lacking={"uri": "gs://data/nowhere.csv", "fileType": "file", **common},
            wire=tap,
            secret={"key.json": google_key()},
            refuse=_refusing(tap),
        )


def google_key() -> str:
    """The key of a service account, as Google gives it; whoever has it signs tokens by himself."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return json.dumps(
        {
            "type": "service_account",
            "project_id": "test",
            "private_key_id": "1",
            "private_key": pem.decode(),
            "client_email": "reader@test.example",
            "client_id": "1",
        }
    )


@contextmanager
def azure_store(folder: Path) -> Iterator[DataStore]:
    with azurite.running(folder, "data") as server, wiretap.tapping(server.port) as tap:
        common = {"endpoint": f"{tap.endpoint}/{azurite.ACCOUNT}", "account": azurite.ACCOUNT}
        yield DataStore(
            fill=lambda name, files: server.write("data", _below(name, files)),
            source=_addresses("abfs://data", common),
            lacking={"uri": "abfs://nowhere/digits", **common},
            wire=tap,
            secret={"AZURE_STORAGE_KEY": azurite.KEY},
            wrong={"AZURE_STORAGE_KEY": base64.b64encode(b"another").decode()},
            refuse=_refusing(tap),
        )


@contextmanager
def hub_store(folder: Path) -> Iterator[DataStore]:
    """Every repository is private; as on the real hub, large files lie on another host."""
    authority = pki.Authority(folder)
    pair = authority.server("hub", hosts=("127.0.0.1",))
    with hub.running(tls=web.context(pair)) as server:
        server.add("team/other", {"README.md": b"-"}, token="hf_other")

        def fill(name: str, files: Files) -> None:
            repository = server.repositories.setdefault(f"team/{name}", hub.Repository(token="hf_abc"))
            # As elsewhere, what is there stays.
            kept = repository.commits[repository.refs["main"]] if repository.refs else {}
            repository.commit({**kept, **files})

        def refuse(refusing: bool) -> None:
            for repository in server.repositories.values():
                repository.gated = refusing

        common = {"endpoint": server.endpoint}
        yield DataStore(
            fill=fill,
            source=_addresses("hf://datasets/team", common),
            lacking={"uri": "hf://datasets/team/nowhere", **common},
            wire=server.traffic,
            secret={"HF_TOKEN": "hf_abc"},
            environment={"SSL_CERT_FILE": str(authority.pair.certificate)},
            wrong={"HF_TOKEN": "hf_nobody"},
            refuse=refuse,
        )


@contextmanager
def web_store(folder: Path) -> Iterator[DataStore]:
    """It lists nothing: a folder is the files that were put there, one by one."""
    with web.running(folder) as server:
        server.password = _PASSWORD
        filled: dict[str, list[str]] = {}

        def fill(name: str, files: Files) -> None:
            for path, content in files.items():
                server.files[f"/{name}/{path}"] = content
                if path not in filled.setdefault(name, []):
                    filled[name].append(path)

        def source(name: str, path: str = "", **more: Any) -> Json:
            if path:
                return {"uri": server.url(f"/{name}/{path}"), **more}
            files = [{"url": server.url(f"/{name}/{one}"), "path": one} for one in filled[name]]
            return {"files": files, **more}

        def refuse(refusing: bool) -> None:
            server.password = "somebody:else" if refusing else _PASSWORD

        yield DataStore(
            fill=fill,
            source=source,
            lacking={"uri": server.url("/nowhere.csv")},
            wire=server.traffic,
            secret=dict(zip(("username", "password"), _PASSWORD.split(":"), strict=True)),
            environment=server.environment,
            wrong={"username": "reader", "password": "-"},
            refuse=refuse,
        )


def _addresses(top: str, common: Json) -> Callable[..., Json]:
    def source(name: str, path: str = "", **more: Any) -> Json:
        return {"uri": f"{top}/{name}" + (f"/{path}" if path else ""), **common, **more}

    return source


def _below(name: str, files: Files) -> dict[str, bytes]:
    return {f"{name}/{path}": content for path, content in files.items()}


def _refusing(tap: Wiretap) -> Callable[[bool], None]:
    def refuse(refusing: bool) -> None:
        tap.refusing = 403 if refusing else None

    return refuse


STORES: dict[str, Callable[[Path], AbstractContextManager[DataStore]]] = {
    "s3": s3_store,
    "gcs": gcs_store,
    "azure": azure_store,
    "hub": hub_store,
    "web": web_store,
}
