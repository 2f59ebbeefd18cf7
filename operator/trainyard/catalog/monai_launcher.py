"""Runs a MONAI bundle, or MONAI's Auto3DSeg, with a job's parameters.

Separate because MONAI takes options and not our environment. Its text is the `python3 -c` of the entry monai.yaml, so
it needs nothing but the standard library, and nothing given to it is ever part of a shell line.
Arguments: `bundle|auto3dseg`.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any


def main(arguments: list[str]) -> None:
    parameters = json.loads(os.environ.get("TRAINYARD_PARAMETERS") or "{}")
    output = os.environ.get("TRAINYARD_OUTPUT_DIR") or "/tmp/results"
    os.makedirs(output, exist_ok=True)
    words = bundle(parameters, output) if arguments[0] == "bundle" else auto3dseg(parameters, output)
    print(f"+ monai {arguments[0]}", flush=True)
    os.execvp(words[0], words)


def bundle(parameters: dict[str, Any], output: str) -> list[str]:
    """`monai.bundle run`; what is not about the bundle itself overrides its configuration."""
    given = dict(parameters)
    gpus = int(given.pop("num_gpu", 1))
    root = given.pop("bundle_root")
    words = ["torchrun", f"--nproc-per-node={gpus}"] if gpus > 1 else [sys.executable]
    words += [
        "-m",
        "monai.bundle",
        "run_workflow" if "workflow_name" in given else "run",
        "--bundle_root",
        root,
    ]
    for name in ("config_file", "meta_file", "logging_file"):
        files = given.pop(name, None)
        if files:
            paths = [os.path.join(root, file) for file in ([files] if isinstance(files, str) else files)]
            words += ["--" + name, paths[0] if len(paths) == 1 else json.dumps(paths)]
    for name in ("output_dir", "ckpt_dir"):  # bundles put them below bundle_root, which is read-only here
        given.setdefault(name, output)
    for name, value in given.items():
        words += ["--" + name, value if isinstance(value, str) else json.dumps(value)]
    return words


def auto3dseg(parameters: dict[str, Any], output: str) -> list[str]:
    """`monai.apps.auto3dseg AutoRunner run` with the parameters as its input file."""
    path = "/tmp/trainyard-input.json"
    with open(path, "w", encoding="utf-8") as file:
        json.dump(parameters, file)
    return [
        sys.executable,
        "-m",
        "monai.apps.auto3dseg",
        "AutoRunner",
        "run",
        "--input",
        path,
        "--work_dir",
        output,
    ]


if __name__ == "__main__":
    main(sys.argv[1:])
