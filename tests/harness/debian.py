"""Debian packages where nothing is installed: programs unpacked into the cache, and whole root folders.

Separate because three things are made of packages: our own Docker daemon (`dockerd`), the node image and
the base image of our containers. Reads the machine's own apt sources; changes nothing outside the cache
but apt's package lists.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.harness import cache, console, scratch
from tests.harness.errors import HarnessError

# The release that roots are made of, whatever release the machine runs.
RELEASE = "bookworm"

LIBRARIES = ("lib/x86_64-linux-gnu", "lib/aarch64-linux-gnu")


def usable() -> bool:
    """Whether this machine can unpack packages and make roots of them."""
    return os.geteuid() == 0 and all(shutil.which(name) for name in ("apt-get", "dpkg-deb"))


def unpacked(packages: Sequence[str], *, log: Path) -> Path:
    """A folder with the packages, and what they depend on and this machine lacks, unpacked in it."""

    def unpack(folder: Path) -> None:
        with console.step(f"Unpacking Debian's {', '.join(packages)}") as step:
            archives = folder / "archives"
            (archives / "partial").mkdir(parents=True)
            _download(packages, archives, log=log)
            found = sorted(archives.glob("*.deb"))
            for number, archive in enumerate(found, start=1):
                step.say(f"{number}/{len(found)}")
                console.run(["dpkg-deb", "--extract", archive, folder], log=log)
            cache.remove_tree(archives)
            _link_alternatives(folder)

    return cache.built("images", cache.digest_of("packages with alternatives", *packages, _machine()), unpack)


def _link_alternatives(folder: Path) -> None:
    """Gives programs the names that only an installation would give them (update-alternatives)."""
    for program in ("iptables", "ip6tables"):
        if (folder / "usr/sbin" / f"{program}-nft").is_symlink():
            (folder / "usr/sbin" / program).symlink_to(f"{program}-nft")


def environment(folder: Path) -> dict[str, str]:
    """The variables with which programs unpacked into `folder` find one another and their libraries."""
    programs = [folder / part for part in ("usr/sbin", "usr/bin", "sbin", "bin")]
    libraries = [folder / prefix / part for prefix in ("usr", ".") for part in LIBRARIES]
    found = [path for path in libraries if path.exists()]
    return {
        "PATH": ":".join([*map(str, programs), os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")]),
        "LD_LIBRARY_PATH": ":".join(str(path) for path in found),
        # Extensions of iptables ("--dport"), without which Docker's name server is not reached.
        "XTABLES_LIBDIR": ":".join(str(path / "xtables") for path in found),
    }


def root_archive(packages: Sequence[str], *, log: Path) -> Path:
    """A tar of a minimal Debian's root folder that has `packages`, without manuals and package lists."""
    # NB: of packages in the state of the day they were first asked for.
    digest = cache.digest_of("root", RELEASE, os.uname().machine, *sorted(packages))

    def make(folder: Path) -> None:
        title = f"Installing Debian with {packages[0]} and {len(packages) - 1} more into a folder"
        with scratch.folder(f"root-{digest}") as work, console.step(title):
            _bootstrap(work / "root", packages, log=log)
            argv = ["tar", "--create", "--numeric-owner", "--xattrs", f"--directory={work / 'root'}"]
            console.run([*argv, f"--file={folder / 'root.tar'}", "."], log=log)

    return cache.built("images", digest, make) / "root.tar"


def _bootstrap(target: Path, packages: Sequence[str], *, log: Path) -> None:
    tools = unpacked(("debootstrap", "debian-archive-keyring"), log=log)
    keyring = tools / "usr/share/keyrings/debian-archive-keyring.gpg"
    console.run(
        [
            tools / "usr/sbin/debootstrap",
            "--variant=minbase",
            f"--include={','.join(packages)}",
            *([f"--keyring={keyring}"] if keyring.exists() else []),
            RELEASE,
            target,
            mirror(),
        ],
        log=log,
        env={**environment(tools), "DEBOOTSTRAP_DIR": str(tools / "usr/share/debootstrap")},
    )
    for waste in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale"):
        cache.remove_tree(target / waste)


def mirror() -> str:
    """The address of the Debian mirror that this machine's apt uses.

    Raises HarnessError where apt knows no Debian mirror.
    """
    wanted = "$(ORIGIN) $(COMPONENT) $(REPO_URI)"
    lines = _indexes(wanted)
    if not lines:
        _update_lists()
        lines = _indexes(wanted)
    for line in lines:
        origin, component, address = line.split(" ", 2)
        if (origin, component) == ("Debian", "main") and "security" not in address:
            return address
    raise HarnessError(
        "No Debian mirror is among this machine's apt sources, and node images are made of it."
    )


def _indexes(wanted: str) -> list[str]:
    argv = ["apt-get", "indextargets", "--format", wanted, "Identifier: Packages"]
    return subprocess.run(argv, capture_output=True, text=True).stdout.splitlines()


def _update_lists() -> None:
    with console.step("Updating apt's package lists"):
        console.run(["apt-get", "update"], log=cache.root() / "logs" / "apt.log")


def _download(packages: Sequence[str], archives: Path, *, log: Path) -> None:
    argv = ["apt-get", "install", "--yes", "--no-install-recommends", "--download-only"]
    # NB: nothing is installed, so apt's lock, which an unattended upgrade may hold, is not needed.
    argv += ["-o", f"Dir::Cache::archives={archives}", "-o", "Debug::NoLocking=1"]
    try:
        console.run([*argv, *packages], log=log)
    except HarnessError:
        # The lists are missing or older than the mirror.
        _update_lists()
        console.run([*argv, *packages], log=log)


def _machine() -> str:
    release = Path("/etc/os-release")
    return f"{os.uname().machine} {release.read_text() if release.exists() else ''}"
