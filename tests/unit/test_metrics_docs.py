"""docs/metrics.md has every metric, and none besides."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from prometheus_client import REGISTRY
from prometheus_client.metrics import MetricWrapperBase

from trainyard import metrics
from trainyard.cluster.cache import Cache
from trainyard.inventory import Inventory
from trainyard.planning.placement import AcceleratorRules

REPOSITORY = Path(__file__).parents[2]
DOCS = (REPOSITORY / "docs" / "metrics.md").read_text(encoding="utf-8")
RULES = REPOSITORY / "charts" / "trainyard" / "rules" / "trainyard.yaml"

Described = tuple[str, frozenset[str]]


def exported() -> dict[str, Described]:
    """Type and labels of each metric by the name that a query uses."""
    found: dict[str, Described] = {}
    for metric in {one for one in vars(metrics).values() if isinstance(one, MetricWrapperBase)}:
        (family,) = metric.collect()
        labels = frozenset(metric._labelnames)
        if family.type == "info":
            found[f"{family.name}_info"] = ("gauge", frozenset(family.samples[0].labels))
        else:
            found[family.name + ("_total" if family.type == "counter" else "")] = (family.type, labels)
    for family in Inventory(Cache(), rules=AcceleratorRules()).collect():
        labels = frozenset(family._labelnames)  # type: ignore[attr-defined]  # no public way
        found[family.name] = (family.type, labels)
    return found


def described() -> dict[str, Described]:
    rows = re.findall(r"^\| `(trainyard_\w+)` \| (\w+) \|([\w, ]*)\|", DOCS, re.MULTILINE)
    return {name: (kind, frozenset(re.findall(r"\w+", labels))) for name, kind, labels in rows}


def test_the_table_of_metrics_is_what_is_exported() -> None:
    assert described() == exported()


def test_every_metric_of_the_operator_is_in_the_registry_that_is_served() -> None:
    served = {family.name for family in REGISTRY.collect()}
    ours = {one._name for one in vars(metrics).values() if isinstance(one, MetricWrapperBase)}
    assert ours <= served


def test_every_alert_has_a_row() -> None:
    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    rows = re.findall(r"^\| `(Trainyard\w+)` \|", DOCS, re.MULTILINE)
    assert rows == [rule["alert"] for rule in rules]
