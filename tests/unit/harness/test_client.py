"""What the tests' own client makes of kubeconfigs and of waiting."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.x509.oid import NameOID

from tests.harness import pki
from tests.harness.client import ApiError, Client, wait_for
from tests.harness.errors import HarnessError


def test_waiting_gives_the_first_truthy_answer() -> None:
    answers = iter([None, 0, "", "yes", "too late"])
    assert wait_for(lambda: next(answers), what="an answer", every=0) == "yes"


def test_waiting_in_vain_says_for_what_and_what_came_last() -> None:
    with pytest.raises(TimeoutError, match=r"waited 0\.05 s for the moon; the last answer was 0"):
        wait_for(lambda: 0, what="the moon", timeout=0.05, every=0.01)


def test_an_error_carries_status_reason_and_message() -> None:
    error = ApiError("GET", "/api/v1/pods", 403, '{"reason": "Forbidden", "message": "pods is forbidden"}')
    assert (error.status, error.reason, error.message) == (403, "Forbidden", "pods is forbidden")
    assert ApiError("GET", "/", 502, "<html>").message == "<html>"


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    authority = pki.Authority(tmp_path)
    client = authority.client("alice", user="alice", groups=("readers", "writers"))
    path = tmp_path / "kubeconfig"
    path.write_text(
        pki.kubeconfig(
            server="https://127.0.0.1:9", authority=authority.pair.certificate, client=client, context="alice"
        )
    )
    return path


def test_a_client_certificate_names_user_and_groups(kubeconfig: Path, tmp_path: Path) -> None:
    subject = x509.load_pem_x509_certificate((tmp_path / "alice.crt").read_bytes()).subject
    assert [one.value for one in subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == ["alice"]
    groups = [one.value for one in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    assert groups == ["readers", "writers"]
    assert (tmp_path / "alice.key").stat().st_mode & 0o077 == 0


def test_nobody_at_the_address_is_a_connection_error(kubeconfig: Path) -> None:
    with Client(kubeconfig) as client, pytest.raises(ConnectionError, match=r"127\.0\.0\.1:9"):
        client.get("/api/v1/pods")


def test_certificates_may_lie_beside_the_kubeconfig(kubeconfig: Path, tmp_path: Path) -> None:
    config = yaml.safe_load(kubeconfig.read_text())
    config["users"][0]["user"] = {"client-certificate": "alice.crt", "client-key": "alice.key"}
    config["clusters"][0]["cluster"] = {"server": "https://127.0.0.1:9", "certificate-authority": "ca.crt"}
    kubeconfig.write_text(yaml.safe_dump(config))
    Client(kubeconfig).close()


def test_a_context_that_is_not_there_is_a_sentence(kubeconfig: Path) -> None:
    with pytest.raises(HarnessError, match=r"no entry 'bob'; it has \['alice'\]"):
        Client(kubeconfig, context="bob")


def test_a_login_by_program_is_refused(kubeconfig: Path) -> None:
    config = yaml.safe_load(kubeconfig.read_text())
    config["users"][0]["user"] = {"exec": {"command": "aws"}}
    kubeconfig.write_text(yaml.safe_dump(config))
    with pytest.raises(HarnessError, match="logs in by a program"):
        Client(kubeconfig)
