"""Image archives of a few files, as `docker save` writes them, without a Docker daemon.

Separate because the node image is filled before there is anything to build images with: each Kubernetes
program becomes an image of one layer. Called by `node_image`.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path


def write(
    target: Path,
    *,
    image: str,
    architecture: str,
    files: Mapping[str, Path],
    entrypoint: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> str:
    """Writes an archive with one image of one layer, and gives the layer's digest.

    `files` maps paths in the image (without the leading slash) to files and links on this machine.
    The same input gives the same image, whatever its times and owners.
    """
    layer = target.with_suffix(".layer")
    _write_layer(layer, files)
    with layer.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    config = json.dumps(
        {
            "architecture": architecture,
            "os": "linux",
            "config": {
                "Entrypoint": list(entrypoint),
                "Env": [f"{name}={value}" for name, value in (environment or {}).items()],
            },
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        },
        sort_keys=True,
    ).encode()
    name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = json.dumps([{"Config": name, "RepoTags": [image], "Layers": ["layer.tar"]}]).encode()
    with tarfile.open(target, "w") as archive:
        archive.add(layer, arcname="layer.tar")
        for member, content in ((name, config), ("manifest.json", manifest)):
            info = tarfile.TarInfo(member)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    layer.unlink()
    return f"sha256:{digest}"


def _write_layer(target: Path, files: Mapping[str, Path]) -> None:
    folders = {str(parent) for path in files for parent in Path(path).parents if str(parent) != "."}
    with tarfile.open(target, "w", format=tarfile.GNU_FORMAT) as layer:
        for folder in sorted(folders):
            info = tarfile.TarInfo(folder)
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            layer.addfile(info)
        for path, source in sorted(files.items()):
            info = layer.gettarinfo(source, arcname=path)
            info.uid = info.gid = info.mtime = 0
            info.uname = info.gname = "root"
            if info.isreg():
                with source.open("rb") as content:
                    layer.addfile(info, content)
            else:
                layer.addfile(info)
