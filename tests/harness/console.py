"""What the harness says while it works, and the programs that it runs meanwhile.

Separate so that every long step looks the same: on a terminal one line with a spinner and the elapsed
time, in a CI log a line at its start, one every 30 s, and one at its end. Called by everything that
takes longer than a blink. Speaks on stderr: stdout belongs to results.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from tests.harness.errors import HarnessError

HEARTBEAT_SECONDS = 30.0
TAIL_LINES = 15

_console = Console(stderr=True, highlight=False, soft_wrap=True)


class Step:
    """One thing being done; `say` tells how far it is, `mark_cached` that it had been done before."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.detail = ""
        self.cached = False
        self.started = time.monotonic()

    def say(self, detail: str) -> None:
        """Sets what stands behind the title ("312/2100 packages"); shown at the next refresh."""
        self.detail = detail

    def mark_cached(self) -> None:
        self.cached = True

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.started

    def line(self) -> str:
        return f"{self.title}: {self.detail}" if self.detail else self.title


class _Display:
    """The spinners of the steps under way; nested steps share one live area."""

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._open = 0
        self._lock = threading.Lock()

    def add(self, title: str) -> tuple[Progress, TaskID]:
        with self._lock:
            if self._progress is None:
                columns = (
                    TextColumn("{task.fields[indent]}"),
                    SpinnerColumn(),
                    TextColumn("{task.description}"),
                    TimeElapsedColumn(),
                )
                self._progress = Progress(*columns, console=_console, transient=True)
                self._progress.start()
            task = self._progress.add_task(escape(title), total=None, indent="  " * self._open)
            self._open += 1
            return self._progress, task

    def remove(self, task: TaskID) -> None:
        with self._lock:
            assert self._progress is not None
            self._progress.remove_task(task)
            self._open -= 1
            if self._open == 0:
                self._progress.stop()
                self._progress = None


_display = _Display()


@contextlib.contextmanager
def step(title: str) -> Iterator[Step]:
    """Announces `title`, shows that it is alive, and says at its end how long it took."""
    current = Step(title)
    done = threading.Event()
    live = _console.is_terminal
    if live:
        progress, task = _display.add(title)

        def refresh() -> None:
            while not done.wait(0.2):
                progress.update(task, description=escape(current.line()))
    else:
        _console.print(escape(f"... {title}"))

        def refresh() -> None:
            while not done.wait(HEARTBEAT_SECONDS):
                _console.print(escape(f"... {current.line()} ({current.elapsed:.0f} s so far)"))

    thread = threading.Thread(target=refresh, name=f"heartbeat: {title}", daemon=True)
    thread.start()
    outcome = "[red]failed[/red]"
    try:
        yield current
        outcome = "[cyan]cached[/cyan]" if current.cached else "[green]ok[/green]"
    finally:
        done.set()
        thread.join()
        if live:
            _display.remove(task)
        _console.print(f"{outcome} {escape(current.line())} [dim]({current.elapsed:.1f} s)[/dim]")


def say(message: str) -> None:
    """One line that belongs to no step."""
    _console.print(escape(message))


def complain(error: Exception) -> None:
    """Prints an error for the person at the terminal."""
    _console.print(f"[red]error:[/red] {escape(str(error))}")


def run(
    argv: Sequence[str | Path],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str | None = None,
    timeout: float | None = None,
    on_line: Callable[[str], None] | None = None,
) -> None:
    """Runs a program to its end with both outputs appended to `log`.

    `env` is added to ours. `on_line` sees each line of output as it comes. Raises HarnessError, naming
    `log` and showing its last lines, if the program is missing, exits with other than 0 or takes longer
    than `timeout` seconds; whatever ends the call early also ends the program.
    """
    _run(argv, log=log, env=env, cwd=cwd, stdin=stdin, timeout=timeout, on_line=on_line, keep_stdout=False)


def capture(
    argv: Sequence[str | Path],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str | None = None,
    timeout: float | None = None,
) -> str:
    """Like `run`, but gives stdout; only stderr goes to `log`."""
    return _run(argv, log=log, env=env, cwd=cwd, stdin=stdin, timeout=timeout, on_line=None, keep_stdout=True)


def _run(
    argv: Sequence[str | Path],
    *,
    log: Path,
    env: Mapping[str, str] | None,
    cwd: Path | None,
    stdin: str | None,
    timeout: float | None,
    on_line: Callable[[str], None] | None,
    keep_stdout: bool,
) -> str:
    words = [str(word) for word in argv]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        output.write(f"$ {shlex.join(words)}\n".encode())
        output.flush()
        begin = output.tell()
        try:
            process = subprocess.Popen(
                words,
                stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
                stdout=subprocess.PIPE if keep_stdout else output,
                stderr=output,
                env={**os.environ, **(env or {})},
                cwd=cwd,
            )
        except OSError as error:
            output.write(f"{error}\n".encode())
            raise HarnessError(f"{words[0]} could not be started: {error.strerror}; see {log}.") from error
    follower = _Follower(log, begin, on_line) if on_line else None
    try:
        stdout, _ = process.communicate(stdin.encode() if stdin is not None else None, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise failure(f"{_short(words)} took longer than {timeout:g} s", log) from None
    finally:
        _end(process)
        if follower:
            follower.stop()
    if process.returncode != 0:
        raise failure(f"{_short(words)} failed with exit code {process.returncode}", log)
    return stdout.decode(errors="replace") if stdout else ""


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe:
            pipe.close()


def failure(what: str, log: Path) -> HarnessError:
    """The error for a program that failed: the sentence, its log's name and the log's last lines."""
    return HarnessError(f"{what}; its output is in {log}:\n{tail(log)}")


def tail(log: Path, lines: int = TAIL_LINES) -> str:
    """The last lines of a log, without terminal colours, indented."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 16_384))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return "  (no output)"
    text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)
    return "\n".join(f"  {line}" for line in text.rstrip().splitlines()[-lines:])


def _short(words: Sequence[str]) -> str:
    line = shlex.join([Path(words[0]).name, *words[1:]])
    return line if len(line) <= 120 else line[:117] + "..."


class _Follower:
    """Reads a growing log and hands on its lines; a file rather than a pipe keeps the log complete."""

    def __init__(self, log: Path, begin: int, on_line: Callable[[str], None]) -> None:
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._follow, args=(log, begin, on_line), daemon=True)
        self._thread.start()

    def _follow(self, log: Path, begin: int, on_line: Callable[[str], None]) -> None:
        with log.open(errors="replace") as file:
            file.seek(begin)
            partial = ""
            while True:
                last_pass = self._stopped.is_set()
                *lines, partial = (partial + file.read()).split("\n")
                for line in lines:
                    on_line(line)
                if last_pass:
                    return
                self._stopped.wait(0.2)

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()
