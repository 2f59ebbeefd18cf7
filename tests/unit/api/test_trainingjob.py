"""A TrainingJob's spec as the operator reads it from the wire."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from trainyard.api.trainingjob import TrainingJobSpec


def test_what_is_not_said_has_the_defaults_of_the_docs() -> None:
    spec = TrainingJobSpec.model_validate({"image": "example.com/trainer:1"})
    assert (spec.action, spec.nodes, spec.backoff_limit) == ("train", 1, 3)
    assert (spec.startup_timeout_seconds, spec.progress_timeout_seconds) == (1800, 3600)
    assert (spec.grace_period_seconds, spec.upload_seconds) == (30, 300)
    assert spec.ttl_seconds_after_finished is None
    assert not spec.suspend
    assert not spec.cancel


def test_a_callback_is_told_of_every_end_unless_it_says_otherwise() -> None:
    spec = TrainingJobSpec.model_validate(
        {"image": "i", "callbacks": [{"name": "ci", "url": "https://example.com/hook"}]}
    )
    assert spec.callbacks[0].events == ["Completed", "Failed", "Canceled"]


def test_a_field_of_a_newer_version_is_no_obstacle() -> None:
    TrainingJobSpec.model_validate({"image": "i", "somethingNew": {"a": 1}})


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"backoffLimit": 1.5}, id="a float where an integer belongs"),
        pytest.param({"nodes": 0}, id="no nodes"),
        pytest.param({"action": "trian"}, id="an unknown action"),
        pytest.param({"parentJob": "other/job"}, id="a name with a namespace"),
        pytest.param({"baseModels": [{"model": name} for name in "abc"]}, id="three base models"),
        pytest.param({"output": {"uri": "ftp://host/folder"}}, id="a store of another kind"),
        pytest.param(
            {"callbacks": [{"name": "a", "url": "https://u:p@host/"}]}, id="a password in an address"
        ),
    ],
)
def test_it_cannot_be_read_with(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TrainingJobSpec.model_validate({"image": "i", **fields})
