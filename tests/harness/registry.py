"""A real OCI registry (distribution v3) on a folder, for tests of what is published.

Separate because it needs no cluster, and because tests look at what it holds. Called by the tests of images/publisher.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.harness import binaries, processes
from tests.harness.tethered import Tethered

NAME, PASSWORD = "trainyard", "trainyard-secret"
_HASHED = "$2b$04$l9.7Tkai0YDieV.MWJZ46On4XkiFhzvqmN9RPG68Vb8bW1mo5yu1K"  # of the password, by bcrypt


@contextmanager
def running(folder: Path, *, deletes: bool = True, account: bool = False) -> Iterator[str]:
    """The address of a registry that keeps what it is given below `folder`, until the end of the block.

    With `account` it does nothing without NAME and PASSWORD.
    """
    (port,) = processes.free_ports(1)
    config: dict[str, object] = {
        "version": 0.1,
        "log": {"level": "info"},
        "storage": {
            "filesystem": {"rootdirectory": str(folder / "data")},
            "delete": {"enabled": deletes},
        },
        "http": {"addr": f"127.0.0.1:{port}", "secret": "an example secret"},
    }
    if account:
        (folder / "htpasswd").write_text(f"{NAME}:{_HASHED}\n")
        config["auth"] = {"htpasswd": {"realm": "examples", "path": str(folder / "htpasswd")}}
    file = folder / "config.yaml"
    file.write_text(json.dumps(config))  # JSON is YAML
    program = binaries.ensure("registry")["registry"]
    server = Tethered(
        "The registry",
        [program, "serve", file],
        port=port,
        log=folder / "registry.log",
        env={"OTEL_TRACES_EXPORTER": "none"},
    )
    server.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.stop()
