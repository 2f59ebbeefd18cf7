"""What the verbs of a model change, and what they say of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.models import a_model
from trainyard.cli import modelintents, modeljob, modeltrain, patching
from trainyard.cli.exits import CommandError, ExitCode, UsageError
from trainyard.cli.intents import Intent, Refusal
from trainyard.cli.modelintents import Stage
from trainyard.cluster.client import ApiError

Json = dict[str, Any]

NOW = datetime(2027, 1, 15, tzinfo=UTC)
STAMP = "2027-01-15T00:00:00.000000Z"


def aliases(**versions: int) -> Json:
    return {"aliases": [{"name": name, "version": number} for name, number in versions.items()]}


@pytest.mark.parametrize(
    ("status", "message", "replaced"),
    [
        (404, 'mlmodels.trainyard.dev "guide" not found', True),
        (409, 'Operation cannot be fulfilled on mlmodels.trainyard.dev "guide": Precondition failed: UID in '
         "precondition: a, UID in object meta: b", True),
        (409, 'Operation cannot be fulfilled on mlmodels.trainyard.dev "guide": the object has been modified; '
         "please apply your changes to the latest version and try again", False),
    ],
    ids=["deleted", "another of that name", "changed meanwhile"],
)  # fmt: skip
def test_a_conflict_is_no_replacement_whatever_the_model_is_called(
    status: int, message: str, replaced: bool
) -> None:
    error = ApiError(status=status, reason="Conflict", message=message)
    assert patching.is_replaced(error, "guide") is replaced


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["champion=3"], {"champion": 3}),
        (["champion=3", "candidate-"], {"champion": 3, "candidate": None}),
        (["next-one=1"], {"next-one": 1}),
    ],
)
def test_words_say_which_alias_stands_for_what(words: list[str], wanted: dict[str, int | None]) -> None:
    assert modelintents.moves(words) == wanted


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["champion"], "'champion' is neither ALIAS=VERSION, as champion=3, nor ALIAS-, which removes it."),
        (["champion="], "'champion=' is neither"),
        (["champion=0"], "'champion=0' is neither"),
        (["champion=new"], "'champion=new' is neither"),
        (["champion=" + "9" * 5000], "is neither ALIAS=VERSION"),
        (["Champion=3"], "'Champion' is no alias: lower-case letters"),
        (["=3"], "'' is no alias"),
        (["-"], "'' is no alias"),
        (["a=1", "a-"], "Alias a is said twice: say it once."),
    ],
)
def test_words_that_say_nothing_are_told(words: list[str], said: str) -> None:
    with pytest.raises(UsageError) as error:
        modelintents.moves(words)
    assert said in error.value.message


@pytest.mark.parametrize(
    ("before", "wanted", "after", "said"),
    [
        pytest.param(
            {}, {"champion": 2}, {"champion": 2}, "changed: champion stands for version 2", id="a new one"
        ),
        pytest.param(
            {"champion": 2, "old": 1}, {"champion": 3}, {"champion": 3, "old": 1},
            "changed: champion stands for version 3, before for 2", id="one that moves, and another that stays",
        ),
        pytest.param(
            {"champion": 2, "old": 1}, {"champion": 3, "old": None}, {"champion": 3},
            "changed: champion stands for version 3, before for 2; old removed, stood for version 1",
            id="one that moves and one that goes",
        ),
        pytest.param(
            {"champion": 2}, {"champion": 2}, None,
            "stays as it is: champion stands for version 2 already", id="what is so already",
        ),
        pytest.param({}, {"old": None}, None, "stays as it is: there is no alias old", id="one that is not there"),
    ],
)  # fmt: skip
def test_aliases_move_and_all_others_stay(
    before: dict[str, int], wanted: dict[str, int | None], after: dict[str, int] | None, said: str
) -> None:
    decided = modelintents.aliased(a_model(spec=aliases(**before)), wanted)
    assert isinstance(decided, Intent)
    assert decided.said == said
    if after is None:
        assert decided.patch is None
    else:
        assert decided.patch == {"metadata": {"resourceVersion": "7"}, "spec": aliases(**after)}


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (a_model(versions=3), "MLModel churn has no version 9; there are 1, 2, 3."),
        (a_model(versions=0), "MLModel churn has no version 9; it has none yet."),
        (
            a_model(formerVersions=[{"number": 9, "time": "t"}]),
            "of version 9 of MLModel churn only the record is left (spec.versionsRetained); there are 1, 2, 3.",
        ),
    ],
    ids=["another number", "no version at all", "a former version"],
)
def test_an_alias_stands_for_no_version_that_is_not_there(model: Json, said: str) -> None:
    decided = modelintents.aliased(model, {"champion": 9, "other": None})
    assert decided == Refusal(said=f"Alias champion cannot stand for version 9: {said}")


def test_what_goes_by_an_alias_that_is_removed_is_told() -> None:
    uses = {
        "monitor": {"alias": "champion"},
        "publish": [{"name": "hub", "alias": "champion"}, {"name": "other", "version": 1}],
    }
    decided = modelintents.aliased(a_model(spec={**aliases(champion=1), **uses}), {"champion": None})
    assert isinstance(decided, Intent)
    assert decided.notes == (
        "spec.monitor evaluates the version with the alias champion, and waits until there is one.",
        "Target hub of spec.publish goes by the alias champion.",
    )


def test_who_declares_the_field_in_a_manifest_is_told() -> None:
    model = a_model()
    fields = {"f:spec": {"f:aliases": {}, "f:stage": {}}}
    model["metadata"]["managedFields"] = [
        {"manager": "argocd-controller", "operation": "Apply", "fieldsV1": fields}
    ]
    for decided, field in (
        (modelintents.aliased(model, {"champion": 1}), "aliases"),
        (modelintents.staged(model, "deprecated"), "stage"),
    ):
        assert isinstance(decided, Intent)
        assert decided.notes == (
            f"argocd-controller declares spec.{field} of churn and will set it back when it syncs: take the field out "
            "of the manifest, or change it there.",
        )


@pytest.mark.parametrize(
    ("before", "wanted", "said"),
    [
        (None, "deprecated", "is deprecated, was active"),
        ("deprecated", "active", "is active, was deprecated"),
        ("archived", "archived", "is archived already"),
        (None, "active", "is active already"),
    ],
)
def test_a_stage_is_set_once(before: str | None, wanted: Stage, said: str) -> None:
    decided = modelintents.staged(a_model(spec={"stage": before} if before else {}), wanted)
    assert (decided.said, decided.notes) == (said, ())
    assert decided.patch == (None if said.endswith("already") else {"spec": {"stage": wanted}})


def test_a_training_that_goes_on_is_told_when_a_model_is_archived() -> None:
    under_way = {"number": 4, "job": "churn-train-4", "startTime": "2025-03-09T07:05:09Z"}
    decided = modelintents.staged(a_model(training=under_way), "archived")
    assert decided.notes == ("TrainingJob churn-train-4 goes on; `trainyard cancel` ends it.",)
    over = {**under_way, "completionTime": "2025-03-09T07:06:09Z", "outcome": "Done"}
    assert modelintents.staged(a_model(training=over), "archived").notes == ()


def test_a_training_is_asked_for_by_an_annotation() -> None:
    decided = modelintents.trained(a_model(), NOW)
    assert isinstance(decided, Intent)
    assert decided.patch == {"metadata": {"annotations": {"trainyard.dev/train-requested-at": STAMP}}}


@pytest.mark.parametrize("stage", ["deprecated", "archived"])
def test_a_model_that_is_not_active_is_not_trained(stage: str) -> None:
    assert modelintents.trained(a_model(spec={"stage": stage}), NOW) == Refusal(
        said=f"MLModel churn is {stage}, and is trained no more: `trainyard activate model churn` first."
    )


def asked(stamp: str = STAMP, **more: Any) -> Json:
    model = a_model(**more)
    model["metadata"]["annotations"] = {"trainyard.dev/train-requested-at": stamp}
    return model


@pytest.mark.parametrize(
    ("model", "code", "said"),
    [
        pytest.param(asked(), None, "", id="no answer yet"),
        pytest.param(asked(training={"requestedAt": "before", "outcome": "Done"}), None, "", id="the last one"),
        pytest.param(asked(training={"requestedAt": STAMP, "job": "t"}), None, "", id="it runs"),
        pytest.param(
            asked(training={"requestedAt": STAMP, "job": "t", "outcome": "Done"}), ExitCode.OK, "", id="it is done"
        ),
        pytest.param(
            asked(training={"requestedAt": STAMP, "job": "t", "outcome": "Error", "message": "No data."}),
            ExitCode.JOB_FAILED, "t of MLModel churn ended as Error: No data.", id="it failed",
        ),
        pytest.param(
            asked(training={"requestedAt": STAMP, "experiment": "x", "outcome": "Canceled"}),
            ExitCode.JOB_CANCELED, "x of MLModel churn ended as Canceled", id="it was cancelled",
        ),
        pytest.param(
            asked("2027-01-16T00:00:00.000000Z"), ExitCode.FAILED,
            "Somebody else has asked for another training of MLModel churn.", id="somebody else asks",
        ),
        pytest.param(
            asked(spec={"stage": "archived"}), ExitCode.FAILED,
            "MLModel churn is archived, and is trained no more: `trainyard activate model churn` first.",
            id="it was archived meanwhile",
        ),
        pytest.param(
            asked(phase="Error", reason="InvalidSpec", message="spec.output: say where."), ExitCode.STALLED,
            "MLModel churn is not trained. Error InvalidSpec: spec.output: say where.", id="its spec is wrong",
        ),
        pytest.param(
            asked(phase="Error", reason="InvalidSpec", observedGeneration=0), None, "",
            id="its spec was wrong before it was mended",
        ),
        pytest.param(asked(phase="Error", reason="TrainingFailed"), None, "", id="the training before has failed"),
    ],
)  # fmt: skip
def test_the_wait_for_a_training_ends_with_that_training(
    model: Json, code: ExitCode | None, said: str
) -> None:
    outcome = modeltrain.answered(model, STAMP)
    assert (outcome.code, outcome.said) == (code, said) if outcome is not None else code is None


CONFIG = {"trainingConfig": {"n_estimators": 100, "tree": {"max_depth": 3, "bins": 5}}}
DATA = {"datasets": {"train": ["customers"]}}


def test_a_training_with_other_parameters_is_a_job_as_the_operator_would_make_it() -> None:
    body, notes = modeljob.build(a_model(spec={**CONFIG, **DATA}), {"tree": {"max_depth": 5}, "lr": "0.1"})
    assert notes == []
    assert body["metadata"] == {"generateName": "churn-set-"}
    assert body["spec"] == {
        "type": "random_forest",
        "action": "train",
        "model": "churn",
        "output": {"claimName": "models"},
        **DATA,
        "parameters": {"n_estimators": 100, "tree": {"max_depth": 5, "bins": 5}, "lr": "0.1"},
    }


def test_a_template_of_the_model_counts_and_a_search_does_not() -> None:
    template = {"jobTemplate": {"spec": {"backoffLimit": 3, "parameters": {"n_estimators": 7}}}}
    body, _ = modeljob.build(a_model(spec={**CONFIG, **DATA, "training": template}), {"lr": 1})
    assert body["spec"]["backoffLimit"] == 3
    assert body["spec"]["parameters"]["n_estimators"] == 7
    search = {"experimentTemplate": {"spec": {"automl": {"algorithm": "random"}}}}
    body, notes = modeljob.build(a_model(spec={**CONFIG, **DATA, "training": search}), {"lr": 1})
    assert (body["kind"], "automl" in body["spec"]) == ("TrainingJob", False)
    assert notes == [
        "One TrainingJob trains with these parameters, not the Experiment of spec.training.experimentTemplate."
    ]


def test_type_auto_is_the_recommended_one() -> None:
    found = {"type": "decision_tree", "score": 90}
    body, _ = modeljob.build(a_model(spec={"type": "auto", **DATA}, recommendation=found), {"lr": 1})
    assert body["spec"]["type"] == "decision_tree"


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (a_model(spec={"type": "auto", **DATA}), "MLModel churn has type auto and no recommendation yet"),
        (a_model(spec={"output": None}), "MLModel churn does not say where its versions are kept: "),
        (a_model(spec={"type": None}), "MLModel churn does not say what is to be trained: give it spec.type."),
        (a_model(spec={"versionsRetained": 0}), "MLModel churn: spec.versionsRetained: "),
    ],
    ids=["no recommendation", "no output", "no type", "a spec that is none"],
)  # fmt: skip
def test_a_model_that_cannot_be_trained_is_told(model: Json, said: str) -> None:
    with pytest.raises(CommandError) as error:
        modeljob.build(model, {"lr": 1})
    assert error.value.message.startswith(said)
