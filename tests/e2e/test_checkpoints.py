"""A training that another job goes on with, and a model out of a checkpoint, in real pods of the reference trainer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.harness import demo
from tests.harness.kindnodes import GPU_TOLERATION
from tests.harness.kubectl import Kubectl
from tests.objects import Jobs

pytestmark = pytest.mark.timeout(600)

QUICKSTART = Path(__file__).parents[2] / "examples" / "quickstart"
PARAMETERS = {"hidden_layer_sizes": [16], "random_seed": 7, "checkpoint_every": 1}


def test_a_training_goes_on_where_its_parent_ended(jobs: Jobs, kubectl: Kubectl, trainer_image: str) -> None:
    where = jobs.namespace
    kubectl.apply(demo.manifests(QUICKSTART / "00-data.yaml", trainer=trainer_image), namespace=where)
    fill = ("job/quickstart-fill", f"--namespace={where}")
    kubectl.run("wait", "--for=condition=complete", *fill, "--timeout=240s", timeout=250)
    kubectl.apply(
        demo.manifests(QUICKSTART / "10-datasets.yaml", trainer=trainer_image, namespace=where),
        namespace=where,
    )

    def run(name: str, *, epochs: int = 0, **spec: Any) -> None:
        jobs.create(
            name,
            run_for=None,
            type="neural_network",
            datasets={"train": ["digits"]},
            parameters={**PARAMETERS, "epochs": epochs} if epochs else {},
            output={"claimName": "quickstart-output"},
            tolerations=[GPU_TOLERATION],
            template={},
            **spec,
        )

    latest, second = {"method": "latest_model"}, {"method": "from_epoch_number", "epoch": 2}
    run("through", epochs=6)
    run("first", epochs=2)
    run("longer", epochs=6, parentJob="first", checkpoint=latest)
    run("measured", action="evaluate", parentJob="first", checkpoint=second)
    run("lacking", action="evaluate", parentJob="first", checkpoint={**second, "epoch": 5}, backoffLimit=3)
    done = {
        name: jobs.reaches(name, "Done", timeout=240) for name in ("through", "first", "longer", "measured")
    }
    accuracy = {name: status["keyMetric"]["value"] for name, status in done.items()}
    assert accuracy["longer"] == accuracy["through"]
    assert accuracy["measured"] == accuracy["first"]
    assert done["longer"]["progress"]["epoch"] == 6
    uid = jobs.get("longer")["metadata"]["uid"]
    assert done["longer"]["lastCheckpoint"]["uri"].endswith(f"{uid}/attempt-0/checkpoints/epoch-000006")
    failed = jobs.reaches("lacking", "Error", "FetchFailed", timeout=60)
    assert "no checkpoint of epoch 5" in failed["message"]
    assert "there: 1, 2." in failed["message"]
