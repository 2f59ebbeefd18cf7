"""A trainer that prints nothing and posts from its pod, with the kubelet's token and by the Service's name."""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness.kindnodes import GPU_TOLERATION
from tests.objects import Jobs

pytestmark = pytest.mark.timeout(240)

# As Kubeflow's SDK does it, which reads these three variables (docs/status-server.md).
POST = """
import json, os, ssl, sys, urllib.error, urllib.request
read = lambda name: open(os.environ[f"KUBEFLOW_TRAINER_SERVER_{name}"]).read().strip()
url = os.environ["KUBEFLOW_TRAINER_SERVER_URL"].replace("/" + sys.argv[1] + "/", "/" + sys.argv[2] + "/")
told = {"progressPercentage": 40, "estimatedRemainingSeconds": 90, "metrics": [{"name": "loss", "value": "0.25"}]}
request = urllib.request.Request(
    url,
    data=json.dumps({"trainerStatus": told}).encode(),
    headers={"Authorization": "Bearer " + read("TOKEN"), "Content-Type": "application/json"},
)
context = ssl.create_default_context(cafile=os.environ["KUBEFLOW_TRAINER_SERVER_CA_CERT"])
try:
    code = urllib.request.urlopen(request, context=context, timeout=30).status
except urllib.error.HTTPError as error:
    code = error.code
open("/dev/termination-log", "w").write(json.dumps({"message": f"answered {code}"}))
"""


def spec(image: str, *names: str) -> dict[str, Any]:
    """Posts for the job of the second name what the one of the first runs."""
    return {
        "image": image,
        "command": ["python3", "-uc", POST, *names],
        "action": "custom",
        "tolerations": [GPU_TOLERATION],
        "template": {"spec": {"securityContext": {"runAsUser": 65532}}},
    }


def test_what_a_pod_posts_is_in_the_status_of_its_job_and_of_no_other(jobs: Jobs, python_image: str) -> None:
    jobs.create("other", suspend=True, **spec(python_image, "other", "other"))
    jobs.create("posting", **spec(python_image, "posting", "posting"))
    done = jobs.reaches("posting", "Done", timeout=90)
    assert done["message"] == "answered 200"
    assert done["progress"]["percent"] == 40
    assert {metric["name"]: metric["value"] for metric in done["metrics"]} == {"loss": "0.25"}
    jobs.create("lying", **spec(python_image, "lying", "other"))
    assert jobs.reaches("lying", "Done", timeout=90)["message"] == "answered 403"
    assert "progress" not in jobs.status("other")
