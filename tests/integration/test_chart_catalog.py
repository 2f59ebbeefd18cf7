"""The chart's entries of the runtime catalogue: where they are mounted, and what the operator reads there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_chart import objects, template
from trainyard import catalog, settings

pytestmark = pytest.mark.timeout(120)

ENTRY = {
    "name": "ours",
    "image": "ours:1",
    "actions": {"train": {"command": ["python3", "-c", {"file": "go.py"}]}},
}
SCRIPT = "  odd: |\n\tprint('$HOME {{ .Values }}')\n"
CATALOG = f"catalog={json.dumps({'ours.yaml': ENTRY, 'go.py': SCRIPT})}"


def deployment(*values: str) -> dict[str, Any]:
    (one,) = objects("Deployment", *values)
    return one


def annotations(*values: str) -> dict[str, str]:
    return dict(deployment(*values)["spec"]["template"]["metadata"]["annotations"])


def test_entries_are_mounted_where_the_settings_say(tmp_path: Path) -> None:
    values = (CATALOG, 'catalogConfigMaps=["more"]', 'settings.catalogFolders=["/mine"]')
    maps = {one["metadata"]["name"]: one for one in objects("ConfigMap", *values)}
    file = tmp_path / "settings.yaml"
    file.write_text(maps["trainyard-settings"]["data"]["settings.yaml"])
    folders = settings.load(file).catalog_folders
    assert folders == ("/mine", "/etc/trainyard-catalog/values", "/etc/trainyard-catalog/configmaps/more")
    spec = deployment(*values)["spec"]["template"]["spec"]
    mounts = {one["mountPath"]: one["name"] for one in spec["containers"][0]["volumeMounts"]}
    volumes = {one["name"]: one.get("configMap", {}).get("name") for one in spec["volumes"]}
    assert [volumes[mounts[folder]] for folder in folders[1:]] == ["trainyard-catalog", "more"]


def test_what_is_mounted_is_read_as_it_was_written(tmp_path: Path) -> None:
    (data,) = [
        one["data"] for one in objects("ConfigMap", CATALOG) if one["metadata"]["name"] == "trainyard-catalog"
    ]
    for name, text in data.items():
        (tmp_path / name).write_text(text)
    (entry,) = [one for one in catalog.load({}, [str(tmp_path)]) if one.name == "ours"]
    assert entry.actions["train"].command == ("python3", "-c", SCRIPT.replace("$", "$$"))


def test_small_numbers_stay_numbers_though_helm_writes_them_with_an_exponent(tmp_path: Path) -> None:
    rate = {"type": "number", "minimum": 0.00001, "x-tunable": {"type": "float", "min": 0.00001, "max": 1}}
    train = {"schema": {"properties": {"lr": rate, "n": {}}}, "defaults": {"lr": 0.00002, "n": 3000000}}
    entry = {"name": "ours", "actions": {"train": train}}
    value = f"catalog={json.dumps({'ours.yaml': entry})}"
    (text,) = [
        one["data"]["ours.yaml"]
        for one in objects("ConfigMap", value)
        if one["metadata"]["name"] == "trainyard-catalog"
    ]
    assert "1e-05" in text
    (tmp_path / "ours.yaml").write_text(text)
    (found,) = [one for one in catalog.load({}, [str(tmp_path)]) if one.name == "ours"]
    action = found.actions["train"]
    assert action.schema is not None
    assert action.schema.raw["properties"]["lr"] == rate
    assert action.defaults == {"lr": 0.00002, "n": 3000000}


def test_a_change_of_the_values_is_a_new_pod() -> None:
    other = CATALOG.replace("ours:1", "ours:2")
    assert annotations(CATALOG)["checksum/catalog"] != annotations(other)["checksum/catalog"]


def test_without_entries_nothing_is_mounted() -> None:
    assert [one["metadata"]["name"] for one in objects("ConfigMap")] == ["trainyard-settings"]
    assert "catalog" not in json.dumps(deployment())


@pytest.mark.parametrize(
    ("value", "names"),
    [
        pytest.param('catalog={"a.yaml": {"name": "a"}}', "actions", id="an entry without actions"),
        pytest.param('catalog={"a/b.yaml": "x"}', "a/b.yaml", id="a file in a folder"),
        pytest.param('catalogConfigMaps=["A_b"]', "catalogConfigMaps", id="a name that cannot be"),
        pytest.param('settings.catalogFolders=["here"]', "catalogFolders", id="a relative folder"),
    ],
)
def test_wrong_values_are_refused_by_their_name(value: str, names: str) -> None:
    done = template(value)
    assert done.returncode != 0
    assert names in done.stderr
