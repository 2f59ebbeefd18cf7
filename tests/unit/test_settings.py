"""Settings that are wrong end the start with a sentence that names the key."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainyard import settings
from trainyard.settings import SettingsError


def load(tmp_path: Path, text: str) -> settings.Settings:
    file = tmp_path / "settings.yaml"
    file.write_text(text)
    return settings.load(file)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param("logLevel: LOUD", "logLevel: Input should be 'DEBUG', 'INFO'", id="a log level of none"),
        pytest.param("logLevel: info", "logLevel: Input should be", id="a log level in small letters"),
        pytest.param(
            "imagePullPolicy: Sometimes",
            "imagePullPolicy: Input should be 'Always'",
            id="a pull policy of none",
        ),
        pytest.param("namespaces: [Team]", "namespaces.0: String should match", id="a capital letter"),
        pytest.param("namespaces: [a, b.c]", "namespaces.1: String should match", id="a dot"),
        pytest.param("namespaces: ['']", "namespaces.0: String should match", id="no name at all"),
        pytest.param(f"namespaces: [{'n' * 64}]", "namespaces.0: String should match", id="64 characters"),
        pytest.param(
            "callbacks: {allowedCIDRs: [lan]}",
            "callbacks.allowedCIDRs.0: Value error, 'lan' does not appear to be an IPv4 or IPv6 network",
            id="a network by its name",
        ),
        pytest.param(
            "callbacks: {allowedCIDRs: [10.1.2.3/8]}",
            "callbacks.allowedCIDRs.0: Value error, 10.1.2.3/8 has host bits set",
            id="a network with a host's bits",
        ),
        pytest.param(
            "logs: {maxSize: much}", "logs.maxSize: Value error, must be a size", id="a size of none"
        ),
        pytest.param(
            "logs: {maxSize: -1}", "logs.maxSize: Value error, must be a size", id="less than nothing"
        ),
        pytest.param(
            "logs: {storeOptions: {secret: hush}}",
            "logs.storeOptions: Value error, secret is a credential, which every reader of the settings would see",
            id="a credential",
        ),
        pytest.param(
            "logs: {storeOptions: {client_kwargs: {aws_secret_access_key: hush}}}",
            "logs.storeOptions: Value error, client_kwargs.aws_secret_access_key is a credential",
            id="a credential of the client beneath",
        ),
        pytest.param(
            "logs: {storeOptions: {token: {private_key: hush}}}",
            "logs.storeOptions: Value error, token is a credential",
            id="a key in place of its path",
        ),
        pytest.param(
            "logs: {store: /var/logs}", "logs.store: String should match", id="a path that is no URL"
        ),
        pytest.param(
            "tuner: {image: ''}", "tuner.image: String should have at least 1", id="an image of no name"
        ),
        pytest.param("tuner: {replicas: 2}", "tuner.replicas: Extra inputs", id="a setting of none"),
        pytest.param('namespaces: ["a\\n"]', "namespaces.0: String should match", id="a line's end"),
    ],
)
def test_wrong_settings_are_refused(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load(tmp_path, text)
    assert f"\n  {complaint}" in str(refused.value)


def test_right_settings_are_taken(tmp_path: Path) -> None:
    found = load(
        tmp_path, f"{{logLevel: CRITICAL, imagePullPolicy: Never, namespaces: [a, b-1, {'n' * 63}]}}"
    )
    assert (found.log_level, found.image_pull_policy) == ("CRITICAL", "Never")
    assert found.namespaces == ("a", "b-1", "n" * 63)


@pytest.mark.parametrize("token", ["/etc/trainyard-logs/key.json", "google_default", "anon"])
def test_a_token_that_is_none_itself_is_an_option_of_the_log_store(tmp_path: Path, token: str) -> None:
    found = load(tmp_path, f"logs: {{storeOptions: {{token: {token}, endpoint_url: 'https://s3.example'}}}}")
    assert found.logs.store_options == {"token": token, "endpoint_url": "https://s3.example"}


def test_a_refused_credential_is_not_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as refused:
        load(tmp_path, "logs: {storeOptions: {account_key: hush}}")
    assert "hush" not in str(refused.value)


def test_networks_of_both_kinds_are_taken(tmp_path: Path) -> None:
    found = load(tmp_path, "callbacks: {allowedCIDRs: [10.0.0.0/8, 'fd00::/8']}").callbacks
    assert [str(network) for network in found.allowed_cidrs] == ["10.0.0.0/8", "fd00::/8"]


def test_no_pull_policy_is_kubernetes_own(tmp_path: Path) -> None:
    assert load(tmp_path, "imagePullPolicy: null").image_pull_policy is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [("8Gi", 8 << 30), ("500M", 500_000_000), ("1.5k", 1500), ("4096", 4096), ("0", 0)],
)
def test_sizes_are_quantities(tmp_path: Path, text: str, expected: int) -> None:
    assert load(tmp_path, f"logs: {{maxSize: {text}}}").logs.max_size == expected
