"""A busy cluster of fake nodes for some minutes, and the picture of the dashboard from its metrics.

Separate because it is a scene, not a test: a few hundred jobs with every outcome on a control plane with KWOK, a real
operator, a real Prometheus. `make dashboard` calls it.
"""

from __future__ import annotations

import contextlib
import json
import random
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.harness import console, controlplane, dashboard_picture, kwok, prometheus
from tests.harness import operator as operators
from tests.harness.client import ApiError, Client, Json
from tests.harness.controlplane_commands import ControlPlaneConfig
from tests.harness.errors import HarnessError
from tests.integration.posting import Post
from tests.objects import Jobs
from tests.receiver import Receiver, Say, listening

SECONDS = 220.0
JOBS_PER_SECOND = 2.2
SCRAPE_SECONDS = 2.0
RATE_SECONDS = 15.0
SEED = 6
NODES = {"a100": ("NVIDIA-A100-SXM4-80GB", 8), "l4": ("NVIDIA-L4", 6)}
_CALLBACKS = {"allowedCIDRs": ["127.0.0.0/8"], "firstRetrySeconds": 2, "longestRetrySeconds": 8}


@dataclass
class Load:
    """Users who submit jobs, and pause, cancel and lose some of them."""

    jobs: Jobs
    receiver: Receiver
    chance: random.Random = field(default_factory=lambda: random.Random(SEED))
    count: int = 0
    running: list[str] = field(default_factory=list)
    posts: dict[str, Post] = field(default_factory=dict)
    paused: list[str] = field(default_factory=list)

    def submit(self) -> None:
        """One job of the usual sorts."""
        name = f"job-{self.count}"
        self.count += 1
        chance = self.chance
        lasts = chance.choice((6, 10, 15, 25, 40))
        spec: Json = {
            "accelerator": {
                "count": chance.choices((1, 2, 4, 8), (5, 4, 3, 1))[0],
                **chance.choice(({"type": "a100"}, {"type": "l4"}, {})),
            },
            "backoffLimit": chance.choice((0, 0, 1)),
        }
        sort = chance.random()
        if sort < 0.11:
            spec |= {"exit_code": chance.choice((1, 2, 137))}
        elif sort < 0.14:
            spec["datasets"] = {"train": ["not-there-yet"]}
        elif sort < 0.16:
            spec["parameters"] = {"epochs": -1}
            spec["architecture"] = "mlp"
        if chance.random() < 0.6:
            spec["output"] = {"uri": "s3://models/team"}
            annotations = {
                "fake.trainyard.dev/run-for": f"{lasts}s",
                "fake.trainyard.dev/exit-code": str(spec.pop("exit_code", 0)),
                "fake.trainyard.dev/agent-message": self._word_of_the_agent(name),
            }
            spec["template"] = {"metadata": {"annotations": annotations}}
        if chance.random() < 0.4:
            path = "/broken" if chance.random() < 0.08 else "/ok"
            spec["callbacks"] = [{"name": "hook", "url": self.receiver.url(path)}]
        self.jobs.create(name, run_for=f"{lasts}s", **spec)
        self.running.append(name)

    def _word_of_the_agent(self, name: str) -> str:
        if self.chance.random() < 0.06:
            return json.dumps({"uploaded": False, "error": "The bucket answers 503. Look at its room."})
        size = int(self.chance.lognormvariate(17, 1))
        uri = f"s3://models/team/{name}/attempt-0"
        return json.dumps({"uploaded": True, "uri": uri, "size": size, "sha256": "0" * 64})

    def report(self) -> None:
        """A few trainers post how far they are, and somebody without a token tries to."""
        for name in self.running[-12:-4]:
            for pod in self.jobs.pods(name) if name not in self.posts else ():
                if pod["status"].get("phase") == "Running" and "deletionTimestamp" not in pod["metadata"]:
                    with contextlib.suppress(ApiError):  # it has just gone
                        self.posts[name] = Post(self.jobs.client, self.jobs.namespace, pod)
        for post in list(self.posts.values())[-10:]:
            post.send({"epoch": self.chance.randrange(12), "max_epoch": 12})
            post.verdict()
        if self.posts and self.chance.random() < 0.2:
            list(self.posts.values())[-1].send({}, token="not-a-token")

    def disturb(self) -> None:
        """Something that happens to one of the newest jobs, whatever it is doing."""
        if self.paused and self.chance.random() < 0.3:
            self._wish(self.paused.pop(0), suspend=False)
            return
        name = self.chance.choice(self.running[-25:])
        what = self.chance.random()
        if what < 0.35:
            self._wish(name, suspend=True)
            self.paused.append(name)
        elif what < 0.6:
            self._wish(name, cancel=True)
        else:
            for pod in self.jobs.pods(name)[-1:]:
                self._delete(pod["metadata"]["name"])

    def _wish(self, name: str, **wish: bool) -> None:
        self.jobs.client.patch(self.jobs.path("trainingjobs", name), {"spec": wish})

    def _delete(self, pod: str) -> None:
        try:
            self.jobs.client.delete(f"/api/v1/namespaces/{self.jobs.namespace}/pods/{pod}")
        except ApiError as error:
            if error.status != 404:
                raise


def main(arguments: Sequence[str]) -> None:
    """`python -m tests.integration.busycluster PICTURE [SECONDS]`."""
    path, seconds = Path(arguments[0]), float(arguments[1]) if len(arguments) > 1 else SECONDS
    config = ControlPlaneConfig(controller_manager=True, scheduler=True)
    with ExitStack() as stack:
        plane = stack.enter_context(controlplane.running("dashboard", config))
        operators.install(plane)
        kwok.start(plane)
        admin = stack.enter_context(plane.client())
        _add_nodes(plane, admin)
        admin.post("/api/v1/namespaces", {"metadata": {"name": "busy"}})
        receiver = stack.enter_context(listening())
        receiver.script["/broken"] = [Say(status=503)]
        settings = {"callbacks": _CALLBACKS}
        operator = stack.enter_context(operators.running(plane, name="operator", settings=settings))
        server = stack.enter_context(prometheus.scraping(operator.port, interval=SCRAPE_SECONDS))
        start = time.time()
        _play(Load(jobs=Jobs(admin, "busy"), receiver=receiver), seconds)
        path.parent.mkdir(parents=True, exist_ok=True)
        dashboard_picture.draw(server, start=start, end=time.time(), rate_seconds=RATE_SECONDS, path=path)
    console.say(f"The dashboard is drawn: {path}")


def _add_nodes(plane: controlplane.ControlPlane, admin: Client) -> None:
    for kind, (product, count) in NODES.items():
        kwok.add_nodes(plane, count, gpus=8, prefix=kind)
        for number in range(count):
            labels = {"nvidia.com/gpu.product": product}
            admin.patch(f"/api/v1/nodes/{kind}-{number}", {"metadata": {"labels": labels}})


def _play(load: Load, seconds: float) -> None:
    begun = time.monotonic()
    disturbed = begun + 15
    with console.step(f"A busy cluster for {seconds:.0f} s") as step:
        while (now := time.monotonic()) < begun + seconds:
            # A rush at a third of the time, and the last quarter of it is calm.
            part = (now - begun) / seconds
            rate = JOBS_PER_SECOND * (2.0 if 0.3 < part < 0.45 else 0.3 if part > 0.75 else 1.0)
            time.sleep(load.chance.expovariate(rate))
            load.submit()
            if now > disturbed:
                load.disturb()
                load.report()
                disturbed = now + 1.5
            step.say(f"{load.count} jobs")
        time.sleep(2 * SCRAPE_SECONDS)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except HarnessError as problem:
        console.complain(problem)
        sys.exit(1)
