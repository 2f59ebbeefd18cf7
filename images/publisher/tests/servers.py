"""Real servers for tests: S3, a registry, MLflow and the hub, each from the project's harness.

Separate because they run in another process: the project's `tests` and this image's are packages of one name. Called
by fixtures.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]

S3 = """
from tests.harness import s3
with s3.running(folder, "models") as server:
    serve({"endpoint": server.endpoint, "secret": server.environment})
"""
AZURITE = """
from tests.harness import azurite
with azurite.running(folder, "models") as server:
    serve({"secret": {"AZURE_STORAGE_CONNECTION_STRING": server.connection_string}})
"""
REGISTRY = """
from tests.harness import registry
with registry.running(folder, deletes=told["deletes"], account=told["account"]) as address:
    serve({"endpoint": address, "name": registry.NAME, "password": registry.PASSWORD})
"""
MLFLOW = """
from tests.harness import mlflow
with mlflow.running(folder) as address:
    serve({"endpoint": address})
"""
HUB = """
from tests.harness import hub_repositories
with hub_repositories.running() as server:
    serve({"endpoint": server.endpoint})
"""
_AROUND = """
import json, sys
from pathlib import Path
folder, told = Path(sys.argv[1]), json.loads(sys.argv[2])
def serve(said):
    print(json.dumps(said), flush=True)
    sys.stdin.read()
"""


@contextmanager
def serving(code: str, folder: Path, **told: Any) -> Iterator[dict[str, Any]]:
    """What one of the servers says of itself, until the end of the block."""
    argv = [sys.executable, "-c", _AROUND + code, str(folder), json.dumps(told)]
    with subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, "the server has not started; its log is above"
        yield json.loads(line)
        process.stdin.close()
