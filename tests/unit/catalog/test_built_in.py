"""The entries that come with the release: what they serve, and that their schemas are those of the trainer."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, get_args

import pytest

from trainyard import catalog
from trainyard.api.dataformats import DatasetFormat, DatasetType
from trainyard.api.trainingjob import Action, TrainingJobSpec
from trainyard.catalog import reference_schemas
from trainyard.planning.runtime import Runtime, Unresolved, choose, named, resolve

REPOSITORY = Path(__file__).parents[3]
SCHEMAS = REPOSITORY / "images/trainer/src/trainyard_trainer/schemas"
DATA_SCHEMAS = REPOSITORY / "images/data/src/trainyard_data/schemas"
ENTRIES = catalog.built_in()

CV = {"train", "evaluate", "inference"}
FULL = CV | {"export", "prune", "retrain", "gen_trt_engine"}
DEPLOYED = CV | {"export", "gen_trt_engine"}
MONAI = {"train", "batchinfer", "inference"}

# What the two TAO APIs list, and which actions their services have for each.
ARCHITECTURES = {
    "detectnet_v2": FULL | {"dataset_convert", "convert", "calibration_tensorfile"},
    "faster_rcnn": FULL,
    "yolo_v4": FULL,
    "yolo_v4_tiny": FULL,
    "yolo_v3": FULL | {"kmeans"},
    "ssd": FULL | {"dataset_convert"},
    "dssd": FULL,
    "retinanet": FULL,
    "unet": FULL | {"dataset_convert"},
    "lprnet": DEPLOYED,
    "classification_tf1": FULL,
    "classification_tf2": FULL,
    "efficientdet_tf1": FULL | {"dataset_convert"},
    "efficientdet_tf2": FULL | {"dataset_convert", "convert_efficientdet_tf2"},
    "mask_rcnn": FULL | {"dataset_convert"},
    "multitask_classification": FULL,
    "bpnet": CV | {"dataset_convert", "prune", "retrain", "export", "trtexec"},
    "fpenet": CV | {"dataset_convert", "export"},
    "action_recognition": CV | {"export"},
    "classification_pyt": DEPLOYED,
    "mal": CV,
    "ml_recog": DEPLOYED,
    "ocdnet": FULL,
    "ocrnet": FULL | {"dataset_convert"},
    "optical_inspection": DEPLOYED,
    "pointpillars": CV | {"dataset_convert", "export", "prune", "retrain"},
    "pose_classification": CV | {"dataset_convert", "export"},
    "re_identification": CV | {"export"},
    "deformable_detr": DEPLOYED,
    "dino": DEPLOYED,
    "segformer": DEPLOYED,
    "visual_changenet": DEPLOYED,
    "centerpose": DEPLOYED,
    "annotations": {"convert", "annotation_format_convert"},
    "analytics": {"analyze", "validate"},
    "augmentation": {"generate", "augment"},
    "auto_label": {"generate"},
    "image": {"validate"},
    "monai_vista3d": MONAI,
    "monai_vista2d": MONAI,
    "monai_segmentation": MONAI,
    "monai_annotation": MONAI,
    "monai_classification": MONAI,
    "monai_detection": MONAI,
    "monai_automl": {"auto3dseg"},
    "monai_custom": MONAI,
    "monai_genai": {"generate"},
}
# Of those APIs' actions, these belong to a labelling service and have no container.
WITHOUT_RUNTIME = {"annotation", "nextimage", "cacheimage", "notify"}


def test_every_architecture_of_the_tao_apis_has_its_actions() -> None:
    assert len(ARCHITECTURES) == 47
    served = {
        kind: {action for entry in ENTRIES if kind in entry.kinds for action in entry.actions_of(kind)}
        for entry in ENTRIES
        for kind in entry.architectures
    }
    assert served == ARCHITECTURES


def test_every_action_has_a_runtime_but_those_that_are_named_here() -> None:
    served = {action for entry in ENTRIES for action in entry.actions}
    assert set(get_args(Action)) - served == WITHOUT_RUNTIME


def test_the_types_of_the_reference_trainer_are_served() -> None:
    distributed = "distributed_neural_network"
    for kind in ("decision_tree", distributed, "neural_network", "random_forest", "regression"):
        for action in ("train", "retrain", "evaluate", "inference", "export", "prune"):
            found = choose(kind, action, ENTRIES)
            assert not isinstance(found, Unresolved), found.message
            with_jax = kind == distributed and action in ("train", "retrain")
            assert found[0].name == ("reference-jax" if with_jax else "reference")
            assert found[1].schema is not None


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: str(entry.name))
def test_the_dataset_types_and_formats_are_those_of_our_api(entry: Runtime) -> None:
    for details in entry.details.values():
        assert details.dataset_type in ("", *get_args(DatasetType))
        assert set(details.dataset_formats) <= set(get_args(DatasetFormat))


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: str(entry.name))
def test_what_needs_the_vendors_key_says_so_and_is_marked_as_not_run(entry: Runtime) -> None:
    if entry.image.startswith("nvcr.io/"):
        assert any("NGC registry" in need for need in entry.requires)
        assert any("GPU" in need for need in entry.requires)
        assert "Not run by Trainyard's tests" in entry.notes


def test_the_training_of_a_type_can_be_tuned_and_resumed() -> None:
    found = choose("random_forest", "train", ENTRIES)
    assert not isinstance(found, Unresolved)
    assert found[1].resumable
    assert "max_depth" in found[1].tunable


def test_what_nvidias_service_searches_can_be_tuned_by_dotted_names() -> None:
    found = choose("dino", "train", ENTRIES)
    assert not isinstance(found, Unresolved)
    assert found[1].tunable["train.optim.lr"] == {"type": "float", "min": 1e-7, "max": 2e-4}
    assert found[1].tunable["train.num_epochs"]["enabled"] is False
    other = choose("segformer", "train", ENTRIES)
    assert not isinstance(other, Unresolved)
    assert other[1].tunable.keys() == {"train.trainer.sf_optim.lr"}


@pytest.mark.parametrize(
    ("kind", "action", "epochs"),
    [
        ("neural_network", "train", ("epochs", "max_iterations")),
        ("regression", "retrain", ("epochs", "max_iterations")),
        ("random_forest", "train", ("epochs", "max_iterations", "n_estimators")),
        ("random_forest", "retrain", ("epochs", "max_iterations", "n_estimators")),
        ("decision_tree", "train", ("epochs", "max_iterations")),
        ("decision_tree", "retrain", ()),
        ("distributed_neural_network", "train", ("epochs", "max_iterations")),
        ("dino", "train", ("train.num_epochs",)),
        ("ocrnet", "retrain", ("train.num_epochs",)),
        ("efficientdet_tf2", "train", ("train.num_epochs",)),
        ("classification_pyt", "train", ("train.train_config.runner.max_epochs",)),
        ("segformer", "train", ()),
        ("detectnet_v2", "train", ()),
        ("neural_network", "evaluate", ()),
    ],
)
def test_what_sets_the_number_of_epochs_is_known_where_it_is_certain(
    kind: str, action: str, epochs: tuple[str, ...]
) -> None:
    found = choose(kind, action, ENTRIES)
    assert not isinstance(found, Unresolved)
    assert found[1].epochs == epochs


def test_what_does_not_train_cannot_be_resumed() -> None:
    (pytorch,) = [entry for entry in ENTRIES if entry.name == "pytorch"]
    resumable = {name for name, action in pytorch.actions.items() if action.resumable}
    assert resumable == {"train", "retrain", "distill", "quantize", "custom"}
    for entry in ENTRIES:
        for name in ("evaluate", "inference", "export", "prune"):
            assert name not in entry.actions or not entry.actions[name].resumable


def test_pytorch_and_custom_are_for_code_of_ones_own() -> None:
    pytorch = named("pytorch", "train", ENTRIES)
    custom = named("custom", "custom", ENTRIES)
    assert not isinstance(pytorch, Unresolved)
    assert not isinstance(custom, Unresolved)
    assert pytorch[1].command == ("torchrun",)
    assert (custom[0].image, custom[1].schema) == ("", None)


def test_the_copies_of_the_schemas_are_those_of_the_images() -> None:
    assert reference_schemas.main(["--check", str(SCHEMAS)]) == 0
    assert reference_schemas.main(["--check", "--entry", "reference-data", str(DATA_SCHEMAS)]) == 0


DATASET_ACTIONS = ("validate", "analyze", "convert", "annotation_format_convert", "augment", "split")


@pytest.mark.parametrize("action", DATASET_ACTIONS)
@pytest.mark.parametrize(
    ("given", "lacking"),
    [
        pytest.param({"output": {"claimName": "out"}}, "spec.datasets.input", id="the dataset"),
        pytest.param({"datasets": {"input": "raw"}}, "spec.output", id="a place for what is made"),
        pytest.param({"datasets": {"input": "raw"}, "output": {"claimName": "out"}}, "", id="nothing"),
    ],
)
def test_what_an_action_on_a_dataset_lacks_is_said(action: str, given: dict[str, Any], lacking: str) -> None:
    spec = TrainingJobSpec.model_validate({"runtime": "reference-data", "action": action, **given})
    found = resolve(spec, catalog.load({}))
    if not lacking or (action == "validate" and lacking == "spec.output"):
        assert not isinstance(found, Unresolved)
        assert found[1].schema is not None
        assert found[1].args == ("$(TRAINYARD_ACTION)",)
    else:
        assert isinstance(found, Unresolved)
        assert lacking in found.message


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda folder: (folder / "reference.train.schema.json").unlink(), id="missing"),
        pytest.param(lambda folder: (folder / "reference.train.schema.json").write_text("{}"), id="edited"),
        pytest.param(lambda folder: (folder / "reference.old.schema.json").write_text("{}"), id="too many"),
    ],
)
def test_copies_that_differ_are_found_and_made_anew(tmp_path: Path, change: object) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    shutil.copy(SCHEMAS / "evaluate.json", source / "train.json")
    arguments = [str(source), str(target)]
    assert reference_schemas.main(arguments) == 0
    assert callable(change)
    change(target)
    assert reference_schemas.main(["--check", *arguments]) == 1
    assert reference_schemas.main(arguments) == 0
    assert reference_schemas.main(["--check", *arguments]) == 0


@pytest.mark.parametrize("action", ["evaluate", "export", "inference", "prune", "retrain"])
def test_what_works_on_a_model_asks_for_the_job_that_left_it(action: str) -> None:
    spec = TrainingJobSpec.model_validate({"type": "decision_tree", "action": action})
    found = resolve(spec, catalog.load({}))
    assert isinstance(found, Unresolved)
    assert "spec.parentJob" in found.message
