"""Runs a command of an NVIDIA TAO container with a job's parameters, and prints the status lines that it writes.

Separate because those containers take a spec file and options, not our environment. Its text is the `python3 -c` of
the entries tao-*.yaml, so it needs nothing but the standard library of Python 3.8, and nothing given to it is ever part
of a shell line. Arguments: `spec|options|joined TASK [ACTION]`.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from typing import Any

_POLL_SECONDS = 2.0
_KEY = "TRAINYARD_ENCRYPTION_KEY"
# What works on data and on no model, and so knows no key.
_WITHOUT_KEY = {"analytics", "annotations", "augmentation", "auto_label", "image"}
_ACTIONS_WITHOUT_KEY = {"dataset_convert", "calibration_tensorfile", "kmeans"}
# Where a training takes pretrained weights from, as NVIDIA's tao_front_end_services has it (network_configs, "ptm").
_PRETRAINED = {
    "centerpose": "model.backbone.pretrained_backbone_path",
    "classification_pyt": "model.init_cfg.checkpoint",
    "classification_tf2": "train.checkpoint",
    "deformable_detr": "model.pretrained_backbone_path",
    "dino": "model.pretrained_backbone_path",
    "efficientdet_tf2": "train.checkpoint",
    "ml_recog": "model.pretrained_model_path",
    "ocdnet": "model.pretrained_model_path",
    "ocrnet": "train.pretrained_model_path",
    "re_identification": "model.pretrained_model_path",
    "segformer": "model.pretrained_model_path",
    "visual_changenet": "train.pretrained_model_path",
}
_RESUMED = "train.resume_training_checkpoint_path"
_BASE_MODEL = "TRAINYARD_BASE_MODEL"
_MODEL_FILES = (".pth", ".pt", ".ckpt", ".tlt", ".hdf5", ".h5", ".safetensors")
_VARIABLE = re.compile(r"\$\{([A-Z][A-Z0-9_]*)\}")


class _Refused(Exception):
    pass


def main(arguments: list[str]) -> int:
    results = os.environ.setdefault("TRAINYARD_OUTPUT_DIR", "/tmp/results")
    try:
        words = command(arguments, json.loads(os.environ.get("TRAINYARD_PARAMETERS") or "{}"))
    except _Refused as refused:
        print(json.dumps({"status": "FAILURE", "message": str(refused)}), flush=True)
        return 2
    os.makedirs(results, exist_ok=True)
    # NB: the first words only, an option can be a key.
    print("+ " + " ".join(arguments[1:]), flush=True)
    try:
        child = subprocess.Popen(words)
    except OSError as error:
        print(
            json.dumps({"status": "FAILURE", "message": f"{words[0]} cannot be run: {error}"}),
            flush=True,
        )
        return 2
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: child.send_signal(received))
    follower = _Follower(results)
    follower.start()
    code = child.wait()
    follower.finish()
    return code if code >= 0 else 128 - code


def command(arguments: list[str], parameters: dict[str, Any]) -> list[str]:
    """The words to run. Raises _Refused with a sentence for parameters that cannot be used."""
    style, words = arguments[0], list(arguments[1:])
    parameters = _with_key(style, words, _expanded(_with_base_model(style, words, parameters)))
    if style == "spec":
        return [*words, "-e", _written(json.dumps(parameters))]
    spec = parameters.get("spec")
    if spec:
        words += [parameters.get("spec_option") or "-e", _written(spec)]
    for name, value in (parameters.get("options") or {}).items():
        words += _option(name, value, joined=style == "joined")
    return words


def _with_key(style: str, words: list[str], parameters: dict[str, Any]) -> dict[str, Any]:
    """The parameters with the job's key as the tool takes it, unless they have one: encryption_key of a spec, or -k."""
    key = os.environ.get(_KEY)
    keyless = style == "joined" or words[0] in _WITHOUT_KEY or words[-1] in _ACTIONS_WITHOUT_KEY
    if not key or keyless:
        return parameters
    if style == "spec":
        return {**parameters, "encryption_key": parameters.get("encryption_key") or key}
    options = parameters.get("options") or {}
    if "k" in options or "key" in options:
        return parameters
    return {**parameters, "options": {**options, "k": key}}


def _with_base_model(style: str, words: list[str], parameters: dict[str, Any]) -> dict[str, Any]:
    """The parameters with the job's first base model where a training reads it, unless they name one themselves. It is
    ${TRAINYARD_BASE_MODEL} in any of them.
    """
    models = json.loads(os.environ.get("TRAINYARD_BASE_MODELS") or "[]")
    if not models:
        return parameters
    model = models[0]
    os.environ.setdefault(_BASE_MODEL, model["path"])
    if words[-1] != "train" or "${" + _BASE_MODEL in json.dumps(parameters) or _at(parameters, _RESUMED):
        return parameters
    name = _PRETRAINED.get(words[0]) if style == "spec" else None
    if name is None:
        raise _Refused(
            f"parameters: say where {words[0]} takes the base model {model['name']} from, by ${{{_BASE_MODEL}}} as the "
            "value of a parameter."
        )
    if _at(parameters, name):
        return parameters
    return _put(parameters, name.split("."), _model_file(model, name))


def _model_file(model: dict[str, Any], name: str) -> str:
    """The one file of a base model that holds a model; the model itself where none of its files does."""
    path = str(model["path"])
    found = [
        os.path.join(folder, file)
        for folder, _, files in os.walk(path)
        for file in files
        if file.lower().endswith(_MODEL_FILES)
    ]
    if len(found) > 1:
        listed = ", ".join(sorted(os.path.relpath(file, path) for file in found)[:8])
        raise _Refused(
            f"parameters: base model {model['name']} has several model files ({listed}). Name the one for {name}: "
            f"${{{_BASE_MODEL}}}/FILE."
        )
    return found[0] if found else path


def _at(parameters: dict[str, Any], name: str) -> Any:
    value: Any = parameters
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _put(parameters: dict[str, Any], parts: list[str], value: str) -> dict[str, Any]:
    if not parts[1:]:
        return {**parameters, parts[0]: value}
    below = parameters.get(parts[0])
    return {**parameters, parts[0]: _put(below if isinstance(below, dict) else {}, parts[1:], value)}


def _option(name: str, value: Any, *, joined: bool) -> list[str]:
    dashed = "-" + name if len(name) == 1 else "--" + name
    if value is True:
        return [dashed]
    if value is False or value is None:
        return []
    values = [str(item) for item in value] if isinstance(value, list) else [str(value)]
    return [f"{dashed}={','.join(values)}"] if joined else [dashed, *values]


def _expanded(value: Any) -> Any:
    """Strings with ${TRAINYARD_OUTPUT_DIR} and other variables of the container put in."""
    if isinstance(value, str):
        return _VARIABLE.sub(_variable, value)
    if isinstance(value, list):
        return [_expanded(item) for item in value]
    if isinstance(value, dict):
        return {key: _expanded(item) for key, item in value.items()}
    return value


def _variable(match: re.Match[str]) -> str:
    if match.group(1) not in os.environ:
        raise _Refused(f"parameters: ${{{match.group(1)}}} is not set in this container.")
    return os.environ[match.group(1)]


def _written(text: str) -> str:
    """The spec as a file. JSON is YAML, so that the containers read either."""
    path = "/tmp/trainyard-spec.yaml"
    # NB: a key may be in it.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.fchmod(descriptor, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    return path


class _Follower(threading.Thread):
    """Prints each new line of every status.json under a folder."""

    def __init__(self, folder: str) -> None:
        super().__init__(daemon=True)
        self._folder = folder
        self._read: dict[str, int] = {}
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(_POLL_SECONDS):
            self._look()
        self._look()

    def finish(self) -> None:
        self._over.set()
        self.join()

    def _look(self) -> None:
        for folder, _, files in os.walk(self._folder):
            if "status.json" in files:
                self._print_new(os.path.join(folder, "status.json"))

    def _print_new(self, path: str) -> None:
        try:
            with open(path, "rb") as file:
                file.seek(self._read.get(path, 0))
                text = file.read()
        except OSError:
            return
        whole = text[: text.rfind(b"\n") + 1]
        self._read[path] = self._read.get(path, 0) + len(whole)
        if whole:
            os.write(1, whole)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
