"""Object stores as sources: who we are by the Secret, a real S3 server, and what its answers mean."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import obstore
import pytest
from hostile_servers import Store, storing
from obstore.store import S3Store

from trainyard_agent import objectsource
from trainyard_agent.dataorder import DataOrder
from trainyard_agent.objectsource import _meaning
from trainyard_agent.objectstores import ways
from trainyard_agent.order import Place
from trainyard_agent.progress import Progress
from trainyard_agent.pulling import pull
from trainyard_agent.surveying import survey
from trainyard_agent.troubles import Passing, Trouble, of

Ordered = Callable[..., DataOrder]


@pytest.fixture(autouse=True)
def _no_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("AWS_", "AZURE_", "GOOGLE_")):
            monkeypatch.delenv(name)


@pytest.fixture
def secret(tmp_path: Path) -> Callable[..., Path]:
    """Mounts a Secret with these keys."""

    def mount(**values: str) -> Path:
        folder = tmp_path / "secret"
        folder.mkdir(exist_ok=True)
        for name, value in values.items():
            (folder / name.replace("__", ".")).write_text(value + "\n")
        return folder

    return mount


AZURE = Place(uri="abfs://data@account.dfs.core.windows.net/set")
STRING = (
    "DefaultEndpointsProtocol=https;AccountName=other;AccountKey=a2V5PT0=;EndpointSuffix=core.windows.net"
)


@pytest.mark.parametrize(
    ("place", "values", "environ", "expected"),
    [
        (
            Place(uri="s3://data/set", endpoint="http://minio:9000", region="eu-north-1"),
            {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key", "AWS_SESSION_TOKEN": "token"},
            {"AWS_ENDPOINT_URL_S3": "https://elsewhere"},
            [
                {
                    "access_key_id": "id",
                    "secret_access_key": "key",
                    "session_token": "token",
                    "region": "eu-north-1",
                    "endpoint_url_s3": "http://minio:9000",
                }
            ],
        ),
        (
            Place(uri="s3://data"),
            {
                "AWS_ACCESS_KEY_ID": "id",
                "AWS_SECRET_ACCESS_KEY": "k",
                "AWS_DEFAULT_REGION": "x",
                "AWS_ENDPOINT_URL": "https://e",
            },
            {},
            [{"access_key_id": "id", "region": "x", "endpoint": "https://e"}],
        ),
        (
            Place(uri="s3://data", region="x"),
            {},
            {"AWS_WEB_IDENTITY_TOKEN_FILE": "/token", "AWS_ROLE_ARN": "arn:aws:iam::1:role/r"},
            [{"access_key_id": None, "skip_signature": None}],
        ),
        (Place(uri="s3://data", region="x"), {}, {}, [{"skip_signature": "true"}, {"skip_signature": None}]),
        (
            Place(uri="gs://data/set", endpoint="http://gcs:4443"),
            {},
            {},
            [{"skip_signature": "true", "base_url": "http://gcs:4443"}, {"skip_signature": None}],
        ),
        (
            AZURE,
            {"AZURE_STORAGE_KEY": "a2V5"},
            {},
            [{"account_name": "account", "account_key": "a2V5", "container_name": "data"}],
        ),
        (AZURE, {"AZURE_STORAGE_SAS_TOKEN": "?sv=1&sig=x"}, {}, [{"sas_key": "sv=1&sig=x"}]),
        (
            Place(uri="abfs://data/set"),
            {"AZURE_STORAGE_CONNECTION_STRING": STRING},
            {},
            [
                {
                    "account_name": "other",
                    "account_key": "a2V5PT0=",
                    "endpoint": "https://other.blob.core.windows.net",
                }
            ],
        ),
        (
            Place(uri="abfs://data/set", account="mine"),
            {"AZURE_TENANT_ID": "t", "AZURE_CLIENT_ID": "c", "AZURE_CLIENT_SECRET": "s"},
            {},
            [{"account_name": "mine", "tenant_id": "t", "client_id": "c", "client_secret": "s"}],
        ),
        (
            AZURE,
            {},
            {"AZURE_FEDERATED_TOKEN_FILE": "/token", "AZURE_CLIENT_ID": "c", "AZURE_TENANT_ID": "t"},
            [{"account_key": None, "skip_signature": None}],
        ),
        (AZURE, {}, {}, [{"skip_signature": "true"}, {"skip_signature": None}]),
    ],
    ids=[
        "keys of S3, and an endpoint that wins over the environment's",
        "region and endpoint of the Secret",
        "workload identity of AWS",
        "nobody and then the node, at AWS",
        "nobody and then the node, at Google",
        "key of Azure",
        "shared access signature of Azure",
        "connection string of Azure",
        "service principal of Azure",
        "workload identity of Azure",
        "nobody and then the node, at Azure",
    ],
)
def test_who_we_are(
    place: Place,
    values: dict[str, str],
    environ: dict[str, str],
    expected: list[dict[str, Any]],
    secret: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    made = [way() for way in ways(place, secret(**values))]
    assert [
        {key: store.config.get(key) for key in wanted} for store, wanted in zip(made, expected, strict=True)
    ] == (expected)


def test_a_key_of_google_is_its_file(secret: Callable[..., Path]) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    pem = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    key = {
        "type": "service_account",
        "private_key": pem.decode(),
        "private_key_id": "1",
        "client_email": "a@b",
    }
    folder = secret(key__json=json.dumps(key))
    (way,) = ways(Place(uri="gs://data"), folder)
    assert way().config["application_credentials"] == str(folder / "key.json")


@pytest.mark.parametrize(
    ("text", "kind"),
    [("no json", "forbidden"), ("[]", "forbidden"), ('{"type": "external_account"}', "unsupported")],
)
def test_what_is_no_key_of_google_is_told(secret: Callable[..., Path], text: str, kind: str) -> None:
    with pytest.raises(Trouble, match=r"key\.json in the Secret is") as raised:
        ways(Place(uri="gs://data"), secret(key__json=text))
    assert raised.value.kind == kind


def test_azure_without_an_account_is_told() -> None:
    with pytest.raises(Trouble, match=r"set source\.account") as raised:
        ways(Place(uri="abfs://data"), Path("/nowhere"))
    assert raised.value.kind == "missing"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (
            "GET http://h/b in 3ms - Server returned status code: 404 Not Found: <Error><Code>NoSuchBucket</Code>",
            "missing",
        ),
        (
            "status code: 404 Not Found: <Error><Code>XAdminUserNotFound</Code><Message>No user</Message>",
            "forbidden",
        ),
        (
            "status code: 403 Forbidden: <Error><Code>SignatureDoesNotMatch</Code><Message>m</Message>",
            "forbidden",
        ),
        ("status code: 400 Bad Request: <Error><Code>ExpiredToken</Code>", "forbidden"),
        ("status code: 301 Moved Permanently: ", "missing"),
        ("status code: 503 Service Unavailable: <Error><Code>SlowDown</Code>", "network"),
        ("status code: 429 Too Many Requests: ", "network"),
        ("status code: 416 Range Not Satisfiable: <Error><Code>InvalidRange</Code>", "changed"),
        ("Error performing token request: GET http://169.254.169.254/latest status code: 404", "forbidden"),
        ("Error performing GET http://h/b in 3ms - HTTP error: error sending request", "network"),
    ],
)
def test_what_a_store_says_is_told_apart(text: str, kind: str) -> None:
    error = obstore.exceptions.GenericError(f"Generic S3 error: {text}\n\nDebug source:\nSECRET")
    trouble = of(_meaning(error, place="s3://data", path="a"), place="-")
    assert trouble.kind == kind
    assert "SECRET" not in str(trouble)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with storing(tmp_path_factory.mktemp("s3"), "data") as server:
        yield server


@pytest.fixture
def at(store: Store, ordered: Ordered) -> Callable[..., DataOrder]:
    """An order for a folder of the store, with the right Secret."""

    def make(name: str, listing: str = "", **source: Any) -> DataOrder:
        order = ordered(listing, **{"uri": f"s3://data/{name}", "endpoint": store.endpoint, **source})
        for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            (order.secret / key).write_text(store.secret[key])
        return order

    return make


@pytest.fixture
def put(store: Store) -> Callable[[str, bytes], Any]:
    keys = {
        "access_key_id": store.secret["AWS_ACCESS_KEY_ID"],
        "secret_access_key": store.secret["AWS_SECRET_ACCESS_KEY"],
    }
    client = S3Store(
        "data", endpoint=store.endpoint, region="us-east-1", client_options={"allow_http": True}, **keys
    )
    return lambda key, data: obstore.put(client, key, data)


def there(order: DataOrder) -> dict[str, bytes]:
    top = order.volume / "data"
    return {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}


def test_marks_of_folders_are_no_files(store: Store, at: Ordered, put: Callable[[str, bytes], Any]) -> None:
    put("marks/full/a.csv", b"1")
    put("marks/empty-file", b"")
    for folder in ("marks", "marks/full", "marks/hollow"):
        (store.buckets / "data" / folder).mkdir(exist_ok=True)
        _mark(store, f"{folder}/")
    order = at("marks")
    pull(order, Progress())
    assert there(order) == {"full/a.csv": b"1", "empty-file": b""}


def _mark(store: Store, key: str) -> None:
    """obstore cannot put a name with a slash at its end."""
    import s3fs  # type: ignore[import-untyped]  # it has no types

    made = s3fs.S3FileSystem(
        key=store.secret["AWS_ACCESS_KEY_ID"],
        secret=store.secret["AWS_SECRET_ACCESS_KEY"],
        endpoint_url=store.endpoint,
        skip_instance_cache=True,
    )
    made.call_s3("put_object", Bucket="data", Key=key, Body=b"")


def test_what_the_address_is_is_found_out(at: Ordered, put: Callable[[str, bytes], Any]) -> None:
    put("kinds/one.csv", b"12")
    put("kinds/more/two.csv", b"345")
    for name, told, sizes in (
        ("kinds/one.csv", "", (1, 2)),
        ("kinds/one.csv", "file", (1, 2)),
        ("kinds", "", (2, 5)),
        ("kinds/", "folder", (2, 5)),
        ("kinds/more", "", (1, 3)),
    ):
        said = survey(at(name, fileType=told))
        assert (said["files"], said["bytes"]) == sizes, name
    with pytest.raises(Trouble, match="has no revisions"):
        survey(at("kinds", fileType="folder", revision="1"))


@pytest.mark.usefixtures("soon")
def test_a_file_that_is_a_folder_and_a_bucket_that_is_not_there_are_missing(at: Ordered, put: Any) -> None:
    put("kinds/one.csv", b"12")
    for order in (at("kinds", fileType="file"), at("", uri="s3://nowhere/a")):
        with pytest.raises(Trouble) as raised:
            survey(order)
        assert raised.value.kind == "missing"


@pytest.mark.usefixtures("soon")
def test_who_is_nobody_is_refused_and_a_new_secret_is_read(
    at: Ordered, store: Store, put: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("private/a", b"1")
    order = at("private")
    (order.secret / "AWS_SECRET_ACCESS_KEY").write_text("wrong")
    with pytest.raises(Trouble, match=r"refuses us \(403 SignatureDoesNotMatch") as raised:
        survey(order)
    assert raised.value.kind == "forbidden"
    ask, asked = objectsource.ways, list[int]()

    def mended(place: Place, folder: Path) -> Any:
        asked.append(1)
        if len(asked) == 2:
            (folder / "AWS_SECRET_ACCESS_KEY").write_text(store.secret["AWS_SECRET_ACCESS_KEY"])
        return ask(place, folder)

    monkeypatch.setattr(objectsource, "ways", mended)
    assert survey(order)["bytes"] == 1


@pytest.mark.usefixtures("soon")
def test_an_object_that_only_the_node_may_read_is_no_empty_folder(
    at: Ordered, put: Callable[[str, bytes], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As nobody, who may list everything and read nothing, it would be taken for a folder without files."""
    put("private/a.csv", b"1")
    order = at("private/a.csv")
    (right,) = objectsource.ways(order.source.place, order.secret)
    listing_only, tries = objectsource.ObjectSource._object, list[int]()

    def refused_once(self: Any) -> Any:
        tries.append(1)
        if len(tries) == 1:
            raise Passing("forbidden", "refused")
        return listing_only(self)

    monkeypatch.setattr(objectsource.ObjectSource, "_object", refused_once)
    monkeypatch.setattr(objectsource, "ways", lambda *_: (right, right))
    assert survey(order)["files"] == 1


@pytest.mark.parametrize("size", [1000, 5 << 20], ids=["small", "large"])
def test_an_object_that_is_replaced_in_the_middle_is_changed(
    at: Ordered, put: Callable[[str, bytes], Any], monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    put(f"replaced-{size}/a.bin", os.urandom(size))
    order = at(f"replaced-{size}")
    read = objectsource.ObjectSource.read

    def replaced(self: Any, *given: Any) -> Any:
        put(f"replaced-{size}/a.bin", os.urandom(size))
        return read(self, *given)

    monkeypatch.setattr(objectsource.ObjectSource, "read", replaced)
    with pytest.raises(Trouble, match=r"a\.bin has changed") as raised:
        pull(order, Progress())
    assert raised.value.kind == "changed"
    assert not (order.volume / "data").exists()


def test_an_address_that_is_no_path_is_hostile(at: Ordered) -> None:
    for name in ("a//b", "a/../b"):
        with pytest.raises(Trouble) as raised:
            survey(at(name, fileType="folder"))
        assert raised.value.kind == "hostile", name
