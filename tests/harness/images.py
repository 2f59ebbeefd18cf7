"""Our container images, built by `docker build` from images/<name>/Dockerfile.

Separate from `kindcluster`, which loads them: they are built once for all clusters. Where the public base
image cannot be pulled they start from a Debian root made here, and where a build reaches no index their
wheels are fetched outside. Called by the fixtures of tests/e2e, by the demo and by `make image`.
"""

from __future__ import annotations

import os
import shutil
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.harness import binaries, cache, console, debian, docker, dockerd, scratch
from tests.harness.docker import Engine
from tests.harness.errors import HarnessError

REPOSITORY = Path(__file__).parents[2]
PUBLIC_BASE = "python:3.11-slim"
# Debian 12's Python is 3.11, too.
BASE_PYTHON = "3.11"
BASE_PACKAGES = ("python3", "python3-pip", "python3-venv", "ca-certificates")
BUILD_TOOLS = ("pip", "setuptools>=77")
BUILD_SECONDS = 1800.0
PUSH_SECONDS = 1800.0
# Of each image; older ones are removed from Docker.
KEPT_VERSIONS = 3

Name = Literal["operator", "agent", "data", "tuner", "publisher", "trainer", "trainer-jax"]


@dataclass(frozen=True)
class Recipe:
    """What goes into an image: files of the repository, by their place in the build's context.

    `extras` are those of its pyproject.toml that are installed, too; with `tell` its Dockerfile is told them.
    """

    files: dict[str, str]
    extras: tuple[str, ...] = ()
    tell: bool = False

    def paths(self) -> list[tuple[str, Path]]:
        return [(place, REPOSITORY / source) for place, source in sorted(self.files.items())]


_TRAINER = {
    "Dockerfile": "images/trainer/Dockerfile",
    "pyproject.toml": "images/trainer/pyproject.toml",
    "src": "images/trainer/src",
}
RECIPES: dict[Name, Recipe] = {
    "operator": Recipe(
        {
            "Dockerfile": "images/operator/Dockerfile",
            "operator": "operator",
            "pyproject.toml": "pyproject.toml",
        },
        extras=("s3",),
    ),
    "agent": Recipe(
        {
            "Dockerfile": "images/agent/Dockerfile",
            "pyproject.toml": "images/agent/pyproject.toml",
            "src": "images/agent/src",
        },
        extras=("s3", "gcs", "abfs"),
        tell=True,
    ),
    "data": Recipe(
        {
            "Dockerfile": "images/data/Dockerfile",
            "pyproject.toml": "images/data/pyproject.toml",
            "src": "images/data/src",
        }
    ),
    "tuner": Recipe(
        {
            "Dockerfile": "images/tuner/Dockerfile",
            "pyproject.toml": "images/tuner/pyproject.toml",
            "src": "images/tuner/src",
        }
    ),
    "publisher": Recipe(
        {
            "Dockerfile": "images/publisher/Dockerfile",
            "pyproject.toml": "images/publisher/pyproject.toml",
            "src": "images/publisher/src",
        }
    ),
    "trainer": Recipe(_TRAINER),
    "trainer-jax": Recipe(_TRAINER, extras=("jax",), tell=True),
}


def ensure(*names: Name) -> dict[Name, str]:
    """The images' references by name, built where Docker does not have them.

    The tag is a digest of the sources, so that another reference means another image and the other way
    round. Raises HarnessError if a build fails; its output is in the log that is named.
    """
    engine = docker.ensure()
    return {name: _ensure(engine, name) for name in names}


def reference(name: Name) -> str:
    """What the image of the present sources is called, whether or not it is built."""
    parts: list[str | Path] = [name, binaries.architecture()]
    for place, path in RECIPES[name].paths():
        if not path.exists():
            raise HarnessError(f"The image {name} cannot be built: {path} is not there.")
        parts += [place, path]
    return f"trainyard/{name}:{cache.digest_of(*parts)}"


def push(engine: Engine, built: str, prefix: str) -> str:
    """Pushes an image under `prefix`, a registry and perhaps a path in it; gives its name there.

    As who is Docker's own business (`docker login`). Raises HarnessError if the registry does not take it.
    """
    target = f"{prefix.rstrip('/')}/{built.replace('/', '-')}"
    with console.step(f"Pushing {target}"):
        engine.run("tag", built, target)
        engine.run("push", target, timeout=PUSH_SECONDS)
    return target


def _ensure(engine: Engine, name: Name) -> str:
    image = reference(name)
    if engine.has_image(image):
        return image
    with scratch.folder(f"image-{name}") as folder:
        if not engine.has_image(image):
            base = _base(engine)
            wheels = _wheels(name) if engine.ours else None
            _fill_context(folder, name, wheels)
            _build(engine, name, image, folder, base=base)
            _remove_old(engine, name)
    return image


def _build(engine: Engine, name: Name, image: str, folder: Path, *, base: str) -> None:
    log = cache.root() / "logs" / f"image-{name}.log"
    log.unlink(missing_ok=True)
    recipe = RECIPES[name]
    told = ["--build-arg", f"EXTRAS={','.join(recipe.extras)}"] if recipe.tell else []
    with console.step(f"Building the image {image}") as step:
        console.run(
            [
                *(engine.client, "build", "--network", "host", "--build-arg", f"BASE={base}"),
                *told,
                *("--tag", image, folder),
            ],
            log=log,
            env=engine.environment,
            timeout=BUILD_SECONDS,
            on_line=lambda line: step.say(line[:80]) if line.startswith("Step ") else None,
        )


def _fill_context(folder: Path, name: Name, wheels: Path | None) -> None:
    """Makes the folder what is sent to Docker: the recipe's files, and `wheels/` if there are any to use."""
    for place, path in RECIPES[name].paths():
        if path.is_dir():
            shutil.copytree(path, folder / place, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(path, folder / place)
    (folder / "wheels").mkdir()
    for wheel in sorted(wheels.glob("*.whl")) if wheels else ():
        os.link(wheel, folder / "wheels" / wheel.name)


def _wheels(name: Name) -> Path:
    """A folder with the wheels of everything that an image installs, fetched on this side of the build."""
    pyproject = dict(RECIPES[name].paths())["pyproject.toml"]
    project = tomllib.loads(pyproject.read_text())["project"]
    extras = [one for extra in RECIPES[name].extras for one in project["optional-dependencies"][extra]]
    required = [*project["dependencies"], *extras, *BUILD_TOOLS]
    log = cache.root() / "logs" / f"wheels-{name}.log"

    def fetch(folder: Path) -> None:
        with console.step(f"Fetching the wheels of the image {name}"):
            argv = [sys.executable, "-m", "pip", "download", "--only-binary=:all:", f"--dest={folder}"]
            console.run([*argv, *_target(), *required], log=log)

    return cache.built("wheels", cache.digest_of(*required, *_target(), binaries.architecture()), fetch)


def _target() -> list[str]:
    """pip's words for the Python in the image, where the one that runs this is another."""
    if sys.version_info[:2] == tuple(int(number) for number in BASE_PYTHON.split(".")):
        return []
    machine = os.uname().machine
    platforms = [f"manylinux{version}_{machine}" for version in ("2014", "_2_17", "_2_28", "_2_34")]
    words = [word for platform in platforms for word in ("--platform", platform)]
    return [*words, "--python-version", BASE_PYTHON, "--implementation", "cp"]


def base() -> str:
    """The image with Python that ours start from; tests make their own pods of it."""
    return _base(docker.ensure())


def _base(engine: Engine) -> str:
    ours = f"trainyard.dev/python:{BASE_PYTHON}-{cache.digest_of(debian.RELEASE, *BASE_PACKAGES)}"
    if engine.has_image(ours):
        return ours
    if engine.can_have(PUBLIC_BASE):
        return PUBLIC_BASE
    if not debian.usable():
        raise HarnessError(
            f"The image {PUBLIC_BASE} cannot be pulled, and making one needs root on Debian 12:"
            " pull or load it into Docker by hand."
        )
    log = cache.root() / "logs" / "base-image.log"
    archive = debian.root_archive(BASE_PACKAGES, log=log)
    with console.step("Making a base image with Python"):
        engine.run("import", "--change", "CMD python3", archive, ours, log=log)
    return ours


def _remove_old(engine: Engine, name: Name) -> None:
    """Keeps the newest few: each edit of a source makes another image, and a stage that it was built in."""
    listing = engine.output("images", "--format", "{{.Repository}}:{{.Tag}}", f"trainyard/{name}")
    for image in listing.split()[KEPT_VERSIONS:]:
        # One that a container of a user's holds stays.
        engine.succeeds("rmi", image)
    if engine.ours:
        engine.succeeds("image", "prune", "--force", "--filter", "until=12h")


def main() -> None:
    """`python -m tests.harness.images NAME...`: builds images and prints their references."""
    try:
        for image in ensure(*(name for name in RECIPES if name in sys.argv[1:] or not sys.argv[1:])).values():
            print(image)
        engine = docker.ensure()
        if engine.ours and not engine.containers():
            # Nobody else would end it where there is no cluster.
            dockerd.stop()
    except HarnessError as error:
        console.complain(error)
        sys.exit(1)


if __name__ == "__main__":
    main()
