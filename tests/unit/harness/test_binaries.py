"""Programs: which versions, whose, and what is believed of a download."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.harness import binaries, gobuild, released
from tests.harness.errors import HarnessError
from tests.harness.released import Release


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Path, Release]]:
    """A real HTTP server with a folder, and the release pattern that points to it."""
    folder = tmp_path / "site"
    folder.mkdir()
    released._answers.cache_clear()
    released._silent.clear()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/{{name}}-{{version}}-{{arch}}"
    yield folder, Release(url=url, checksums=f"{url}.sha256")
    server.shutdown()
    thread.join()
    server.server_close()


def download(release: Release, target: Path) -> str | None:
    return released.download(release, name="tool", version="v1.2.3", arch="amd64", target=target)


def test_a_release_with_its_checksum_is_taken(site: tuple[Path, Release], tmp_path: Path) -> None:
    folder, release = site
    (folder / "tool-v1.2.3-amd64").write_bytes(b"program")
    (folder / "tool-v1.2.3-amd64.sha256").write_text(hashlib.sha256(b"program").hexdigest())
    url = download(release, tmp_path / "tool")
    assert url is not None
    assert url.endswith("/tool-v1.2.3-amd64")
    assert (tmp_path / "tool").read_bytes() == b"program"
    assert (tmp_path / "tool").stat().st_mode & 0o111


def test_a_release_that_differs_from_its_checksum_is_refused(
    site: tuple[Path, Release], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, release = site
    (folder / "tool-v1.2.3-amd64").write_bytes(b"something else")
    (folder / "tool-v1.2.3-amd64.sha256").write_text(hashlib.sha256(b"program").hexdigest())
    assert download(release, tmp_path / "tool") is None
    assert not (tmp_path / "tool").exists()
    assert "does not match its published checksum" in capsys.readouterr().err


def test_a_site_without_the_release_is_no_error(site: tuple[Path, Release], tmp_path: Path) -> None:
    _, release = site
    assert download(release, tmp_path / "tool") is None


def test_a_silent_host_is_asked_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    released._answers.cache_clear()
    released._silent.clear()
    # Port 9 (discard) of this machine: refused at once.
    release = Release(url="http://127.0.0.1:9/{name}", checksums="http://127.0.0.1:9/{name}.sha256")
    assert download(release, tmp_path / "tool") is None
    assert download(release, tmp_path / "tool") is None
    assert capsys.readouterr().err.count("cannot be reached") == 1


def test_checksum_lists_are_read_by_file_name() -> None:
    sums = "aaa  other.tar.gz\nbbb *tool.tar.gz\n"
    assert released._digest_for(sums, "tool.tar.gz") == "bbb"
    assert released._digest_for("ccc\n", "anything") == "ccc"
    with pytest.raises(KeyError):
        released._digest_for(sums, "missing")


def test_versions_come_from_the_modules() -> None:
    assert binaries.version("kubectl") == binaries.version("kube-apiserver") == "v1.34.4"
    assert binaries.version("etcd").startswith("v3.6.")
    assert all(binaries.version(name) for name in binaries.PROGRAMS)


def test_every_main_package_of_the_modules_is_a_program() -> None:
    for tools in gobuild.MODULES.glob("*/tools.go"):
        module = tools.parent.name
        imported = {line.split('"')[1] for line in tools.read_text().splitlines() if "_ " in line}
        listed = {program.package for program in binaries.PROGRAMS.values() if program.module == module}
        assert listed == imported, module


@pytest.mark.parametrize(
    ("answer", "usable"),
    [
        ("Client Version: v1.33.0", True),
        ("Client Version: v1.34.4+k3s1", True),
        ("Client Version: v1.32.4-dispatcher", False),
        ("Client Version: v2.0.0", True),
        ("no idea", False),
    ],
)
def test_a_kubectl_on_path_is_usable_if_new_enough(
    answer: str, usable: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(f"#!/bin/sh\necho '{answer}'\n")
    kubectl.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    binaries.on_path.cache_clear()
    try:
        assert binaries.on_path("kubectl") == (kubectl if usable else None)
    finally:
        binaries.on_path.cache_clear()


def test_a_program_that_nobody_knows_is_a_sentence() -> None:
    with pytest.raises(HarnessError, match="No program 'kube-magic'"):
        binaries.ensure("kube-magic")


def test_build_outputs_are_found_under_the_names_that_go_gives_them() -> None:
    assert gobuild._output_name("go.etcd.io/etcd/server/v3") == "server"
    assert gobuild._output_name("helm.sh/helm/v3/cmd/helm") == "helm"


def test_a_program_with_a_source_of_our_own_is_built_anew_when_that_changes() -> None:
    names = [file.name for file in gobuild.module_inputs("coscheduling")]
    assert names == ["go.mod", "go.sum", "main.go"]
    assert [file.name for file in gobuild.module_inputs("kwok")] == ["go.mod", "go.sum"]
