"""A registered model on an MLflow tracking server, by the server's REST API 2.0.

Separate because it is MLflow's words alone: what is done with them, and in which order, is `mlflow`'s.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote, unquote, urlencode

import urllib3

from trainyard_publisher import credentials
from trainyard_publisher.order import Order
from trainyard_publisher.problems import Refused
from trainyard_publisher.version import File, Version
from trainyard_publisher.web import Web, parsed

OWNER, DIGEST, NUMBER = "trainyard.owner", "trainyard.digest", "trainyard.version"
#: Where a version's files are among its run's artifacts, and how the address of those begins that the server keeps.
FOLDER, PROXIED = "model", "mlflow-artifacts:"
_MOST_TEXT = 5000


class Registry:
    """One registered model on a tracking server; methods raise Failed or Refused."""

    def __init__(self, order: Order) -> None:
        if not order.endpoint:
            raise Refused("endpoint is not given: the address of the MLflow tracking server.")
        self.name = unquote(order.place)
        self._order = order
        values = credentials.values(order.secret)
        self.web = Web(order.endpoint, name="the MLflow server", patience=order.patience)
        self._headers = {"Content-Type": "application/json", **_authorization(values)}

    def ensure_model(self, description: str) -> None:
        """NB: one that others have made takes versions of ours as well."""
        if self._ask("GET", "registered-models/get", {"name": self.name}, absent=True) is None:
            body = {"name": self.name, "tags": _listed({OWNER: self._order.owner})}
            self._ask("POST", "registered-models/create", {**body, "description": description[:_MOST_TEXT]})

    def versions(self) -> Iterator[dict[str, Any]]:
        """Those that this target has registered, and that are whole."""
        name = self.name.replace("'", "\\'")
        for one in self._pages(
            "GET", "model-versions/search", {"filter": f"name='{name}'"}, "model_versions"
        ):
            if tags(one).get(OWNER) == self._order.owner:
                yield one

    def runs(self, *tagged: str) -> Iterator[dict[str, Any]]:
        """Runs of this target that are not deleted and have these tags."""
        where = self._ask(
            "GET", "experiments/get-by-name", {"experiment_name": self._experiment}, absent=True
        )
        if where is None:
            return
        body = {
            "experiment_ids": [where["experiment"]["experiment_id"]],
            "filter": f"tags.`{OWNER}` = '{self._order.owner}'",
        }
        for run in self._pages("POST", "runs/search", body, "runs"):
            if all(tags(run["data"]).get(tag) for tag in tagged):
                yield run

    def run(self, version: Version) -> dict[str, Any]:
        """The run that stands for the version: one that a killed publisher has begun, or a new one."""
        run = next((one for one in self.runs() if tags(one["data"]).get(DIGEST) == version.digest), None)
        if run is None:
            body = {
                "experiment_id": self._experiment_id(),
                "run_name": f"{self._order.model}-v{version.number}",
                "start_time": self._time(),
                "tags": _listed(self._tags(version)),
            }
            made = self._ask("POST", "runs/create", body)
            assert made is not None
            run = dict(made["run"])
        metrics = [
            {"key": key, "value": number, "timestamp": self._time(), "step": 0}
            for key, text in (self._order.metadata.get("metrics") or {}).items()
            if (number := _number(text)) is not None
        ]
        if metrics:
            self._ask("POST", "runs/log-batch", {"run_id": run["info"]["run_id"], "metrics": metrics})
        return run

    def register(self, run: Mapping[str, Any], source: str, version: Version) -> dict[str, Any]:
        """A new version of the registered model; the run is finished with it."""
        run_id = run["info"]["run_id"]
        body = {"run_id": run_id, "status": "FINISHED", "end_time": self._time()}
        self._ask("POST", "runs/update", body)
        made = self._ask(
            "POST",
            "model-versions/create",
            {
                "name": self.name,
                "source": source,
                "run_id": run_id,
                "tags": _listed(self._tags(version)),
                "description": self._card(version),
            },
        )
        assert made is not None
        return dict(made["model_version"])

    def aliases(self) -> dict[str, str]:
        """The versions that the model's aliases stand for, whoever has set them."""
        found = self._ask("GET", "registered-models/get", {"name": self.name})
        assert found is not None
        return {
            str(one["alias"]): str(one["version"]) for one in found["registered_model"].get("aliases") or ()
        }

    def alias(self, alias: str, version: str) -> None:
        self._ask("POST", "registered-models/alias", {"name": self.name, "alias": alias, "version": version})

    def unalias(self, alias: str) -> None:
        self._ask("DELETE", "registered-models/alias", {"name": self.name, "alias": alias}, absent=True)

    def artifacts(self, run: Mapping[str, Any]) -> dict[str, int]:
        """Sizes of the files that lie there already, by name."""
        found: dict[str, int] = {}
        folders = [""]
        while folders:
            folder = folders.pop()
            path = f"{FOLDER}/{folder}".rstrip("/")
            query = {"run_id": run["info"]["run_id"], "path": path}
            for one in self._pages("GET", "artifacts/list", query, "files"):
                name = str(one["path"]).removeprefix(f"{FOLDER}/")
                if one.get("is_dir"):
                    folders.append(name)
                else:
                    found[name] = int(one.get("file_size") or 0)
        return found

    def send(self, run: Mapping[str, Any], name: str, file: File) -> None:
        path = self._stored(run, name)
        headers = {**self._headers, "Content-Type": "application/octet-stream"}
        answer = self.web.ask("PUT", path, headers=headers, file=file)
        if answer.status != 200:
            raise self.web.refusal(answer, f"sending {name}")

    def remove(self, version: Mapping[str, Any]) -> None:
        """Removes a version, with what was sent for it and its run."""
        body = {"name": self.name, "version": version["version"]}
        self._ask("DELETE", "model-versions/delete", body, absent=True)
        found = self._ask("GET", "runs/get", {"run_id": version.get("run_id") or ""}, absent=True)
        if found is not None:
            self.remove_run(found["run"])

    def remove_run(self, run: Mapping[str, Any]) -> None:
        """NB: MLflow keeps deleted runs until they are collected, and the files of those for ever."""
        if str(run["info"].get("artifact_uri") or "").startswith(PROXIED):
            for name in self.artifacts(run):
                answer = self.web.ask("DELETE", self._stored(run, name), headers=self._headers)
                if answer.status not in (200, 204, 404):
                    raise self.web.refusal(answer, f"removing {name}")
        if run["info"].get("lifecycle_stage") == "active":
            self._ask("POST", "runs/delete", {"run_id": run["info"]["run_id"]}, absent=True)

    def remove_empty_model(self) -> bool:
        """Whether the registered model went: it was made by this target, and has no version any more."""
        found = self._ask("GET", "registered-models/get", {"name": self.name}, absent=True)
        if found is None or tags(found["registered_model"]).get(OWNER) != self._order.owner:
            return False
        name = self.name.replace("'", "\\'")
        if any(self._pages("GET", "model-versions/search", {"filter": f"name='{name}'"}, "model_versions")):
            return False
        self._ask("DELETE", "registered-models/delete", {"name": self.name}, absent=True)
        return True

    @property
    def _experiment(self) -> str:
        namespace, _, _ = self._order.owner.partition("/")
        return f"{namespace}/{self._order.model}"

    def _experiment_id(self) -> str:
        query = {"experiment_name": self._experiment}
        found = self._ask("GET", "experiments/get-by-name", query, absent=True)
        if found is not None:
            if found["experiment"].get("lifecycle_stage") == "deleted":
                raise Refused(
                    f"{self.web.name} has deleted the experiment {self._experiment}, in which the versions' runs are: "
                    "restore it there."
                )
            return str(found["experiment"]["experiment_id"])
        made = self._ask("POST", "experiments/create", {"name": self._experiment})
        assert made is not None
        return str(made["experiment_id"])

    def _stored(self, run: Mapping[str, Any], name: str) -> str:
        folder = str(run["info"]["artifact_uri"]).removeprefix(PROXIED).lstrip("/")
        return f"/api/2.0/mlflow-artifacts/artifacts/{quote(f'{folder}/{FOLDER}/{name}')}"

    def _tags(self, version: Version) -> dict[str, str]:
        lineage = self._order.metadata.get("lineage") or {}
        said = {f"trainyard.{key}": str(value) for key, value in lineage.items() if value is not None}
        synthetic = {"trainyard.synthetic_data": "true"} if self._order.metadata.get("syntheticData") else {}
        own = {OWNER: self._order.owner, DIGEST: version.digest, NUMBER: str(version.number)}
        return {**{key: value[:_MOST_TEXT] for key, value in said.items()}, **synthetic, **own}

    def _card(self, version: Version) -> str:
        text = version.card.path.read_text(errors="replace") if version.card is not None else ""
        return (text or self._order.description)[:_MOST_TEXT]

    def _time(self) -> int:
        """When the version was made, in milliseconds."""
        try:
            return int(datetime.fromisoformat(str(self._order.metadata.get("time"))).timestamp() * 1000)
        except ValueError:
            return 0

    def _pages(self, method: str, path: str, body: Mapping[str, Any], key: str) -> Iterator[dict[str, Any]]:
        token = ""
        while True:
            answer = self._ask(method, path, {**body, **({"page_token": token} if token else {})})
            assert answer is not None
            yield from answer.get(key) or ()
            token = str(answer.get("next_page_token") or "")
            if not token:
                return

    def _ask(
        self, method: str, path: str, body: Mapping[str, Any], *, absent: bool = False
    ) -> dict[str, Any] | None:
        """The answer; with `absent` None where there is no such thing."""
        query = f"?{urlencode(body)}" if method == "GET" else ""
        answer: urllib3.BaseHTTPResponse = self.web.ask(
            method,
            f"/api/2.0/mlflow/{path}{query}",
            headers=self._headers,
            body=None if query else json.dumps(body).encode(),
        )
        if answer.status == 404 and absent:
            return None
        if answer.status != 200:
            raise self.web.refusal(answer, path)
        return parsed(answer, name=self.web.name)


def _authorization(values: Mapping[str, str]) -> dict[str, str]:
    token = credentials.first(values, "MLFLOW_TRACKING_TOKEN")
    if token:
        return {"Authorization": f"Bearer {token}"}
    name = credentials.first(values, "MLFLOW_TRACKING_USERNAME") or values.get("username")
    password = credentials.first(values, "MLFLOW_TRACKING_PASSWORD") or values.get("password")
    if not name:
        return {}
    found = urllib3.make_headers(basic_auth=f"{name}:{password or ''}")
    return {"Authorization": found["authorization"]}


def tags(told: Mapping[str, Any]) -> dict[str, str]:
    return {str(one["key"]): str(one["value"]) for one in told.get("tags") or ()}


def _listed(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in tags.items()]


def _number(text: Any) -> float | None:
    try:
        found = float(text)
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) else None
