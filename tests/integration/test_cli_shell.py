"""The command line in a shell: completion, kubectl's plugin, terminals, permissions, clusters that are not ours."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.commandline import Cli, a_status
from tests.harness import binaries, cache, console, controlplane
from tests.harness.controlplane import ControlPlane
from tests.harness.controlplane_commands import ControlPlaneConfig
from tests.harness.operator import REPOSITORY
from tests.objects import Jobs, found, manifest
from trainyard.cli.connection import OPERATOR_SELECTOR

pytestmark = pytest.mark.timeout(120)

JOB = yaml.safe_dump(manifest("TrainingJob", "resnet", {"image": "example.com/trainer:1"}))


@pytest.fixture
def cli(plane: ControlPlane, namespace: str) -> Cli:
    return Cli(plane.admin, namespace)


def test_a_kind_that_is_not_served_means_that_trainyard_is_not_installed() -> None:
    with controlplane.running("test-cli-bare", ControlPlaneConfig()) as bare:
        cli = Cli(bare.admin, "default")
        every = (
            ["get"],
            ["get", "resnet"],
            ["get", "-w"],
            ["pause", "resnet"],
            ["resume", "--all"],
            ["submit", "-"],
        )
        for arguments in every:
            result = cli(*arguments, stdin=JOB)
            assert (result.exit_code, result.stdout) == (1, "")
            assert result.stderr == (
                "Error: Trainyard is not installed in this cluster: install its chart, or choose another cluster by "
                "--context.\n"
            )


def test_the_role_edit_of_a_namespace_is_enough(plane: ControlPlane, jobs: Jobs) -> None:
    helm, chart = binaries.ensure("helm")["helm"], REPOSITORY / "charts" / "trainyard"
    argv = [str(helm), "template", "trainyard", str(chart), "--kube-version=1.34.4"]
    roles = console.capture(
        [*argv, "--show-only=templates/aggregated-roles.yaml"], log=cache.root() / "helm-template.log"
    )
    for role in yaml.safe_load_all(roles):
        jobs.client.apply(role)
    jobs.client.post(
        f"/apis/rbac.authorization.k8s.io/v1/namespaces/{jobs.namespace}/rolebindings",
        {
            "metadata": {"name": "dana"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "dana"}],
        },
    )
    cli = Cli(plane.kubeconfig("dana"), jobs.namespace)
    found(lambda: cli("submit", "-", stdin=JOB).exit_code == 0, what="the role to be aggregated")
    for arguments in (
        ["get"],
        ["get", "resnet"],
        ["pause", "resnet"],
        ["cancel", "resnet"],
        ["resume", "resnet"],
    ):
        result = cli(*arguments)
        assert (result.exit_code, result.stderr) == (0, ""), result.stderr
    assert cli("delete", "resnet", "--yes", "--wait").exit_code == 0


def test_the_operator_is_found_by_labels_that_no_name_of_the_release_changes() -> None:
    helm, chart = binaries.ensure("helm")["helm"], REPOSITORY / "charts" / "trainyard"
    argv = [str(helm), "template", "mine", str(chart), "--kube-version=1.34.4", "--set=nameOverride=other"]
    shown = console.capture(
        [*argv, "--show-only=templates/deployment.yaml"], log=cache.root() / "helm-template.log"
    )
    deployment = yaml.safe_load(shown)
    asked = dict(label.split("=") for label in OPERATOR_SELECTOR.split(","))
    for labels in (deployment["metadata"]["labels"], deployment["spec"]["template"]["metadata"]["labels"]):
        assert labels["app.kubernetes.io/name"] == "other"
        assert labels.items() >= asked.items()


@pytest.mark.parametrize(
    ("arguments", "may_not"),
    [
        (["get"], "list trainingjobs.trainyard.dev"),
        (["get", "resnet"], "get trainingjobs.trainyard.dev"),
        (["submit", "-"], "create trainingjobs.trainyard.dev"),
        (["cancel", "resnet"], "get trainingjobs.trainyard.dev"),
    ],
    ids=["list", "get", "create", "cancel"],
)
def test_says_which_permission_is_missing(
    plane: ControlPlane, namespace: str, arguments: list[str], may_not: str
) -> None:
    result = Cli(plane.kubeconfig("mallory"), namespace)(*arguments, stdin=JOB)
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"You (mallory) may not {may_not} in namespace {namespace}; ask an administrator" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.fixture
def completes(plane: ControlPlane, jobs: Jobs) -> dict[str, str]:
    jobs.create("resnet-50")
    jobs.create("resnet-101")
    return {"KUBECONFIG": str(plane.admin)}


def complete(env: dict[str, str], line: str) -> list[str]:
    words = line.split(" ")
    asked = {"_TRAINYARD_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    argv = [*Cli(Path(), "").argv("x")[:3]]
    done = subprocess.run(
        argv, env={**os.environ, **env, **asked}, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_completes_what_the_cluster_knows(completes: dict[str, str], jobs: Jobs) -> None:
    where = f"-n {jobs.namespace}"
    assert complete(completes, f"trainyard pause {where} res") == ["resnet-101", "resnet-50"]
    assert complete(completes, f"trainyard logs {where} resnet-5") == ["resnet-50"]
    assert complete(completes, f"trainyard get {where} dat") == ["datasets"]
    assert complete(completes, f"trainyard get {where} tj ") == ["resnet-101", "resnet-50"]
    assert complete(completes, f"trainyard get -n {jobs.namespace[:-1]}") == [jobs.namespace]
    assert complete(completes, "trainyard get --context harness") == ["harness-admin"]
    jobs.client.post(jobs.path("experiments"), manifest("Experiment", "tune", {}))
    assert complete(completes, f"trainyard pause {where} experiment t") == ["tune"]
    assert complete(completes, f"trainyard watch {where} exp/t") == ["exp/tune"]
    assert complete(completes, f"trainyard plot {where} experiment t") == ["tune"]
    assert complete(completes, "trainyard export ") == ["experiment"]
    assert complete(completes, "trainyard pa") == ["pause"]
    dataset = manifest("Dataset", "digits", {"type": "tabular"})
    jobs.client.post(jobs.path("datasets"), dataset)
    assert complete(completes, f"trainyard describe {where} dataset di") == ["digits"]
    assert complete(completes, "trainyard push ") == ["dataset"]
    assert complete(completes, f"trainyard push {where} dataset . ") == ["digits"]
    assert complete(completes, f"trainyard refresh {where} dataset d") == ["digits"]


LOGIN_FAILS = """{apiVersion: v1, kind: Config, current-context: c,
users: [{name: u, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: /none, interactiveMode: Never}}}],
clusters: [{name: k, cluster: {server: 'http://127.0.0.1:1'}}], contexts: [{name: c, context: {cluster: k, user: u}}]}
"""


@pytest.mark.parametrize("kubeconfig", [None, "]:", LOGIN_FAILS], ids=["no file", "a broken one", "no login"])
def test_completes_nothing_and_says_nothing_where_there_is_no_cluster(
    tmp_path: Path, kubeconfig: str | None
) -> None:
    if kubeconfig is not None:
        (tmp_path / "config").write_text(kubeconfig)
    env = {"KUBECONFIG": str(tmp_path / "config")}
    assert complete(env, "trainyard pause res") == []
    assert complete(env, "trainyard pause -n te") == []


def test_kubectl_completes_the_plugin(completes: dict[str, str], jobs: Jobs) -> None:
    code = "from trainyard.cli.completing import kubectl; kubectl()"
    argv = [Cli(Path(), "").argv("x")[0], "-c", code, "pause", "-n", jobs.namespace, "resnet-1"]
    done = subprocess.run(argv, env={**os.environ, **completes}, capture_output=True, text=True, check=False)
    assert (done.stderr, done.stdout.split()) == ("", ["resnet-101", ":4"])


def test_it_is_a_plugin_of_kubectl(plane: ControlPlane, jobs: Jobs, tmp_path: Path) -> None:
    jobs.create("resnet")
    kubectl = binaries.ensure("kubectl")["kubectl"]
    for name, call in (
        ("kubectl-trainyard", "from trainyard.cli import main; main()"),
        ("kubectl_complete-trainyard", "from trainyard.cli.completing import kubectl; kubectl()"),
    ):
        (tmp_path / name).write_text(f"#!{sys.executable}\n{call}\n")
        (tmp_path / name).chmod(0o755)
    path = os.pathsep.join([str(tmp_path), os.environ["PATH"]])
    env = {**os.environ, "PATH": path, "KUBECONFIG": str(plane.admin)}
    env["PYTHONPATH"] = os.pathsep.join(sys.path)

    def run(*arguments: str) -> str:
        argv = [str(kubectl), *arguments]
        done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run("trainyard", "get", "-n", jobs.namespace, "-o", "name") == "trainingjob.trainyard.dev/resnet\n"
    usage = run("trainyard", "pause", "--help")
    assert usage.startswith("Usage: kubectl trainyard pause")
    assert "--install-completion" not in run("trainyard", "--help")
    assert run("__complete", "trainyard", "pause", "-n", jobs.namespace, "re").split() == ["resnet", ":4"]


def on_a_terminal(argv: list[str], *, typed: str = "", **environment: str) -> tuple[int, str]:
    """The exit code, and what a terminal is shown."""
    ours, theirs = pty.openpty()
    env = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "TERM")}
    process = subprocess.Popen(
        argv, stdin=theirs, stdout=theirs, stderr=theirs, env={**env, "TERM": "xterm", **environment}
    )
    os.close(theirs)
    os.write(ours, typed.encode())
    shown = b""
    with contextlib.suppress(OSError):  # what a terminal answers when the other end has gone
        while chunk := os.read(ours, 4096):
            shown += chunk
    os.close(ours)
    return process.wait(timeout=20), shown.decode()


def test_colours_are_for_terminals_that_want_them(cli: Cli, jobs: Jobs) -> None:
    jobs.create("resnet")
    a_status(jobs, "resnet", "Done", "Completed")
    assert "\x1b" not in cli("get").stdout
    assert "\x1b[32mDone" in on_a_terminal(cli.argv("get"))[1]
    assert "\x1b" not in on_a_terminal(cli.argv("get"), NO_COLOR="1")[1]


def test_asks_on_a_terminal_before_it_deletes(cli: Cli, jobs: Jobs) -> None:
    jobs.create("resnet")
    code, shown = on_a_terminal(cli.argv("delete", "resnet"), typed="n\n")
    assert f"Delete TrainingJob resnet in namespace {jobs.namespace} (resnet not ended yet)? [y/N]" in shown
    assert (code, "Error: Nothing was done." in shown) == (1, True)
    assert jobs.get("resnet")
    assert on_a_terminal(cli.argv("delete", "resnet"), typed="y\n")[0] == 0
    assert jobs.client.find(jobs.path("trainingjobs", "resnet")) is None


def test_shows_one_job_that_is_waited_for_as_a_bar_on_a_terminal(cli: Cli, jobs: Jobs) -> None:
    jobs.create("resnet", suspend=True)
    a_status(jobs, "resnet", "Pending", "Paused", conditions={"Suspended": True}, progress={"percent": 30})
    code, shown = on_a_terminal(cli.argv("pause", "resnet", "--wait"))
    assert code == 0
    assert "already paused" in shown
    assert "━" in shown
