"""The image of kind's nodes: the public one where it can be pulled, else an equivalent made here.

Separate from `kindcluster`, for which both are alike but for the settings in `NodeImage`. Ours is a small
Debian with systemd and containerd, the Kubernetes programs from Go modules, and `node/`, whose files say
what each is for. Called by `kindcluster`.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.harness import binaries, cache, console, debian, gobuild, image_archive, scratch
from tests.harness.docker import Engine
from tests.harness.errors import HarnessError

ASSETS = Path(__file__).parent / "node"
# Of the Kubernetes that we build, as kind's release notes list it. NB: there is not one for every patch release, and
# kind vouches only for the images of its own release: change it together with modules/kind.
PUBLIC = "kindest/node:v1.34.11@sha256:44e222ee2132dab25ff87301682f89eb82c7880ea3a1bf543bfe9708fd08d67d"
REPOSITORY = "trainyard.dev/node"
# What the image is made of, besides the assets and the programs.
PACKAGES = (
    *("systemd", "procps", "util-linux", "mount", "kmod", "inotify-tools"),
    *("containerd", "runc", "containernetworking-plugins", "iproute2", "iptables", "conntrack"),
)
PROGRAMS = (
    *("kubeadm", "kubelet", "kubectl"),
    *("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "coredns", "etcd"),
)
NODE_PROGRAMS = ("kubeadm", "kubelet", "kubectl")
PLUGINS = ("bridge", "host-local", "loopback", "portmap")
WANTED_UNITS = ("containerd.service", "kubelet.service", "open-volumes.service")
# The only units of Debian's that a node starts; the others would set up a machine.
KEPT_UNITS = ("systemd-journald.service", "systemd-journald.socket", "systemd-journald-dev-log.socket")


@dataclass(frozen=True)
class NodeImage:
    """An image for `kind create`. A home-made one has no network plugin: kind must not install its own."""

    reference: str
    home_made: bool


def choose(engine: Engine) -> NodeImage:
    """The public image if the daemon has it or can pull it, else ours, made if need be.

    Raises HarnessError if neither can be had.
    """
    ours = home_made_reference()
    if engine.has_image(ours):
        return NodeImage(ours, home_made=True)
    if engine.can_have(PUBLIC):
        return NodeImage(PUBLIC, home_made=False)
    if not debian.usable():
        raise HarnessError(
            f"The image {PUBLIC} cannot be pulled, and making one needs root on Debian 12:"
            " pull or load it into Docker by hand."
        )
    _make(engine, ours)
    return NodeImage(ours, home_made=True)


def home_made_reference() -> str:
    """Named by all that it is made of, so that a change of any makes another image."""
    digest = cache.digest_of(
        *PACKAGES,
        *(binaries.version(name) for name in PROGRAMS),
        ASSETS,
        gobuild.MODULES / "pause",
        Path(__file__),
        debian.RELEASE,
        binaries.architecture(),
    )
    return f"{REPOSITORY}:{binaries.version('kubelet')}-{digest}"


def _make(engine: Engine, reference: str) -> None:
    log = cache.root() / "logs" / "node-image.log"
    log.unlink(missing_ok=True)
    programs = binaries.ensure(*PROGRAMS, exact=True)
    with scratch.folder("node") as folder, console.step("Making a node image") as step:
        if engine.has_image(reference):
            return
        root = folder / "root"
        step.say("a minimal Debian")
        root.mkdir()
        archive = debian.root_archive(PACKAGES, log=log)
        console.run(["tar", "--extract", "--xattrs", f"--directory={root}", f"--file={archive}"], log=log)
        step.say("Kubernetes")
        images = _image_names(programs["kubeadm"])
        _install(root, programs, pause=images["pause"])
        archives = folder / "archives"
        archives.mkdir()
        programs["pause"] = _build_pause(folder, log=log)
        layers = []
        for name, image in images.items():
            step.say(f"the image of {name}")
            layers.append(_write_image(archives / f"{name}.tar", name, image, programs[name], root=root))
        step.say("unpacking the images")
        _fill_containerd(root, sorted(archives.iterdir()), layers, folder=folder, log=log)
        step.say("handing it to Docker")
        _import(engine, root, reference, log=log)
        for old in engine.output("images", "--format", "{{.Repository}}:{{.Tag}}", REPOSITORY).split():
            # One that a cluster uses stays.
            if old != reference:
                engine.succeeds("rmi", old)


def _image_names(kubeadm: Path) -> dict[str, str]:
    """kubeadm's images by the name of their program ("etcd": "registry.k8s.io/etcd:3.6.5-0")."""
    number = binaries.version("kubeadm")
    argv: list[str | Path] = [kubeadm, "config", "images", "list", "--kubernetes-version", number]
    answer = console.capture(argv, log=cache.root() / "logs" / "node-image.log")
    return {line.rpartition("/")[2].partition(":")[0]: line for line in answer.split()}


def _install(root: Path, programs: dict[str, Path], *, pause: str) -> None:
    for name in NODE_PROGRAMS:
        shutil.copy(programs[name], root / "usr/bin" / name)
    plugins = root / "opt/cni/bin"
    plugins.mkdir(parents=True)
    for name in PLUGINS:
        (plugins / name).symlink_to(f"/usr/lib/cni/{name}")
    for script in (ASSETS / "scripts").iterdir():
        shutil.copy(script, root / "usr/local/bin")
    shutil.copy(ASSETS / "entrypoint", root / "usr/local/bin")
    _install_units(root)
    configuration = (ASSETS / "etc/containerd.toml").read_text().replace("@PAUSE@", pause)
    (root / "etc/containerd/config.toml").write_text(configuration)
    shutil.copy(ASSETS / "etc/cni.conflist.template", root / "etc/containerd")
    shutil.copy(ASSETS / "etc/journald.conf", root / "etc/systemd")
    manifests = root / "kind/manifests"
    manifests.mkdir(parents=True)
    shutil.copy(ASSETS / "etc/default-storage.yaml", manifests)
    # NB: one line and nothing else, kind reads it.
    (root / "kind/version").write_text(binaries.version("kubelet"))


def _install_units(root: Path) -> None:
    for folder in ("etc/systemd/system", "lib/systemd/system"):
        for link in (root / folder).glob("*.wants/*"):
            if link.name not in KEPT_UNITS:
                link.unlink()
    wants = root / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(exist_ok=True)
    for unit in (ASSETS / "units").iterdir():
        shutil.copy(unit, root / "etc/systemd/system")
    for name in WANTED_UNITS:
        (wants / name).symlink_to(f"/etc/systemd/system/{name}")
    default = root / "etc/systemd/system/default.target"
    default.unlink(missing_ok=True)
    default.symlink_to("/lib/systemd/system/multi-user.target")


def _build_pause(folder: Path, *, log: Path) -> Path:
    gobuild.build(
        "pause", {"pause": "trainyard.dev/harness/pause"}, ldflags=["-s", "-w"], folder=folder, log=log
    )
    return folder / "pause"


def _write_image(archive: Path, name: str, image: str, program: Path, *, root: Path) -> str:
    files = {f"usr/local/bin/{name}": program}
    if name == "kube-proxy":
        files |= _packet_filter_files(root)
    # Manifests of kubeadm name the program alone, except those of CoreDNS and pause, which name nothing.
    entrypoint = [f"/usr/local/bin/{name}"] if name in ("coredns", "pause") else []
    return image_archive.write(
        archive,
        image=image,
        architecture=binaries.architecture(),
        files=files,
        entrypoint=entrypoint,
        environment={"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
    )


def _packet_filter_files(root: Path) -> dict[str, Path]:
    """iptables and conntrack as kube-proxy calls them, with their extensions and all libraries of both."""
    names = ["usr/sbin/xtables-nft-multi", "usr/sbin/conntrack"]
    extensions = sorted(root.glob("usr/lib/*/xtables/*.so"))
    names += [str(path.relative_to(root)) for path in extensions]
    files = {name: root / name for name in names}
    for library in _libraries(root, names):
        files[library] = (root / library).resolve()
    for applet in ("iptables", "iptables-save", "iptables-restore"):
        for name in (applet, applet.replace("ip", "ip6", 1)):
            files[f"usr/sbin/{name}"] = root / f"usr/sbin/{name.replace('tables', 'tables-nft', 1)}"
    return files


def _libraries(root: Path, names: list[str]) -> list[str]:
    """The libraries, loader included, that programs inside `root` ask for, as paths inside it."""
    answer = subprocess.run(
        ["chroot", root, "/usr/bin/ldd", *(f"/{name}" for name in names)], capture_output=True, text=True
    )
    words = {word for line in answer.stdout.splitlines() for word in line.split() if word.startswith("/")}
    found = sorted(word.lstrip("/") for word in words if not word.endswith(":"))
    if not found:
        raise HarnessError(f"ldd found no libraries: {answer.stderr.strip()}")
    return found


def _fill_containerd(root: Path, archives: list[Path], layers: list[str], *, folder: Path, log: Path) -> None:
    """Imports images into the root's containerd, as which a containerd of this machine poses."""
    tools = root / "usr/bin"
    socket = Path(tempfile.mkdtemp(prefix="trainyard-")) / "containerd.sock"
    config = folder / "containerd.toml"
    config.write_text(
        'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]\n'
    )
    argv: list[str | Path] = [tools / "containerd", "--config", config, "--root", root / "var/lib/containerd"]
    with log.open("ab") as output:
        daemon = subprocess.Popen(
            [*argv, "--state", folder / "state", "--address", socket], stdout=output, stderr=output
        )
    try:
        deadline = time.monotonic() + 20
        while not socket.exists() and time.monotonic() < deadline and daemon.poll() is None:
            time.sleep(0.05)
        ctr: list[str | Path] = [tools / "ctr", "--address", socket, "--namespace", "k8s.io"]
        for archive in archives:
            console.run([*ctr, "images", "import", archive], log=log)
            archive.unlink()
        # Packed, a layer is not needed once it is unpacked, and it is as big again.
        console.run([*ctr, "content", "rm", *layers], log=log)
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(20)
        shutil.rmtree(socket.parent)
    blobs = root / "var/lib/containerd/io.containerd.content.v1.content/blobs/sha256"
    for layer in layers:
        # NB: containerd itself would remove it some time later.
        (blobs / layer.removeprefix("sha256:")).unlink(missing_ok=True)


def _import(engine: Engine, root: Path, reference: str, *, log: Path) -> None:
    changes = ['ENTRYPOINT ["/usr/local/bin/entrypoint"]', "ENV container=docker"]
    words = [word for change in changes for word in ("--change", change)]
    with log.open("ab") as output:
        tar = subprocess.Popen(
            ["tar", "--create", "--numeric-owner", "--xattrs", f"--directory={root}", "."],
            stdout=subprocess.PIPE,
            stderr=output,
        )
        docker = subprocess.Popen(
            [engine.client, "import", *words, "-", reference],
            stdin=tar.stdout,
            stdout=output,
            stderr=output,
            env={**os.environ, **engine.environment},
        )
        assert tar.stdout is not None
        tar.stdout.close()
        if (tar.wait(), docker.wait()) != (0, 0):
            raise console.failure("The node image could not be imported into Docker", log)
