"""The model card of a version: Markdown with YAML in front, as model hubs show it.

Separate because it is a pure function of the version's record and of three of its artifacts: the same version gives the
same bytes. The sections are those of Mitchell et al. 2019, "Model Cards for Model Reporting", as far as they were
measured; what nobody has measured is not made up. Called by `recording`.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from trainyard_agent.checkpoints import File
from trainyard_agent.log import amount
from trainyard_agent.markdown import block, cell, code, front_matter, table, text

Json = Mapping[str, Any]

#: Of more classes the largest confusions are shown.
_MOST_CLASSES = 15
_MOST_CONFUSIONS = 20
_MOST_FEATURES = 15
_MOST_FILES = 50
_PIPELINE = {"classification": "tabular-classification", "regression": "tabular-regression"}


def render(record: Json, *, files: Sequence[File], metrics: Json, confusion: bytes | None) -> str:
    """The card. `record` is the version as in the model's status with its parameters; `files` are its artifacts;
    `metrics` is the trainer's summary, and `confusion` its table of classes, where there are such.
    """
    # NB: a trainer may make up its data without having been asked to.
    record = {**record, "syntheticData": record.get("syntheticData") or metrics.get("synthetic_data") is True}
    sections = [
        _front_matter(record, metrics),
        _head(record),
        _section("Data", _data(record, metrics)),
        _section("Metrics", _metrics(record, metrics)),
        _section("Confusion matrix", _confusion(confusion)),
        _section("What the predictions rest on", _importance(metrics)),
        _section("Parameters", _parameters(record)),
        _section("Lineage", _lineage(record)),
        _section("Files", _files(record, files)),
        _section("How to load it", _loading(record, files)),
    ]
    return "\n\n".join(filter(None, sections)) + "\n"


def _section(title: str, body: str) -> str:
    return f"## {title}\n\n{body}" if body else ""


def _front_matter(record: Json, metrics: Json) -> str:
    about, lineage = _object(record.get("about")), _object(record.get("lineage"))
    kind = lineage.get("architecture") or about.get("type") or about.get("architecture")
    tags = [
        "trainyard",
        kind,
        *_list(about.get("tags")),
        "synthetic-data" if record.get("syntheticData") else None,
    ]
    names = [str(one.get("name")) for one in _list(record.get("performanceMetrics"))]
    fields = {
        "license": about.get("license"),
        "pipeline_tag": _PIPELINE.get(str(metrics.get("task"))),
        "tags": list(dict.fromkeys(str(tag) for tag in tags if tag)),
        "metrics": names,
    }
    return front_matter({name: value for name, value in fields.items() if value})


def _head(record: Json) -> str:
    about, lineage = _object(record.get("about")), _object(record.get("lineage"))
    lines = [f"# {text(about.get('displayName') or record.get('model'))}, version {record.get('number')}"]
    if record.get("syntheticData"):
        lines.append(
            "**This version was trained on synthetic demo data. It knows nothing of the world: its numbers say that the"
            " training works, and nothing else.**"
        )
    if about.get("description"):
        lines.append(text(about["description"]))
    kind = lineage.get("architecture") or about.get("architecture") or about.get("type")
    rows = [
        ("Model", f"{code(record.get('model'))} in namespace {code(record.get('namespace'))}"),
        ("Version", str(record.get("number"))),
        ("Kind", code(kind) if kind else ""),
        ("Registered", cell(record.get("time") or "")),
        ("Trained by", _trainer(lineage)),
        ("Size", amount(record["size"]) if isinstance(record.get("size"), int) else ""),
    ]
    lines.append(table(("", ""), [row for row in rows if row[1]]))
    return "\n\n".join(lines)


def _trainer(lineage: Json) -> str:
    runtime, image = lineage.get("runtime"), lineage.get("image")
    words = [f"runtime {code(runtime)}" if runtime else "", f"image {code(image)}" if image else ""]
    return ", ".join(filter(None, words))


def _data(record: Json, metrics: Json) -> str:
    lines = []
    used = _list(_object(record.get("lineage")).get("datasets"))
    if used:
        rows = [
            (
                cell(one.get("name")),
                code(str(one.get("revision") or "")),
                code(str(one.get("sha256") or one.get("listing") or "")),
                code(str(one.get("uri") or "")),
            )
            for one in used
        ]
        lines.append(table(("Dataset", "Revision", "SHA-256", "Where it lay"), rows))
    elif record.get("syntheticData"):
        lines.append("**Synthetic demo data, made by the trainer from its random seed.**")
    else:
        lines.append("No dataset is known of this version.")
    facts = (
        ("target", "It predicts the column {}."),
        ("trainingRows", "It was trained on {} rows."),
        ("testRows", "Its metrics were measured on {} rows that it was not trained on."),
    )
    told = [sentence.format(text(metrics[name])) for name, sentence in facts if _is_plain(metrics.get(name))]
    return "\n\n".join([*lines, " ".join(told)] if told else lines)


def _metrics(record: Json, metrics: Json) -> str:
    rows = [
        (cell(one.get("name")), cell(one.get("value")), cell(_epoch(one.get("epoch"))), kind)
        for key, kind in (("performanceMetrics", "performance"), ("trainingMetrics", "training"))
        for one in _list(record.get(key))
    ]
    if not rows:
        return "The training told none."
    return table(("Metric", "Value", "Epoch", "Of the"), rows)


def _epoch(epoch: Any) -> str:
    return f"{epoch:g}" if isinstance(epoch, int | float) and not isinstance(epoch, bool) else ""


def _confusion(data: bytes | None) -> str:
    """A table of classes with the true ones in rows, as `confusion_matrix.csv` has it; empty where it is none."""
    if data is None:
        return ""
    try:
        header, *rows = list(csv.reader(io.StringIO(data.decode())))
        labels = header[1:]
        counts = [[int(count) for count in row[1:]] for row in rows]
        truths = [row[0] for row in rows]
    except (ValueError, IndexError, csv.Error):
        return ""
    if not labels or truths != labels or any(len(row) != len(labels) for row in counts):
        return ""
    if len(labels) <= _MOST_CLASSES:
        top = ("true \\ predicted", *map(cell, labels))
        return table(
            top,
            [(f"**{cell(label)}**", *map(str, row)) for label, row in zip(labels, counts, strict=True)],
        )
    wrong = sorted(
        (
            (-count, true, predicted)
            for true, row in enumerate(counts)
            for predicted, count in enumerate(row)
            if count and true != predicted
        ),
    )
    right = sum(row[number] for number, row in enumerate(counts))
    said = (
        f"There are {len(labels)} classes; {right} of {sum(map(sum, counts))} rows are right. The most frequent"
        " confusions, all others are in `confusion_matrix.csv`:"
    )
    found = [(cell(labels[true]), cell(labels[other]), str(-count)) for count, true, other in wrong]
    return f"{said}\n\n{table(('True', 'Predicted', 'Rows'), found[:_MOST_CONFUSIONS])}"


def _importance(metrics: Json) -> str:
    found = {
        str(name): float(share)
        for name, share in _object(metrics.get("featureImportance")).items()
        if isinstance(share, int | float) and not isinstance(share, bool)
    }
    if not found:
        return ""
    top = sorted(found.items(), key=lambda one: (-one[1], one[0]))[:_MOST_FEATURES]
    more = f"\n\nThese are {len(top)} of {len(found)} features." if len(found) > len(top) else ""
    return table(("Feature", "Share"), [(cell(name), f"{share:.4f}") for name, share in top]) + more


def _parameters(record: Json) -> str:
    parameters = record.get("parameters")
    if parameters is None:
        return "They are not kept here; the lineage has their digest."
    if not parameters:
        return "None were given: those of the runtime."
    return block(json.dumps(parameters, indent=2, ensure_ascii=False), "json")


def _lineage(record: Json) -> str:
    lineage = _object(record.get("lineage"))
    rows = [
        (
            "TrainingJob",
            f"{code(lineage.get('job'))}, UID {code(lineage.get('jobUid'))}" if lineage.get("job") else "",
        ),
        ("Attempt", _number(lineage.get("attempt"))),
        ("Experiment", code(lineage.get("experiment") or "")),
        ("Trial", _number(lineage.get("trial"))),
        ("Image digest", code(lineage.get("imageDigest") or "")),
        ("Digest of the parameters", code(lineage.get("parametersDigest") or "")),
        ("Went on from version", _number(lineage.get("parentVersion"))),
        *(("Base model", _base(one)) for one in _list(lineage.get("baseModels"))),
        ("SHA-256 of artifacts.json", code(record.get("sha256") or "")),
        ("Where it lies", code(record.get("uri") or "")),
    ]
    return table(("", ""), [row for row in rows if row[1]])


def _base(base: Json) -> str:
    name, version = base.get("name"), base.get("version")
    alias = f" ({text(base['alias'])})" if base.get("alias") else ""
    words = [
        f"{code(name)} version {version}{alias}" if name else "",
        code(base.get("uri") or ""),
        f"SHA-256 {code(base['sha256'])}" if base.get("sha256") else "",
    ]
    return ", ".join(filter(None, words))


def _files(record: Json, files: Sequence[File]) -> str:
    rows = [(code(one.path), amount(one.size), code(one.sha256)) for one in files[:_MOST_FILES]]
    more = (
        f"\n\nThese are {_MOST_FILES} of {len(files)} files; `artifacts.json` lists all."
        if len(files) > len(rows)
        else ""
    )
    return table(("File", "Size", "SHA-256"), rows) + more


def _loading(record: Json, files: Sequence[File]) -> str:
    names = [one.path for one in files]
    parts = []
    if "model.joblib" in names:
        parts.append(
            "`model.joblib` is a scikit-learn pipeline with its preprocessing. It is a pickle, which can run anything"
            " when it is loaded: check its SHA-256 first, and load only what you trust."
        )
        parts.append(
            block(
                "import joblib\nimport pandas\n\n"
                'model = joblib.load("model.joblib")\n'
                'predictions = model.predict(pandas.read_csv("rows.csv"))',
                "python",
            )
        )
    networks = [name for name in names if name.endswith(".onnx")]
    if networks:
        parts.append("ONNX, which needs no code of the trainer:")
        parts.append(
            block(
                "import onnxruntime\n\n"
                f"session = onnxruntime.InferenceSession({json.dumps(networks[0])})\n"
                "print([(one.name, one.type, one.shape) for one in session.get_inputs()])",
                "python",
            )
        )
    if not parts:
        parts.append("As its trainer's documentation says; the files are listed above.")
    model, number = record.get("model"), record.get("number")
    parts.append("As the start of another TrainingJob, which checks every file:")
    said = f"{{model: {json.dumps(model)}, version: {number}, isPtmBackbone: false}}"
    parts.append(block(f"spec:\n  baseModels:\n  - {said}", "yaml"))
    return "\n\n".join(parts)


def _number(value: Any) -> str:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)


def _object(value: Any) -> Json:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
