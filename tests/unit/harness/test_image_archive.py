"""An archive is what `docker load` takes, and depends on nothing but the files in it."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from pathlib import Path

from tests.harness import image_archive


def write(folder: Path, source: Path, name: str = "one.tar") -> tuple[Path, str]:
    target = folder / name
    layer = image_archive.write(
        target,
        image="registry.example/pause:1",
        architecture="amd64",
        files={"usr/local/bin/pause": source},
        entrypoint=["/usr/local/bin/pause"],
        environment={"PATH": "/usr/local/bin"},
    )
    return target, layer


def a_program(folder: Path) -> Path:
    program = folder / "program"
    program.write_bytes(b"\x7fELF")
    program.chmod(0o755)
    return program


def member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file is not None
    return file.read()


def test_the_manifest_names_the_image_its_configuration_and_its_layer(tmp_path: Path) -> None:
    target, layer = write(tmp_path, a_program(tmp_path))
    with tarfile.open(target) as archive:
        (manifest,) = json.loads(member(archive, "manifest.json"))
        content = member(archive, manifest["Config"])
        config = json.loads(content)
        data = member(archive, manifest["Layers"][0])

    assert manifest["RepoTags"] == ["registry.example/pause:1"]
    assert manifest["Config"] == f"{hashlib.sha256(content).hexdigest()}.json"
    assert config["rootfs"]["diff_ids"] == [layer] == [f"sha256:{hashlib.sha256(data).hexdigest()}"]
    assert config["config"] == {"Entrypoint": ["/usr/local/bin/pause"], "Env": ["PATH=/usr/local/bin"]}


def test_the_layer_has_the_file_with_its_mode_and_the_folders_above(tmp_path: Path) -> None:
    target, _ = write(tmp_path, a_program(tmp_path))
    with tarfile.open(target) as archive:
        layer = archive.extractfile("layer.tar")
        with tarfile.open(fileobj=layer) as inner:
            assert inner.getnames() == ["usr", "usr/local", "usr/local/bin", "usr/local/bin/pause"]
            assert inner.getmember("usr/local/bin/pause").mode & 0o777 == 0o755


def test_the_same_files_at_another_time_give_the_same_image(tmp_path: Path) -> None:
    program = a_program(tmp_path)
    _, first = write(tmp_path, program, "one.tar")
    os.utime(program, (1, 1))
    _, second = write(tmp_path, program, "two.tar")
    assert first == second


def test_nothing_but_the_archive_is_left(tmp_path: Path) -> None:
    write(tmp_path, a_program(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.tar", "program"]
