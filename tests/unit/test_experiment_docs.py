"""docs/experiment-fields.md has a place for every field of the two services, and every place that it names is there.

docs/automl.md prints the brackets that are run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic.alias_generators import to_camel

from trainyard.planning.runtime import Details, Runtime
from trainyard.search.brackets import Variant, brackets

Json = dict[str, Any]

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs" / "experiment-fields.md").read_text(encoding="utf-8")
AUTOML = (ROOT / "docs" / "automl.md").read_text(encoding="utf-8")

#: Of the Transfer Learning API 5.3.0: requests and answers of /experiments.
EXPERIMENT = """
    id name description version logo type network_arch created_on last_modified user_id public read_only
    additional_id_info actions jobs train_datasets eval_dataset inference_dataset calibration_dataset dataset_type
    dataset_formats metric model_params spec_file_present docker_env_vars encryption_key
    cloud_details cloud_details.cloud_type cloud_details.cloud_file_type cloud_details.cloud_specific_details
    base_experiment base_experiment_pull_complete is_ptm_backbone ngc_path bundle_url sha256_digest
    checkpoint_choose_method checkpoint_epoch_number
    automl_settings automl_settings.automl_enabled automl_settings.automl_algorithm
    automl_settings.automl_max_recommendations automl_settings.automl_R automl_settings.automl_nu
    automl_settings.epoch_multiplier automl_settings.automl_add_hyperparameters
    automl_settings.automl_remove_hyperparameters automl_settings.override_automl_disabled_params
    automl_settings.automl_delete_intermediate_ckpt
    backbone_class backbone_type domain task license
    realtime_infer realtime_infer_support realtime_infer_endpoint realtime_infer_model_name
    realtime_infer_request_timeout
"""
#: Of the same: requests and answers of /experiments/{experiment_id}/jobs.
JOB = """
    id experiment_id name description action specs parent_id parent_job_id num_gpu platform created_on last_modified
    status sync job_tar_stats.file_size job_tar_stats.sha256_digest
    result.epoch result.max_epoch result.cur_iter result.eta result.time_per_epoch result.time_per_iter result.message
    result.detailed_status.date result.detailed_status.time result.detailed_status.status
    result.detailed_status.message result.key_metric result.kpi[].metric result.kpi[].values
    result.graphical[].metric result.graphical[].values result.graphical[].units result.graphical[].x_min
    result.graphical[].x_max result.graphical[].y_min result.graphical[].y_max
    result.categorical[].metric result.categorical[].category_wise_values[].category
    result.categorical[].category_wise_values[].value
    result.stats[].metric result.stats[].value result.automl_result[].metric result.automl_result[].value
"""
#: Of the Flow of Datature's SDK, with its FlowSpec and FlowBlock.
FLOW = """
    organization_id flow_id self_link etag metadata metadata.time_created
    spec spec.name spec.schema spec.tolerations spec.settings spec.blocks spec.blocks[].block spec.blocks[].settings
    spec.blocks[].style spec.training_project
"""
TABLES = {
    "An experiment of the Transfer Learning API": EXPERIMENT.split(),
    "A job of such an experiment": JOB.split(),
    "A flow of Datature's SDK": FLOW.split(),
}
OF_OBJECTS = {"name", "namespace", "uid", "generation", "creationTimestamp", "managedFields"}
PLACE = re.compile(r"`((?:Experiment|TrainingJob|Dataset|MLModel|catalogue)\.[^`]+)`")
LABEL = re.compile(r"`trainyard\.dev/([a-z-]+)`")
KNOWN_LABELS = {"owner", "public", "read-only", "experiment"}


@dataclass(frozen=True)
class Row:
    """A line of a table: whose field, where it is, and what is said of it."""

    field: str
    place: str
    said: str


def rows(title: str) -> list[Row]:
    section = DOCS.split(f"\n## {title}\n")[1].split("\n## ")[0]
    lines = re.findall(r"^\| `([^`]+)` \|([^|]*)\|([^|]*)\|$", section, re.MULTILINE)
    return [Row(*(cell.strip() for cell in line)) for line in lines]


def schemas() -> Iterator[tuple[str, Json]]:
    for file in sorted((ROOT / "crds").glob("*.yaml")):
        crd = yaml.safe_load(file.read_text(encoding="utf-8"))
        yield crd["spec"]["names"]["kind"], crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


SCHEMAS = dict(schemas())


def is_there(place: str) -> bool:
    """Whether a place leads to a field of a CRD, of every object's metadata, or of the catalogue."""
    kind, *path = place.split(".")
    if kind == "catalogue":
        known = {to_camel(one.name) for one in (*fields(Details), *fields(Runtime))}
        return path[0] in known
    if path[0] == "metadata":
        return path[1] in OF_OBJECTS
    schema = SCHEMAS[kind]
    for part in path:
        name, _, index = part.partition("[]")
        assert not index, f"{place}: what follows the brackets?"
        schema = schema.get("properties", {}).get(name)
        if schema is None:
            return False
        if part.endswith("[]"):
            schema = schema["items"]
    return True


@pytest.mark.parametrize("title", TABLES)
def test_every_field_has_its_row_and_every_row_is_of_a_field(title: str) -> None:
    assert sorted(row.field for row in rows(title)) == sorted(TABLES[title])


@pytest.mark.parametrize("title", TABLES)
def test_a_row_has_a_place_or_says_why_it_has_none(title: str) -> None:
    for row in rows(title):
        places = PLACE.findall(row.place) or LABEL.findall(row.place)
        assert places or row.said.startswith("left out"), row.field


def test_every_place_that_is_named_is_there() -> None:
    named = set(PLACE.findall(DOCS))
    assert len(named) > 80
    assert {place for place in named if not is_there(place)} == set()
    assert set(LABEL.findall(DOCS)) == KNOWN_LABELS


def test_a_place_that_is_not_there_is_found_out() -> None:
    assert not is_there("Experiment.spec.automl.maxRecommendation")
    assert not is_there("Experiment.spec.baseModels[].sha512")
    assert not is_there("catalogue.licence")


@pytest.mark.parametrize(("variant", "column"), [("standard", 2), ("tao", 3)])
def test_the_brackets_in_the_docs_are_those_that_are_run(variant: Variant, column: int) -> None:
    table = AUTOML.split("<!-- brackets: begin -->")[1].split("<!-- brackets: end -->")[0]
    lines = [
        [cell.strip() for cell in line.split("|")] for line in table.splitlines() if line.startswith("| ")
    ]
    told = {line[1]: line[column] for line in lines[1:]}
    run = brackets(27, 3, variant)
    wanted = {
        str(bracket.s): ", ".join(f"{rung.configurations}@{rung.units}" for rung in bracket.rungs)
        for bracket in run
    }
    wanted["trials"] = str(sum(bracket.configurations for bracket in run))
    assert {name: cell for name, cell in told.items() if cell} == wanted
