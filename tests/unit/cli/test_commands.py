"""What the command line does without a cluster."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from trainyard import __version__
from trainyard.cli import main
from trainyard.cli.exits import ExitCode
from trainyard.logs.store import LogStore

UID = "0e6ad5a1-6a5f-4b5d-9d8e-7f5a3c2b1d00"


VISIBLE = (
    "submit", "get", "describe", "watch", "logs", "download", "pause", "resume", "cancel", "retry", "delete",
    "recommend", "train", "card", "alias", "deprecate", "archive", "activate", "push", "refresh", "plot", "export",
    "runtimes", "schema", "release", "run", "version",
)  # fmt: skip


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_help_names_the_commands_for_people_and_hides_the_others() -> None:
    result = call("--help")
    assert result.exit_code == 0
    for name in VISIBLE:
        assert f"  {name} " in result.stdout
    assert "stored-log" not in result.stdout


@pytest.mark.parametrize("command", [*VISIBLE, "stored-log"])
def test_every_command_explains_itself(command: str) -> None:
    result = call(command, "--help")
    assert result.exit_code == 0
    assert result.stdout.startswith("Usage: ")


def test_prints_the_version() -> None:
    assert call("version").stdout == f"trainyard {__version__}\n"
    assert call("--version").stdout == f"trainyard {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "unwanted"),
    [
        pytest.param(
            ["--help"], ["kubernetes", "aiohttp", "kopf", "rich", "pydantic"], id="help loads next to nothing"
        ),
        pytest.param(["run", "--help"], ["rich"], id="the operator does not load what draws"),
        pytest.param(["logs", "--help"], ["kopf", "rich"], id="logs load no operator"),
        pytest.param(
            ["train", "--help"],
            ["kopf", "rich", "trainyard.api.mlmodel"],
            id="training loads no models of the API",
        ),
        pytest.param(
            ["recommend", "--help"],
            ["kopf", "rich", "trainyard.api.modelstatus"],
            id="a recommendation loads none, too",
        ),
    ],
)
def test_loads_only_what_it_needs(arguments: list[str], unwanted: list[str]) -> None:
    call_main = f"main({arguments!r}, standalone_mode=False)"
    code = f"import sys; from trainyard.cli import main; {call_main}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    loaded = set(done.stdout.split())
    assert "typer" in loaded
    assert not loaded.intersection(unwanted)


@pytest.mark.parametrize("command", ["logs", "watch", "get", "pause", "cancel"])
@pytest.mark.parametrize(
    ("content", "arguments", "sentence"),
    [
        pytest.param(None, [], "There is no cluster to talk to", id="no kubeconfig"),
        pytest.param("]:", [], "The kubeconfig cannot be read", id="a broken kubeconfig"),
        pytest.param("", [], "KUBECONFIG is no kubeconfig; name another", id="an empty kubeconfig"),
        pytest.param(
            "{apiVersion: v1, kind: Config, clusters: [], users: [], contexts: [], current-context: ''}",
            ["--context", "absent"],
            "There is no cluster to talk to",
            id="an unknown context",
        ),
        pytest.param(
            "{apiVersion: v1, kind: Config, current-context: c, users: [{name: u, user: {}}],"
            " clusters: [{name: k, cluster: {server: 'http://127.0.0.1:1'}}],"
            " contexts: [{name: c, context: {cluster: k, user: u, namespace: team}}]}",
            [],
            "The cluster does not answer",
            id="a cluster that does not answer",
        ),
    ],
)
def test_says_in_one_sentence_what_is_wrong_with_the_cluster(
    tmp_path: Path, command: str, content: str | None, arguments: list[str], sentence: str
) -> None:
    kubeconfig = tmp_path / "config"
    if content is not None:
        kubeconfig.write_text(content)
    result = call(command, "resnet", "--kubeconfig", str(kubeconfig), *arguments)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith(f"Error: {sentence.replace('KUBECONFIG', str(kubeconfig))}")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("kubeconfig", "sentence"),
    [
        pytest.param("{0}/none", "$KUBECONFIG names {0}/none, which does not exist", id="a file"),
        pytest.param(
            "{0}/none:{0}/gone", "$KUBECONFIG names {0}/none:{0}/gone, which does not exist", id="two files"
        ),
        pytest.param(
            "", "the default is ~/.kube/config, which does not exist", id="nothing, as if it were not set"
        ),
        pytest.param(None, "the default is ~/.kube/config, which does not exist", id="the default"),
    ],
)
def test_says_which_kubeconfig_does_not_exist(tmp_path: Path, kubeconfig: str | None, sentence: str) -> None:
    # NB: in a process of its own, as the official client reads the variable when it is imported.
    env = {"PYTHONPATH": ":".join(sys.path), "HOME": str(tmp_path)}
    if kubeconfig is not None:
        env["KUBECONFIG"] = kubeconfig.format(tmp_path)
    code = "from trainyard.cli import main; main(['logs', 'resnet'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=env)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"Error: There is no cluster to talk to: {sentence.format(tmp_path)}; name another by --kubeconfig.\n"
    )


def test_an_empty_variable_is_as_absent(tmp_path: Path) -> None:
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube" / "config").write_text(
        "{apiVersion: v1, kind: Config, current-context: c, users: [{name: u, user: {}}],"
        " clusters: [{name: k, cluster: {server: 'http://127.0.0.1:1'}}],"
        " contexts: [{name: c, context: {cluster: k, user: u, namespace: team}}]}"
    )
    env = {"PYTHONPATH": ":".join(sys.path), "HOME": str(tmp_path), "KUBECONFIG": ""}
    code = (
        "from trainyard.cli import connection, main; print(connection.default_namespace(connection.Where()));"
        " main(['get', 'resnet'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=env)
    assert (done.returncode, done.stdout) == (1, "team\n")
    assert done.stderr.startswith("Error: The cluster does not answer: ")


def test_a_watch_takes_whole_seconds_from_one_on() -> None:
    for wrong in ("0", "-1", "soon", "nan"):
        assert call("watch", "resnet", "--timeout", wrong).exit_code == 2


def test_the_operator_does_not_start_with_wrong_settings(tmp_path: Path) -> None:
    settings = tmp_path / "settings.yaml"
    settings.write_text("worker: 3\n")
    result = call("run", "--config", str(settings))
    assert result.exit_code == 1
    assert "worker" in result.stderr


def stored_log(tmp_path: Path, *extra: str, attempt: int = 0) -> Result:
    settings = tmp_path / "settings.yaml"
    settings.write_text(f"logs: {{store: '{tmp_path.as_uri()}'}}\n")
    named = ["--namespace", "team", "--uid", UID, "--attempt", str(attempt), "--rank", "0"]
    return call("stored-log", "--config", str(settings), *named, *extra)


async def test_prints_a_stored_log_with_its_stamps(tmp_path: Path) -> None:
    store = LogStore(tmp_path.as_uri())
    file = store.file(namespace="team", uid=UID, attempt=0, rank=0)
    file.append([(b"2025-03-09T07:05:09Z", b"hello"), (b"2025-03-09T07:05:10Z", "é\xff".encode("latin-1"))])
    await store.flush([file])
    result = stored_log(tmp_path)
    assert result.exit_code == 0
    assert result.stdout_bytes == b"2025-03-09T07:05:09Z hello\n2025-03-09T07:05:10Z \xe9\xff\n"


@pytest.mark.parametrize(
    ("extra", "sentence"),
    [
        pytest.param(
            (),
            "No log of attempt 0, rank 0 is kept; logs.retentionDays of the operator says for how long.",
            id="a log that is not there",
        ),
        pytest.param(("--uid", "../../etc"), "'../../etc' is not a UID.", id="a UID that climbs"),
        pytest.param(
            ("--namespace", ".."), "'..' is not the name of a namespace.", id="a namespace that climbs"
        ),
    ],
)
def test_refuses_a_stored_log(tmp_path: Path, extra: tuple[str, ...], sentence: str) -> None:
    result = stored_log(tmp_path, *extra)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == f"Error: {sentence}\n"


def table_of(heading: str) -> list[list[str]]:
    """The first table after a heading of docs/cli.md, without its titles."""
    text = (Path(__file__).parents[3] / "docs" / "cli.md").read_text(encoding="utf-8")
    lines = text.partition(heading)[2].splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("|---"))
    rows = itertools.takewhile(lambda line: line.startswith("|"), lines[first + 1 :])
    return [[cell.strip() for cell in row.replace("\\|", "/").strip("|").split("|")] for row in rows]


def test_the_documentation_has_every_exit_code() -> None:
    assert [int(row[0]) for row in table_of("## Exit codes")] == list(ExitCode)


def test_the_documentation_has_every_command() -> None:
    assert tuple(row[0].strip("`").split()[0] for row in table_of("# The command line")) == VISIBLE
