"""The start of the operator when what it needs is not there yet."""

from __future__ import annotations

from typing import Any, cast

import pytest
from kubernetes.aio import config

from trainyard import app
from trainyard.cluster.cache import DATASET
from trainyard.cluster.client import ApiError, Client, CredentialsError, NotJsonError
from trainyard.kinds import KINDS
from trainyard.planning.context import Context
from trainyard.settings import Logs, Settings


class FakeClient:
    """Fails in each of these ways, one by one, and then serves an empty cluster."""

    def __init__(self, *failures: Exception) -> None:
        self._failures = list(failures)

    async def get(self, path: str) -> dict[str, Any]:
        if self._failures:
            raise self._failures.pop(0)
        return {"resources": [{"name": kind.plural} for kind in KINDS]}

    async def request(self, *_: Any, **__: Any) -> dict[str, Any]:
        return {"items": []}


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        pytest.param(
            CredentialsError("there are no credentials: exec: process returned 1"),
            "the API server does not answer (there are no credentials: exec: process returned 1)",
            id="a credential plugin fails",
        ),
        pytest.param(
            NotJsonError("the answer to /apis is not a JSON object: '<html>'"),
            "the API server does not answer (the answer to /apis is not a JSON object: '<html>')",
            id="something else answers",
        ),
        pytest.param(
            config.ConfigException("Invalid kube-config file."),
            "ConfigException: Invalid kube-config file.",
            id="anything that nobody thought of",
        ),
        pytest.param(TimeoutError(), "the API server does not answer (TimeoutError)", id="nothing answers"),
        pytest.param(
            ApiError(status=404, reason="NotFound", message="no"),
            "the CRDs are not installed: helm show crds CHART | kubectl apply --server-side --force-conflicts -f -",
            id="no CRDs",
        ),
    ],
)
async def test_waits_with_a_sentence_and_starts_when_it_can(
    failure: Exception, sentence: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(app, "_LOAD_AGAIN_SECONDS", 0.0)
    client = cast(Client, FakeClient(failure))
    settings = Settings(logs=Logs(follow=False))
    await app.Operator(settings, client, Context())._load()
    (record,) = caplog.records
    assert record.getMessage().startswith(f"Not started yet: {sentence}")
    assert record.exc_info is None


async def test_what_a_load_that_failed_has_left_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "_LOAD_AGAIN_SECONDS", 0.0)
    metadata = {"namespace": "team", "name": "gone-meanwhile", "uid": "u", "resourceVersion": "5"}

    class Cut(FakeClient):
        """Lists a Dataset, then fails; at the next try that Dataset is gone."""

        def __init__(self) -> None:
            super().__init__()
            self.datasets = [{"metadata": metadata}]

        async def request(self, _: str, path: str, **__: Any) -> dict[str, Any]:
            if path.endswith("/datasets"):
                return {"items": self.datasets}
            if path.endswith("/trainingjobs") and self.datasets:
                self.datasets = []
                raise TimeoutError
            return {"items": []}

    operator = app.Operator(Settings(logs=Logs(follow=False)), cast(Client, Cut()), Context())
    await operator._load()
    assert operator._cache.keys(DATASET) == []
