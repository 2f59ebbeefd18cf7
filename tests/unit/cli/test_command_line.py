"""What is read from the command line and from files, before any cluster is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from trainyard.cli import durations, kinds, main, manifests, quickjob
from trainyard.cli.excerpts import Excerpt
from trainyard.cli.exits import CommandError, UsageError
from trainyard.logs.splice import Line


def call(*arguments: str, **options: Any) -> Result:
    return CliRunner().invoke(main, arguments, **options)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["pauze", "a"], "There is no command pauze: did you mean pause?"),
        (["get", "resnet", "-A"],
         "Names go without -A, -l and --phase; kinds are trainingjobs, datasets, experiments, mlmodels."),
        (["pause", "a", "--timeout", "1m"], "--timeout is for --wait: give both, or neither."),
        (["delete", "a", "--yes", "--timeout", "1m"], "--timeout is for --wait: give both, or neither."),
        (["submit", "a.yaml", "--timeout", "1m"], "--timeout is for --wait: give both, or neither."),
        (["get", ""], "A name is empty."),
        (["get", "tj", ""], "A name is empty."),
        (["get", "dset/"], "A name is empty."),
        (["cancel", "a", ""], "A name is empty."),
        (["logs", ""], "A name is empty."),
        (["watch", "tj/"], "A name is empty."),
        (["get", "tj", ".."], "'..' can be the name of no object: a name has letters, digits, - and dots."),
        (["pause", "tj/a/b"], "'a/b' can be the name of no object: a name has letters, digits, - and dots."),
        (["pause", "model", "a"], "mlm/a is no TrainingJob and no Experiment: name one, as tj/a or exp/a."),
        (["card", "dataset", "a"], "This is for MLModels alone: write model, not dataset."),
        (["alias", "model", "dset/a", "b=1"], "dset/a is no MLModel: name one, as mlm/a."),
        (["recommend", "--dataset", "a", "--name", ""], "A name is empty."),
        (["download", "a", "--version", "1"], "--version and --alias are for models: name one, as model NAME."),
        (["download", "model", "a", "--version", "1", "--alias", "b"], "Give --version or --alias, not both."),
        (["download", "model", "a", "--attempt", "1"],
         "A version is what its job has left at its end: take --version or --alias, or the job for --attempt and "
         "--checkpoint."),
        (["delete", "dset/a"], "dset/a is no TrainingJob and no Experiment: name one, as tj/a or exp/a."),
        (["retry", "pod/a"], "There is no kind pod here; known are trainingjobs, datasets, experiments, mlmodels."),
        (["logs", "pod/a"], "There is no kind pod here; known are trainingjobs, datasets, experiments, mlmodels."),
        (["get", "all", "--watch"], "--watch shows one kind, or one object."),
        (["get", "pod/a", "b"], "There is no kind pod here; known are trainingjobs, datasets, experiments, mlmodels."),
        (["submit"], "Give manifests, or describe one job by --type, --architecture, --runtime or --image."),
        (["submit", "x.yaml", "--type", "a"],
         "Give manifests, or describe one job by --type, --architecture, --runtime or --image."),
        (["logs", "a", "-p", "-f"], "--previous is a log that has ended; take it without --follow."),
        (["submit", "--image", "a", "-p", "epochs"], "Parameter 'epochs' is not NAME=VALUE."),
        (["submit", "--image", "a", "--name", ""], "A name is empty."),
    ],
)  # fmt: skip
def test_a_wrong_command_line_is_told_in_one_line(arguments: list[str], sentence: str) -> None:
    result = call(*arguments, prog_name="trainyard")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"Error: {sentence}\n"


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["pause", "--wiat", "a"], ["--wiat", "--wait", "See trainyard pause --help."]),
        (["logs"], ["Missing argument", "JOB", "See trainyard logs --help."]),
        (["get", "-o", "xml"], ["--output", ": 'xml' is not one of", "See trainyard get --help."]),
        (["watch", "a", "--timeout", "soon"], ["--timeout", ": 'soon' is no span of time such as 90"]),
    ],
    ids=["an unknown option", "a missing argument", "a wrong choice", "a wrong time"],
)
def test_what_the_library_finds_wrong_is_told_in_one_line_too(arguments: list[str], parts: list[str]) -> None:
    result = call(*arguments, prog_name="trainyard")
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    for part in ["Error: ", *parts]:
        assert part in result.stderr


def test_without_a_command_it_says_what_there_is() -> None:
    result = call()
    assert (result.exit_code, result.stderr) == (0, "")
    assert "Commands:" in result.stdout


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("10m", 600), ("1h30m", 5400), ("2d", 172800), ("1d1h1m1s", 90061)],
)
def test_a_span_of_time(text: str, seconds: int) -> None:
    assert durations.seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "0s", "-1", "1.5h", "soon", "m", "1w", "٣", "9" * 40])
def test_no_span_of_time(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is no span of time"):
        durations.seconds(text)


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("tj", "TrainingJob"),
        ("TrainingJobs", "TrainingJob"),
        ("dset", "Dataset"),
        ("experiment.trainyard.dev", "Experiment"),
        ("mlmodels.v1alpha1.trainyard.dev", "MLModel"),
        ("model", "MLModel"),
        ("models", "MLModel"),
        ("pods", None),
        ("resnet", None),
    ],
)
def test_a_kind_by_its_words(word: str, kind: str | None) -> None:
    assert kinds.known(word) == kind


def a_file(folder: Path, text: str) -> str:
    path = folder / "a.yaml"
    path.write_text(text)
    return str(path)


OBJECT = "apiVersion: trainyard.dev/v1alpha1\nkind: TrainingJob\nmetadata: {name: a}\n"


def test_a_date_in_a_manifest_is_text_as_in_json(tmp_path: Path) -> None:
    (found,) = manifests.read(
        [a_file(tmp_path, f"---\n{OBJECT}spec: {{description: 2025-03-09}}\n---\n# empty\n")]
    )
    assert found.raw["spec"] == {"description": "2025-03-09"}


def test_parameters_of_a_manifest_are_sent_as_they_are_written(tmp_path: Path) -> None:
    parameters = (
        "{at: 12:30, lr: 1e-4, small: .5, 1: cat, on: x, 1.0: y, mode: 010, big: 1_000, last: 1:30.5}"
    )
    (found,) = manifests.read([a_file(tmp_path, f"{OBJECT}spec: {{parameters: {parameters}}}\n")])
    assert found.raw["spec"]["parameters"] == {
        "at": "12:30",
        "lr": 0.0001,
        "small": 0.5,
        "1": "cat",
        "on": "x",
        "1.0": "y",
        "mode": 8,
        "big": 1000,
        "last": "1:30.5",
    }


def test_an_anchor_that_is_merged_may_be_overridden(tmp_path: Path) -> None:
    spec = "{a: &a {x: 1, y: 2}, b: &b {<<: *a, y: 3}, c: {<<: *b}}"
    (found,) = manifests.read([a_file(tmp_path, f"{OBJECT}spec: {spec}\n")])
    assert found.raw["spec"] == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}, "c": {"x": 1, "y": 3}}


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("{seed: 99999999999999999999}", "spec.seed: 99999999999999999999 takes more than 64 bits"),
        ("{a: [0.1, .nan]}", "spec.a[1]: nan is no number in JSON: put it into quotes, if it is meant as text."),
        ("{a: -.inf}", "spec.a: -inf is no number in JSON"),
        ("{a: 1e999}", "spec.a: inf is no number in JSON"),
        ("{a: !!binary aGk=}", "spec.a: a value of YAML's bytes has no place in JSON: write it as text."),
        ("{a: !!set {b}}", "spec.a: a value of YAML's set has no place in JSON"),
        ("{a: {~: b}}", "spec.a: None is no key: put it into quotes, if it is meant as text."),
        ("&a {b: *a}", "it is nested too deep, or contains itself."),
    ],
    ids=["a long number", "no number", "infinite", "too large", "bytes", "a set", "a null for a key", "a circle"],
)  # fmt: skip
def test_a_value_that_cannot_be_sent_is_told_by_its_path(tmp_path: Path, spec: str, sentence: str) -> None:
    file = a_file(tmp_path, f"{OBJECT}spec: {spec}\n")
    with pytest.raises(CommandError) as raised:
        manifests.read([file])
    assert raised.value.message.startswith(f"{file}: TrainingJob a: {sentence}")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("# nothing\n", "There is no object in FILE."),
        ("a: b\n", "FILE holds something without apiVersion and kind, so no object of Kubernetes."),
        ("- a\n", "FILE holds something without apiVersion and kind, so no object of Kubernetes."),
        (
            "apiVersion: v1\nkind: Secret\nmetadata: {}\n",
            "FILE holds a Secret without metadata.name: give it one.",
        ),
        (
            "a: b: c\n",
            "FILE is no YAML: line 1, column 5: mapping values are not allowed here.",
        ),
        ("a: !!python/object:os.system {}\n", "FILE is no YAML: line 1, column 4: could not determine a "),
        (
            "a: 1\nb:\n  c: 1\n  c: 2\n",
            "FILE is no YAML: line 4, column 3: the key c is there twice in one place.",
        ),
        ("{1: a, '1': b}\n", "FILE is no YAML: line 1, column 8: the key 1 is there twice in one place."),
        ("a: !!float x\n", "FILE is no YAML: could not convert"),
        ("a: !!int x\n", "FILE is no YAML: line 1, column 4: x is no whole number"),
        (
            "apiVersion: v1\nkind: Secret\nmetadata: {name: 12}\n",
            "FILE holds a Secret whose metadata.name is no text: put it into quotes.",
        ),
        (
            "apiVersion: v1\nkind: Secret\nmetadata: {name: a, namespace: 12}\n",
            "FILE holds a Secret whose metadata.namespace is no text: put it into quotes.",
        ),
        ("apiVersion: v1\nkind: List\nitems: 3\n", "FILE holds a List whose items are no list."),
    ],
    ids=[
        "empty",
        "no object",
        "a list",
        "no name",
        "no YAML",
        "a tag of Python",
        "a key twice",
        "a key in two ways",
        "no float",
        "no int",
        "a name that is a number",
        "a namespace that is one",
        "a List of nothing",
    ],
)
def test_says_what_is_wrong_with_a_file(tmp_path: Path, text: str, sentence: str) -> None:
    file = a_file(tmp_path, text)
    with pytest.raises(CommandError) as raised:
        manifests.read([file])
    assert raised.value.message.startswith(sentence.replace("FILE", file))
    assert "\n" not in raised.value.message


def test_says_which_file_cannot_be_read(tmp_path: Path) -> None:
    for wrong, sentence in (
        (tmp_path / "none.yaml", "none.yaml cannot be read: No such file or directory."),
        (tmp_path, "has no file that ends in .yaml, .yml, .json."),
    ):
        result = call("submit", str(wrong))
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.endswith(f"{sentence}\n")


def test_only_the_one_job_of_a_file_can_be_given_a_name(tmp_path: Path) -> None:
    one = manifests.read([a_file(tmp_path, f"{OBJECT}---\n{OBJECT.replace('TrainingJob', 'Dataset')}")])
    assert [(m.kind, m.name) for m in manifests.renamed(one, "b")] == [("TrainingJob", "b"), ("Dataset", "a")]
    two = manifests.read([a_file(tmp_path, f"{OBJECT}---\n{OBJECT}")])
    with pytest.raises(UsageError, match="there are 2"):
        manifests.renamed(two, "b")


def described(**options: Any) -> dict[str, Any] | None:
    silent: dict[str, Any] = dict.fromkeys(
        [
            "name",
            "runtime",
            "kind",
            "architecture",
            "image",
            "action",
            "parent",
            "gpus",
            "nodes",
            "output_claim",
            "output_uri",
            "output_secret",
        ]
    )
    made = quickjob.manifest(**{**silent, "parameters": [], "datasets": [], **options})
    return None if made is None else made.raw


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param({"output_claim": "a", "output_uri": "s3://b"}, "not both", id="two outputs"),
        pytest.param({"output_secret": "keys"}, "give --output-uri", id="keys of nothing"),
    ],
)
def test_an_output_that_contradicts_itself_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        described(image="a:1", **options)


def test_options_that_say_nothing_of_a_job_make_none() -> None:
    assert described(name="only-a-name") is None


def test_a_job_from_options_gets_a_name_where_it_has_none() -> None:
    assert (described(kind="neural_network") or {})["metadata"] == {"generateName": "neural-network-"}


def test_parameters_are_json_with_decimals_as_text() -> None:
    given = ["a=1", "b=0.10", "c=1e-3", "d=true", "e=text", "f=[1, 0.5]", "g.h.i=x=y", "j="]
    raw = described(image="a:1", parameters=given)
    assert (raw or {})["spec"]["parameters"] == {
        "a": 1,
        "b": "0.10",
        "c": "1e-3",
        "d": True,
        "e": "text",
        "f": [1, "0.5"],
        "g": {"h": {"i": "x=y"}},
        "j": "",
    }


def test_what_is_no_number_in_json_stays_the_text_that_was_given() -> None:
    given = ["a=NaN", "b=-Infinity", "c=[NaN, 1]", "d=1e400"]
    raw = described(image="a:1", parameters=given)
    assert (raw or {})["spec"]["parameters"] == {"a": "NaN", "b": "-Infinity", "c": ["NaN", 1], "d": "1e400"}


@pytest.mark.parametrize("wrong", ["=1", "a..b=1", "a"])
def test_a_parameter_without_a_name_is_refused(wrong: str) -> None:
    with pytest.raises(UsageError, match="is not NAME=VALUE"):
        described(image="a:1", parameters=[wrong])


def test_a_parameter_below_a_value_is_refused() -> None:
    with pytest.raises(UsageError, match="a value of its own"):
        described(image="a:1", parameters=["a=1", "a.b=2"])


@pytest.mark.parametrize(
    "given",
    [["a.b=2", "a=1"], ["a=1", "a=1"], ["a.b=1", "a.b=2"], ['a={"b": 1}', "a.b=2"]],
    ids=["below it", "the same", "the same below", "in an object"],
)
def test_a_parameter_that_is_given_twice_is_refused(given: list[str]) -> None:
    with pytest.raises(UsageError, match="is given twice, or has others below it"):
        described(image="a:1", parameters=given)


def test_a_parameter_whose_object_has_a_key_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="Parameter a has a key twice in one object"):
        described(image="a:1", parameters=['a=[{"b": 1, "b": 2}]'])


@pytest.mark.parametrize(
    ("parameter", "sentence"),
    [
        (
            "seed=99999999999999999999",
            "spec.parameters.seed: 99999999999999999999 takes more than 64 bits: put it into quotes, if it is meant as "
            "text.",
        ),
        (
            "a.b=[1, 9223372036854775808]",
            "spec.parameters.a.b[1]: 9223372036854775808 takes more than 64 bits",
        ),
        ("a=x\udcff", "spec.parameters.a: the text holds what is no character: write it in UTF-8."),
    ],
    ids=["a long number", "a number that is just too long", "bytes that are no text"],
)
def test_a_parameter_that_cannot_be_sent_is_told_by_its_path(parameter: str, sentence: str) -> None:
    result = call("submit", "--name", "a", "--image", "a:1", "-p", parameter)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"Error: the command line: TrainingJob a: {sentence}")
    assert result.stderr.count("\n") == 1


LINES: list[Line] = [(f"2025-03-09T07:05:0{second}Z".encode(), b"%d" % second) for second in range(5)]
NOW = 1741503904.0  # 2025-03-09T07:05:04Z


@pytest.mark.parametrize(
    ("excerpt", "expected"),
    [
        (Excerpt(), b"01234"),
        (Excerpt(tail=2), b"34"),
        (Excerpt(tail=0), b""),
        (Excerpt(since=1), b"34"),
        (Excerpt(since=2, tail=1), b"4"),
        (Excerpt(tail=9), b"01234"),
    ],
    ids=["all", "the last two", "none", "the last second", "both", "more than there are"],
)
def test_a_part_of_a_stored_log(excerpt: Excerpt, expected: bytes) -> None:
    reader = excerpt.reader(now=NOW)
    lines = [*reader.take(LINES[:3]), *reader.take(LINES[3:]), *reader.rest()]
    assert b"".join(text for _, text in lines) == expected
