"""One network trained by several processes: the same model for any number of them, and none goes on without another.

Starting processes with jax is what takes long: tests marked `soak` are left to `make soak`, which runs all of this file
(`pytest tests/test_distributed.py -m "soak or not soak"`).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import time
from pathlib import Path

import joblib
import numpy as np
import pytest

TYPE = "distributed_neural_network"
PARAMETERS = {
    "epochs": 60,
    "hidden_layer_sizes": [16],
    "batch_size": 8,
    "checkpoint_every": 1,
    "checkpoints_kept": 1000,
}
SHORT = {**PARAMETERS, "epochs": 3}
ENDLESS = {**PARAMETERS, "epochs": 100000}
# The heartbeat's time, and some for a busy machine.
LOSS_SECONDS = 40
SOAK = pytest.mark.soak


class Team:
    """The ranks of one training, each a process as the operator would start it."""

    def __init__(self, trainer, ranks, *, resume=None, only=None, **options):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        trainer.teams = getattr(trainer, "teams", 0) + 1
        self.folder = trainer.root / f"uid/team-{trainer.teams}"
        self.ranks = [
            trainer.start(
                type=TYPE,
                resume=part_of(resume, rank) if resume else None,
                TRAINYARD_OUTPUT_DIR=str(part_of(self.folder, rank)),
                TRAINYARD_CHECKPOINT_DIR=str(part_of(self.folder, rank) / "checkpoints"),
                JAX_COORDINATOR_ADDRESS=f"127.0.0.1:{port}",
                TRAINYARD_RANK=str(rank),
                TRAINYARD_WORLD_SIZE=str(ranks),
                **options,
                **(only[rank] if only else {}),
            )
            for rank in range(ranks)
        ]

    @property
    def parts(self):
        """Each rank's folder of checkpoints."""
        return [part_of(self.folder, rank) / "checkpoints" for rank in range(len(self.ranks))]

    def end(self):
        """Wait for all; their runs by rank."""
        return [rank.end(timeout=120)[0] for rank in self.ranks]

    def reaches(self, epoch):
        self.ranks[0].wait_for(lambda line: line["epoch"] >= epoch)


def part_of(folder, rank):
    """As the operator lays them out; `resume` is such a folder, too."""
    return folder / f"rank-{rank}" if rank else folder


def epochs_in(folder):
    return [int(path.name.removeprefix("epoch-")) for path in sorted(folder.glob("epoch-*"))]


def resume_from(tmp_path, team, *, latest=10**6):
    """What the operator hands to the next attempt: of each rank its own part."""
    folder = tmp_path / "resume"
    for rank, part in enumerate(team.parts):
        for epoch in epochs_in(part):
            if epoch <= latest:
                name = f"epoch-{epoch:06d}"
                shutil.copytree(part / name, part_of(folder, rank) / name)
    return folder


def network_of(run):
    return joblib.load(run.output / "model.joblib")["model"]


def network_at(team, epoch):
    """The weights after an epoch, of its checkpoint."""
    return joblib.load(team.parts[0] / f"epoch-{epoch:06d}/state.joblib").learner["model"]


def same_weights(one, other, *, exactly=True):
    for a, b in zip(one.coefs_ + one.intercepts_, other.coefs_ + other.intercepts_, strict=True):
        assert np.array_equal(a, b) if exactly else np.allclose(a, b, rtol=1e-9, atol=1e-12)
    return True


@pytest.fixture(scope="module")
def whole(lasting_trainer):
    """A training by two ranks that nothing disturbs, with a checkpoint of every epoch."""
    team = Team(lasting_trainer, 2, train="wine", parameters=PARAMETERS)
    team.runs = team.end()
    assert [run.code for run in team.runs] == [0, 0], team.runs[0].text
    return team


def goes_on_as_if_nothing_had_happened(trainer, whole, resume, *, after, ranks=2):
    """Whether ranks that resume come to the weights that the undisturbed training has at the same epoch."""
    parameters = {**PARAMETERS, "epochs": after + 2}
    runs = Team(trainer, ranks, train="wine", parameters=parameters, resume=resume).end()
    assert [run.code for run in runs] == [0] * ranks, runs[0].text
    assert all(f"resumed after epoch {after} " in run.text for run in runs)
    assert same_weights(network_at(whole, after + 2), network_of(runs[0]), exactly=ranks == 2)
    if ranks == 2:
        rows = whole.runs[0].artifact("learning_curve.csv").splitlines()[: after + 3]
        assert runs[0].artifact("learning_curve.csv").splitlines() == rows
    return True


def child_of(process):
    pid = process.process.pid
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


@pytest.mark.parametrize(
    ("dataset", "numbers"),
    [
        pytest.param("wine", (1, 2), id="three classes"),
        # 3 does not divide 8, so the ranks' slices differ in length.
        pytest.param("wine", (1, 3), id="slices that differ in length", marks=SOAK),
        pytest.param("breast_cancer", (1, 2), id="two classes", marks=SOAK),
        pytest.param("diabetes", (1, 2), id="a quantity", marks=SOAK),
    ],
)
def test_the_model_does_not_depend_on_the_number_of_ranks(trainer, dataset, numbers):
    runs = [Team(trainer, ranks, train=dataset, parameters=SHORT).end()[0] for ranks in numbers]
    assert {run.code for run in runs} == {0}, runs[-1].text
    for run in runs[1:]:
        assert same_weights(network_of(runs[0]), network_of(run), exactly=False)
        assert run.verdict["metrics"] == pytest.approx(runs[0].verdict["metrics"], rel=1e-6)


def test_it_takes_the_steps_that_scikit_learn_takes_from_the_same_weights(samples):
    import pandas as pd
    from sklearn.neural_network import MLPClassifier

    from trainyard_trainer.columns import Examples
    from trainyard_trainer.learners.distributed_neural_network import DistributedNeuralNetwork
    from trainyard_trainer.learners.neural_network import NeuralNetwork
    from trainyard_trainer.preparing import Prepared

    frame = pd.read_csv(samples / "digits/data.csv")
    x, y = frame.drop(columns="target").to_numpy() / 16, frame["target"].to_numpy()
    none = Examples(features=frame.iloc[:0], targets=y[:0], dropped=0)
    prepared = Prepared(
        preprocess=None,
        classes=np.unique(y),
        x_train=x,
        y_train=y,
        x_validation=x,
        y_validation=y,
        test=none,
    )
    parameters = {
        "random_seed": 3,
        "batch_size": 50,
        "learning_rate": 0.01,
        "alpha": 0.1,
        "epochs": 2,
        "hidden_layer_sizes": [12, 7],
        "activation": "tanh",
    }
    parent = MLPClassifier((12, 7), activation="tanh", random_state=1).partial_fit(x, y, classes=np.unique(y))
    parent.coefs_[0][:, 3] = 0
    ended = []
    for build in (NeuralNetwork, DistributedNeuralNetwork):
        network = build(prepared, parameters, classify=True, parent=parent)
        for epoch in (1, 2):
            for index in range(network.steps_in(epoch)):
                network.step(epoch=epoch, index=index)
        measured = network.measure()
        ended.append((network.estimator(best=False), measured))
    (theirs, expected), (ours, measured) = ended
    assert same_weights(theirs, ours, exactly=False)
    assert not ours.coefs_[0][:, 3].any(), "what was pruned stays zero"
    assert measured.training_loss == pytest.approx(expected.training_loss)


def test_rank_0_alone_reports_and_keeps_the_model_and_every_rank_keeps_its_checkpoints(whole):
    first, second = whole.runs
    assert [line["epoch"] for line in first.lines if line["graphical"]] == list(range(1, 61))
    assert second.lines == []
    assert "rank 1 of 2: done" in second.log
    assert [first.verdict["complete"], second.verdict["complete"]] == [True, True]
    assert second.verdict["metrics"] == {}
    kept = {path.name for path in first.output.iterdir()}
    assert kept >= {"model.joblib", "metrics.json", "learning_curve.csv", "confusion_matrix.csv"}
    assert {path.name for path in second.output.iterdir()} == {"checkpoints"}
    assert first.verdict["metrics"]["accuracy"] > 0.9
    for rank, part in enumerate(whole.parts):
        assert epochs_in(part) == list(range(1, 61))
        manifest = json.loads((part / "epoch-000004/manifest.json").read_text())
        assert (manifest["rank"], manifest["worldSize"], manifest["epoch"]) == (rank, 2, 4)


@pytest.mark.parametrize(
    ("victim", "of"),
    [
        pytest.param(1, child_of, id="a rank that is killed"),
        pytest.param(
            0,
            lambda process: process.process.pid,
            id="the container of the rank where they met",
            marks=SOAK,
        ),
    ],
)
def test_the_others_fail_with_a_rank_that_is_lost_and_all_go_on_from_their_checkpoint(
    trainer, tmp_path, whole, victim, of
):
    team = Team(trainer, 2, train="wine", parameters=ENDLESS)
    team.reaches(3)
    os.kill(of(team.ranks[victim]), signal.SIGKILL)
    began = time.monotonic()
    runs = team.end()
    assert time.monotonic() - began < LOSS_SECONDS
    assert runs[victim].code in {-signal.SIGKILL, 128 + signal.SIGKILL}
    other = runs[1 - victim]
    assert other.code == 1
    assert other.text.splitlines()[-1].startswith("{")
    assert other.last["status"] == "FAILURE"
    assert other.last["message"].startswith("Another rank is gone")
    assert other.verdict["complete"] is False
    common = min(max(epochs_in(part)) for part in team.parts)
    assert goes_on_as_if_nothing_had_happened(trainer, whole, resume_from(tmp_path, team), after=common)


@SOAK
def test_a_rank_that_falls_silent_ends_the_others(trainer):
    team = Team(trainer, 2, train="wine", parameters={**ENDLESS, "checkpoint_every": 1000})
    team.reaches(2)
    silent = child_of(team.ranks[1])
    os.kill(silent, signal.SIGSTOP)
    try:
        other, took = team.ranks[0].end(timeout=120)
    finally:
        os.kill(silent, signal.SIGKILL)
    assert took < LOSS_SECONDS
    assert other.code == 1
    assert other.last["status"] == "FAILURE"
    assert other.last["message"].startswith("Another rank is gone")


@pytest.mark.parametrize("told", [pytest.param(0, marks=SOAK), 1])
def test_sigterm_to_one_rank_stops_all_at_the_same_step(trainer, tmp_path, whole, told):
    team = Team(trainer, 2, train="wine", parameters={**ENDLESS, "checkpoint_every": 1000})
    team.reaches(2)
    os.kill(team.ranks[told].process.pid, signal.SIGTERM)
    runs = team.end()
    assert [run.code for run in runs] == [0, 0]
    assert [run.verdict["complete"] for run in runs] == [False, False]
    saved = [json.loads(next(part.glob("epoch-*/manifest.json")).read_text()) for part in team.parts]
    epoch = saved[0]["epoch"]
    for run in runs:
        assert run.verdict["message"] == f"stopped after epoch {epoch}; checkpoint saved"
    assert runs[0].last["status"] == "RUNNING"
    assert saved[0]["step"] == saved[1]["step"] == runs[0].last["checkpoint"]["step"]
    assert goes_on_as_if_nothing_had_happened(trainer, whole, resume_from(tmp_path, team), after=epoch)


@SOAK
def test_all_ranks_go_on_from_the_newest_checkpoint_that_all_of_them_have(trainer, tmp_path, whole):
    resume = resume_from(tmp_path, whole, latest=4)
    (part_of(resume, 1) / "epoch-000004/manifest.json").unlink()
    (part_of(resume, 0) / "epoch-000002/manifest.json").unlink()
    assert goes_on_as_if_nothing_had_happened(trainer, whole, resume, after=3)


@SOAK
def test_a_rank_without_a_checkpoint_among_others_that_have_one_is_refused_by_all(trainer, tmp_path, whole):
    resume = resume_from(tmp_path, whole, latest=4)
    shutil.rmtree(part_of(resume, 1))
    runs = Team(trainer, 2, train="wine", parameters=PARAMETERS, resume=resume).end()
    assert [run.code for run in runs] == [2, 2]
    assert (
        runs[0]
        .last["message"]
        .startswith("Rank 1 has no checkpoint to go on from, but rank 0 has one of epoch 4.")
    )


@SOAK
@pytest.mark.parametrize("ranks", [1, 3], ids=["fewer ranks", "more ranks"])
def test_another_number_of_ranks_can_go_on_because_each_part_holds_all(trainer, tmp_path, whole, ranks):
    resume = resume_from(tmp_path, whole, latest=2)
    if ranks == 3:
        shutil.copytree(part_of(resume, 1), part_of(resume, 2))
    assert goes_on_as_if_nothing_had_happened(trainer, whole, resume, after=2, ranks=ranks)


@SOAK
def test_ranks_that_read_different_data_are_refused(trainer, samples):
    text = (samples / "wine/data.csv").read_text()
    names = [
        trainer.dataset("whole", data=text),
        trainer.dataset("less", data="\n".join(text.splitlines()[:-1]) + "\n"),
    ]
    team = Team(trainer, 2, parameters=SHORT, only=[{"train": name} for name in names])
    runs = team.end()
    assert [run.code for run in runs] == [2, 2]
    assert runs[0].last["message"].startswith("Rank 1 reads other training data than rank 0.")


WAITING = {"TRAINYARD_RANK": "0", "TRAINYARD_WORLD_SIZE": "2", "JAX_COORDINATOR_ADDRESS": "127.0.0.1:1"}


@pytest.mark.parametrize("rank", ["0", pytest.param("1", marks=SOAK)])
def test_a_rank_whose_others_do_not_come_says_so_when_the_time_is_up(trainer, rank):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    waiting = trainer.start(
        type=TYPE,
        train="wine",
        **{**WAITING, "JAX_COORDINATOR_ADDRESS": address, "TRAINYARD_RANK": rank},
        TRAINYARD_RENDEZVOUS_SECONDS="2",
    )
    run, took = waiting.end()
    assert run.code == 1
    assert took < 15
    assert run.last["message"].startswith(f"Not all 2 ranks met at {address} within 2 seconds.")


def test_sigterm_while_it_waits_for_the_others_ends_it_at_once(trainer):
    waiting = trainer.start(type=TYPE, train="wine", **{**WAITING, "TRAINYARD_RANK": "1"})
    assert waiting.process.stdout is not None
    for text in waiting.process.stdout:
        if "waiting for the others" in text:
            break
    run, took = waiting.end(signal.SIGTERM)
    assert run.code == 0
    assert took < 5
    assert run.verdict["complete"] is False
    assert "nothing to save" in run.verdict["message"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        pytest.param({"type": "random_forest"}, "random_forest runs in one process", id="another type"),
        pytest.param({"action": "evaluate"}, "evaluate runs in one process", id="another action"),
        pytest.param(
            {"type": TYPE, "JAX_COORDINATOR_ADDRESS": "somewhere"},
            'does not say where they meet (it is "somewhere")',
            id="no port to meet at",
        ),
        pytest.param({"type": TYPE, "TRAINYARD_RANK": "2"}, "This is rank 2 of 2", id="a rank too high"),
        pytest.param(
            {"type": TYPE, "JAX_NUM_PROCESSES": "two"}, 'but is "two"', id="a number of ranks that is none"
        ),
    ],
)
def test_several_ranks_where_they_cannot_be_are_refused(trainer, options, says):
    run, _ = trainer.start(train="wine", **{**WAITING, **options}).end()
    assert run.code == 2
    assert run.last["status"] == "FAILURE"
    assert says in run.last["message"]


@pytest.fixture
def without_jax(tmp_path):
    """What makes a process as one of the image that has no jax."""
    folder = tmp_path / "without"
    folder.mkdir()
    (folder / "jax.py").write_text("raise ImportError('there is no jax here')\n")
    source = Path(__file__).resolve().parents[1] / "src"
    return {"PYTHONPATH": f"{folder}:{source}"}


@pytest.mark.parametrize(
    ("action", "left"),
    [
        ("evaluate", "metrics.json"),
        pytest.param("inference", "predictions.csv", marks=SOAK),
        pytest.param("export", "model.onnx", marks=SOAK),
        pytest.param("prune", "model.joblib", marks=SOAK),
    ],
)
def test_all_that_is_done_with_the_model_needs_no_jax(trainer, whole, without_jax, action, left):
    trained = whole.runs[0]
    process = trainer.start(action=action, type=TYPE, train="wine", parent=trained.output, **without_jax)
    run, _ = process.end()
    assert run.code == 0, run.text
    assert (run.output / left).is_file()
    if action == "evaluate":
        measured = {name: trained.verdict["metrics"][name] for name in run.verdict["metrics"]}
        assert run.verdict["metrics"] == measured


def test_training_without_jax_is_refused(trainer, without_jax):
    refused, _ = trainer.start(type=TYPE, train="wine", **without_jax).end()
    assert refused.code == 2
    assert refused.last["message"].startswith(f"This image has no jax, which {TYPE} trains with.")


@SOAK
def test_several_ranks_retrain_a_pruned_model_and_what_was_pruned_stays_zero(trainer, whole):
    pruned = trainer.run(action="prune", type=TYPE, train="wine", parent=whole.runs[0].output)
    zeros = network_of(pruned).coefs_[0] == 0
    assert zeros.any()
    options = {"action": "retrain", "train": "wine", "parent": pruned.output, "parameters": {"epochs": 3}}
    runs = Team(trainer, 2, **options).end()
    assert [run.code for run in runs] == [0, 0], runs[0].text
    assert not network_of(runs[0]).coefs_[0][zeros].any()
    assert runs[0].last["message"].startswith(f"retrained {TYPE} to accuracy")
