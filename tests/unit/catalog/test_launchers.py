"""The scripts by which entries start a vendor's program, run as a container runs them: `python3 -c TEXT ARGS`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

STATUS = '{"status": "RUNNING", "epoch": 1, "max_epoch": 2}\n'

# A vendor's program: says what it was given, writes a status file where its spec says, and may wait for a signal.
PROGRAM = """#!{python}
import json, os, pathlib, signal, sys, time
path = pathlib.Path(sys.argv[sys.argv.index("-e") + 1]) if "-e" in sys.argv else None
text = path.read_text() if path else ""
print("ARGV " + json.dumps(sys.argv[1:]), flush=True)
print("SPEC " + json.dumps(text), flush=True)
results = pathlib.Path(os.environ["TRAINYARD_OUTPUT_DIR"]) / "train"
results.mkdir(parents=True, exist_ok=True)
(results / "status.json").write_text({status!r} + '{{"half a line')
if os.environ.get("WAIT"):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
    print("WAITING", flush=True)
    time.sleep(60)
sys.exit(int(os.environ.get("EXIT", 0)))
"""


class Container:
    """What a launcher finds: a program of the vendor on the path, and the environment of a job."""

    def __init__(self, folder: Path) -> None:
        self.output = folder / "out"
        programs = folder / "bin"
        programs.mkdir()
        for name in ("dino", "yolo_v4", "trtexec"):
            program = programs / name
            program.write_text(PROGRAM.format(python=sys.executable, status=STATUS))
            program.chmod(0o755)
        self.env = {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "TRAINYARD_OUTPUT_DIR": str(self.output),
            "SOME_KEY": "s3cret",
        }

    def start(self, *words: str, parameters: dict[str, Any], **env: str) -> subprocess.Popen[str]:
        text = (resources.files("trainyard.catalog") / "tao_launcher.py").read_text()
        return subprocess.Popen(
            [sys.executable, "-c", text, *words],
            env={**self.env, "TRAINYARD_PARAMETERS": json.dumps(parameters), **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *words: str, parameters: dict[str, Any], **env: str) -> tuple[int, str]:
        process = self.start(*words, parameters=parameters, **env)
        out, _ = process.communicate(timeout=60)
        return process.returncode, out


@pytest.fixture
def container(tmp_path: Path) -> Container:
    return Container(tmp_path)


def said(out: str, what: str) -> Any:
    (line,) = [line for line in out.splitlines() if line.startswith(f"{what} ")]
    return json.loads(line.removeprefix(f"{what} "))


def test_parameters_become_a_spec_file_and_variables_are_put_in(container: Container) -> None:
    code, out = container.run(
        "spec",
        "dino",
        "train",
        parameters={
            "results_dir": "${TRAINYARD_OUTPUT_DIR}",
            "train": {"num_epochs": 2, "note": "$(x) `y` ${z}"},
        },
    )
    assert code == 0
    argv = said(out, "ARGV")
    assert argv[:2] == ["train", "-e"]
    assert json.loads(said(out, "SPEC")) == {
        "results_dir": str(container.output),
        "train": {"num_epochs": 2, "note": "$(x) `y` ${z}"},
    }


def a_base_model(container: Container, *files: str) -> str:
    """TRAINYARD_BASE_MODELS of one model with these files."""
    folder = container.output.parent / "base"
    folder.mkdir()
    for file in files:
        (folder / file).write_bytes(b"weights")
    return json.dumps([{"name": "champ@3", "path": str(folder), "backbone": True, "card": None}])


GIVEN: list[Any] = [
    pytest.param({}, {"model": {"pretrained_backbone_path": "BASE/a.pth"}}, id="nothing"),
    pytest.param(
        {"model": {"backbone": "fan"}},
        {"model": {"backbone": "fan", "pretrained_backbone_path": "BASE/a.pth"}},
        id="other keys beside it",
    ),
    pytest.param(
        {"model": {"pretrained_backbone_path": "/other.pth"}},
        {"model": {"pretrained_backbone_path": "/other.pth"}},
        id="another file",
    ),
    pytest.param(
        {"train": {"pretrained_model_path": "${TRAINYARD_BASE_MODEL}/a.pth"}},
        {"train": {"pretrained_model_path": "BASE/a.pth"}},
        id="the base model elsewhere",
    ),
    pytest.param(
        {"train": {"resume_training_checkpoint_path": "/c.pth"}},
        {"train": {"resume_training_checkpoint_path": "/c.pth"}},
        id="a checkpoint to go on from",
    ),
]


@pytest.mark.parametrize(("parameters", "spec"), GIVEN)
def test_a_base_model_goes_where_a_training_reads_it_when_the_parameters_have(
    container: Container, parameters: dict[str, Any], spec: dict[str, Any]
) -> None:
    models = a_base_model(container, "a.pth", "artifacts.json")
    code, out = container.run("spec", "dino", "train", parameters=parameters, TRAINYARD_BASE_MODELS=models)
    assert code == 0
    base = str(container.output.parent / "base")
    assert json.loads(said(out, "SPEC").replace(base, "BASE")) == spec


REFUSED: list[Any] = [
    pytest.param(
        ("spec", "dino", "train"), ("a.pth", "b.pth"), "several model files (a.pth, b.pth)", id="two"
    ),
    pytest.param(
        ("options", "yolo_v4", "train"), ("a.hdf5",), "${TRAINYARD_BASE_MODEL}", id="not known where"
    ),
]


@pytest.mark.parametrize(("words", "files", "message"), REFUSED)
def test_a_base_model_that_would_be_passed_over_is_refused(
    container: Container, words: tuple[str, ...], files: tuple[str, ...], message: str
) -> None:
    models = a_base_model(container, *files)
    code, out = container.run(*words, parameters={}, TRAINYARD_BASE_MODELS=models)
    assert code == 2
    assert message in out


def test_a_base_model_is_no_matter_of_other_actions(container: Container) -> None:
    models = a_base_model(container, "a.pth", "b.pth")
    code, out = container.run("spec", "dino", "evaluate", parameters={}, TRAINYARD_BASE_MODELS=models)
    assert (code, json.loads(said(out, "SPEC"))) == (0, {})


def test_whole_lines_of_the_status_file_are_printed(container: Container) -> None:
    _, out = container.run("spec", "dino", "train", parameters={})
    assert STATUS in out
    assert '{"half a line' not in out


def test_options_are_words_of_their_own_and_a_key_is_not_printed(container: Container) -> None:
    code, out = container.run(
        "options",
        "yolo_v4",
        "train",
        parameters={
            "spec": 'random_seed: 42\nname: "$HOME; rm -rf /"\n',
            "options": {"k": "${SOME_KEY}", "gpus": 2, "use_amp": True, "verbose": False, "sizes": [1, 2]},
        },
    )
    assert code == 0
    argv = said(out, "ARGV")
    assert argv[0:2] == ["train", "-e"]
    assert argv[3:] == ["-k", "s3cret", "--gpus", "2", "--use_amp", "--sizes", "1", "2"]
    assert said(out, "SPEC") == 'random_seed: 42\nname: "$HOME; rm -rf /"\n'
    assert out.count("s3cret") == 1, "only the program itself has printed it"


KEYS = [
    pytest.param(["spec", "dino", "train"], {}, "spec", id="a spec has it as encryption_key"),
    pytest.param(["options", "yolo_v4", "prune"], {"spec": "x"}, "option", id="options have it as -k"),
    pytest.param(
        ["options", "yolo_v4", "train"], {"options": {"key": "own"}}, "none", id="an option that is given"
    ),
    pytest.param(
        ["options", "yolo_v4", "train"], {"options": {"k": "own"}}, "none", id="a short one that is given"
    ),
    pytest.param(["spec", "dino", "train"], {"encryption_key": "own"}, "none", id="a key in the spec"),
    pytest.param(["spec", "dino", "dataset_convert"], {}, "none", id="what works on data"),
    pytest.param(["options", "yolo_v4", "kmeans"], {}, "none", id="what takes no key"),
    pytest.param(["joined", "trtexec"], {"options": {"onnx": "m"}}, "none", id="another program"),
]


@pytest.mark.parametrize(("words", "parameters", "where"), KEYS)
def test_the_jobs_key_is_given_to_the_tool_and_printed_nowhere(
    container: Container, words: list[str], parameters: dict[str, Any], where: str
) -> None:
    key = "k3y of the $(model)"
    code, out = container.run(*words, parameters=parameters, TRAINYARD_ENCRYPTION_KEY=key)
    assert code == 0
    argv = said(out, "ARGV")
    if where == "spec":
        assert json.loads(said(out, "SPEC"))["encryption_key"] == key
        assert oct(Path(argv[argv.index("-e") + 1]).stat().st_mode & 0o777) == "0o600"
    if where == "option":
        assert argv[-2:] == ["-k", key]
    printed = [line for line in out.splitlines() if not line.startswith(("ARGV", "SPEC"))]
    assert key not in "".join(printed)
    assert (key in out) == (where != "none")


def test_without_a_key_the_tool_is_given_none(container: Container) -> None:
    _, out = container.run("spec", "dino", "train", parameters={})
    assert "encryption_key" not in json.loads(said(out, "SPEC"))


def test_joined_options(container: Container) -> None:
    _, out = container.run("joined", "trtexec", parameters={"options": {"onnx": "/m.onnx", "fp16": True}})
    assert said(out, "ARGV") == ["--onnx=/m.onnx", "--fp16"]


def test_an_unknown_variable_is_refused_as_bad_parameters(container: Container) -> None:
    code, out = container.run("spec", "dino", "train", parameters={"results_dir": "${NO_SUCH}"})
    assert code == 2
    assert json.loads(out) == {
        "status": "FAILURE",
        "message": "parameters: ${NO_SUCH} is not set in this container.",
    }


def test_an_image_without_the_program_is_named(container: Container) -> None:
    code, out = container.run("spec", "no_such_program", "train", parameters={})
    assert code == 2
    assert "no_such_program cannot be run" in json.loads(out.splitlines()[-1])["message"]


def test_the_exit_code_is_the_programs(container: Container) -> None:
    assert container.run("spec", "dino", "train", parameters={}, EXIT="3")[0] == 3


def test_the_program_gets_the_signal_to_stop(container: Container) -> None:
    process = container.start("spec", "dino", "train", parameters={}, WAIT="1")
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("WAITING"):
            break
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 7
    process.stdout.close()


@pytest.mark.parametrize(
    ("words", "parameters", "expected"),
    [
        pytest.param(
            ["bundle"],
            {
                "bundle_root": "/b",
                "config_file": "configs/train.json",
                "trainer#max_epochs": 3,
                "note": "a b",
            },
            "-m monai.bundle run --bundle_root /b --config_file /b/configs/train.json --trainer#max_epochs 3 "
            "--note|a b --output_dir OUT --ckpt_dir OUT",
            id="a bundle",
        ),
        pytest.param(
            ["bundle"],
            {"bundle_root": "/b", "config_file": ["a.json", "b.json"], "workflow_name": "w.W", "num_gpu": 2},
            "torchrun: --nproc-per-node=2 -m monai.bundle run_workflow --bundle_root /b --config_file|"
            '["/b/a.json", "/b/b.json"] --workflow_name w.W --output_dir OUT --ckpt_dir OUT',
            id="several files, a workflow, two GPUs",
        ),
        pytest.param(
            ["auto3dseg"],
            {"modality": "CT"},
            "-m monai.apps.auto3dseg AutoRunner run --input /tmp/trainyard-input.json --work_dir OUT",
            id="auto3dseg",
        ),
    ],
)
def test_monai_is_called_with_words(
    tmp_path: Path, words: list[str], parameters: dict[str, Any], expected: str
) -> None:
    for name in ("python3", "torchrun"):
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\nprintf "%s|" {name}: "$@"\n')
        program.chmod(0o755)
    text = (resources.files("trainyard.catalog") / "monai_launcher.py").read_text()
    fake = text.replace("sys.executable", repr(str(tmp_path / "python3")))
    assert fake != text
    done = subprocess.run(
        [sys.executable, "-c", fake, *words],
        env={
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "TRAINYARD_OUTPUT_DIR": str(tmp_path / "OUT"),
            "TRAINYARD_PARAMETERS": json.dumps(parameters),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    got = done.stdout.splitlines()[-1].replace(str(tmp_path / "OUT"), "OUT").rstrip("|")
    program, _, rest = got.partition("|")
    wanted_program, _, wanted = (
        expected.partition(": ") if expected.startswith("torchrun") else ("python3", "", expected)
    )
    assert program == f"{wanted_program}:"
    assert rest.replace("|", " ") == wanted.replace("|", " ")
