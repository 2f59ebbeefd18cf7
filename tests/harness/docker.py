"""Which Docker daemon to use: the user's where one answers, else one of our own.

Separate so that everything after the choice is the same for both: an `Engine` runs `docker` and `kind`
with the right address. Called by `kindcluster`, `node_image` and `images`.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.harness import cache, console, debian, dockerd
from tests.harness.errors import HarnessError

PULL_SECONDS = 600.0


@dataclass(frozen=True)
class Engine:
    """A Docker daemon that answers, and the client for it."""

    client: Path
    # None: as the user's environment and Docker context say.
    address: str | None

    @property
    def ours(self) -> bool:
        return self.address is not None

    @property
    def environment(self) -> dict[str, str]:
        """What `docker`, and `kind`, which calls it, need in their environment."""
        if self.address is None:
            return {}
        # NB: the client of a user's may sit elsewhere on PATH; ours must not hide it, only follow it.
        path = debian.environment(dockerd.programs())["PATH"]
        return {"DOCKER_HOST": self.address, "DOCKER_CONTEXT": "", "DOCKER_BUILDKIT": "0", "PATH": path}

    def run(self, *arguments: str | Path, log: Path | None = None, timeout: float | None = None) -> None:
        """`docker ARGUMENT...`, to its end."""
        console.run(
            [self.client, *arguments], log=log or default_log(), env=self.environment, timeout=timeout
        )

    def output(self, *arguments: str | Path, timeout: float | None = None) -> str:
        """What `docker ARGUMENT...` prints."""
        return console.capture(
            [self.client, *arguments], log=default_log(), env=self.environment, timeout=timeout
        )

    def succeeds(self, *arguments: str | Path, timeout: float | None = None) -> bool:
        """Whether `docker ARGUMENT...` exits with 0."""
        try:
            self.run(*arguments, timeout=timeout)
        except HarnessError:
            return False
        return True

    def has_image(self, image: str) -> bool:
        return self.succeeds("image", "inspect", "--format", "{{.Id}}", image)

    def can_have(self, image: str) -> bool:
        """Whether an image is there or, after this call, has been pulled."""
        if self.has_image(image):
            return True
        with console.step(f"Pulling {image}") as step:
            pulled = self.succeeds("pull", "--quiet", image, timeout=PULL_SECONDS)
            if not pulled:
                step.say("it cannot be had from here")
            return pulled

    def containers(self, *filters: str) -> list[str]:
        """The names of containers, running or not."""
        words = [word for one in filters for word in ("--filter", one)]
        return self.output("ps", "--all", "--format", "{{.Names}}", *words).split()


def default_log() -> Path:
    return cache.root() / "logs" / "docker.log"


def running() -> list[Engine]:
    """The daemons that answer: the user's, and ours."""
    users = _users()
    return [*([users] if users else []), *([_ours()] if dockerd.answers() else [])]


def check() -> None:
    """Raises HarnessError on machines where neither a user's daemon answers nor one of ours can run."""
    obstacle = None if _users() else dockerd.possible()
    if obstacle is not None:
        raise HarnessError(
            f"No Docker daemon answers, and one of our own cannot be started because {obstacle}:"
            " start Docker, or run as root on Debian 12."
        )


def ensure() -> Engine:
    """A daemon that answers: the user's, else ours, started if need be. Raises HarnessError as `check` does."""
    check()
    users = _users()
    if users is not None:
        return users
    dockerd.start()
    return _ours()


@functools.cache
def _users() -> Engine | None:
    client = shutil.which("docker")
    if client is None or not _answers([client, "version", "--format", "{{.Server.Version}}"]):
        return None
    return Engine(client=Path(client), address=None)


def _ours() -> Engine:
    installed = shutil.which("docker")
    return Engine(client=Path(installed) if installed else dockerd.client(), address=dockerd.address())


def _answers(argv: Sequence[str]) -> bool:
    try:
        return subprocess.run(argv, capture_output=True, timeout=20).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
