"""What a pod that does not start is stuck on. The texts are those of real components, as found by trying."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.planning.builders import NOW, a_job, a_pod, plan, said, settled, status_after
from trainyard.api.reasons import Phase
from trainyard.planning.lookedup import PodEvent
from trainyard.planning.podview import ContainerView, PodView
from trainyard.planning.stuckpod import what_it_waits_for

RUNC = (
    "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: "
    "unable to start container process: "
)


def waits(reason: str, message: str) -> PodView:
    return a_pod(waiting=(reason, message))


def unscheduled(message: str, **fields: Any) -> PodView:
    return a_pod(scheduled=False, scheduling_reason="Unschedulable", scheduling_message=message, **fields)


def warning(reason: str, message: str, *, age: float = 1.0) -> PodEvent:
    return PodEvent(reason=reason, message=message, at=NOW - age)


BY_STATE: list[Any] = [
    pytest.param(
        waits("CreateContainerConfigError", 'secret "token" not found'),
        ("Pending", "SecretNotFound"),
        "Create the Secret token",
        id="a Secret that a variable needs",
    ),
    pytest.param(
        waits("CreateContainerConfigError", "couldn't find key user in Secret team-a/token"),
        ("Pending", "SecretNotFound"),
        "Add the key user to the Secret token",
        id="a key of a Secret",
    ),
    pytest.param(
        waits("CreateContainerConfigError", 'configmap "settings" not found'),
        ("Pending", "ConfigMapNotFound"),
        "Create the ConfigMap settings",
        id="a ConfigMap that a variable needs",
    ),
    pytest.param(
        waits(
            "CreateContainerConfigError",
            'failed to prepare subPath for volumeMount "v" of container "trainer"',
        ),
        ("Pending", "VolumeMountFailed"),
        "the folder is there",
        id="a folder of a volume",
    ),
    pytest.param(
        waits("CreateContainerConfigError", "container has runAsNonRoot and image will run as root"),
        ("Pending", "ContainerConfigInvalid"),
        "runAsUser",
        id="an image of root",
    ),
    pytest.param(
        waits("CreateContainerError", "failed to generate container spec: no command specified"),
        ("Error", "CommandNotFound"),
        "spec.command",
        id="an image without a command",
    ),
    pytest.param(
        waits(
            "CreateContainerError", "executable file `train` not found in $PATH: No such file or directory"
        ),
        ("Error", "CommandNotFound"),
        "spec.command",
        id="a command that another container runtime does not find",
    ),
    pytest.param(
        waits("RunContainerError", f'{RUNC}exec: "train": executable file not found in $PATH: unknown'),
        ("Error", "CommandNotFound"),
        "spec.command",
        id="a command that runc does not find",
    ),
    pytest.param(
        waits("ErrImageNeverPull", 'Container image "a:1" is not present with pull policy of Never'),
        ("Pending", "ImagePullFailed"),
        "imagePullPolicy",
        id="an image that is not to be pulled",
    ),
    pytest.param(
        waits("ErrImagePull", 'failed to resolve reference "r/a:1": r/a:1: not found'),
        ("Pending", "ImagePullFailed"),
        "name and tag",
        id="an image that the registry has not",
    ),
    pytest.param(
        waits(
            "ImagePullBackOff", "pull access denied, repository does not exist or may require authorization"
        ),
        ("Pending", "ImagePullFailed"),
        "imagePullSecrets",
        id="an image that one must log in for",
    ),
    pytest.param(
        waits("ErrImagePull", "dial tcp 127.0.0.1:1: connect: connection refused"),
        ("Pending", "ImagePullFailed"),
        "cannot reach the registry",
        id="a registry that is away",
    ),
    pytest.param(
        waits("ErrImagePull", 'failed to parse image reference "A/b:1": invalid reference format'),
        ("Error", "InvalidSpec"),
        "no registry can serve",
        id="a name that no image can have",
    ),
    pytest.param(
        waits("InvalidImageName", "couldn't parse image name"),
        ("Error", "InvalidSpec"),
        "no registry can serve",
        id="a name that the kubelet cannot read",
    ),
    pytest.param(
        unscheduled('0/2 nodes are available: persistentvolumeclaim "data" not found. not found'),
        ("Pending", "ClaimNotFound"),
        "PersistentVolumeClaim data",
        id="a claim that there is not",
    ),
    pytest.param(
        unscheduled(
            "0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found",
            claims=("data", "out"),
        ),
        ("Pending", "VolumeMountFailed"),
        "kubectl describe pvc data out",
        id="claims that are bound to no volume",
    ),
    pytest.param(
        unscheduled("0/2 nodes are available: 2 node(s) had volume node affinity conflict."),
        ("Pending", "Unschedulable"),
        "other nodes only",
        id="a volume that is elsewhere",
    ),
    pytest.param(
        unscheduled("0/2 nodes are available: 2 node(s) were unschedulable. no new claims to deallocate"),
        ("Pending", "Unschedulable"),
        "kubectl uncordon",
        id="nodes that are cordoned",
    ),
]


@pytest.mark.parametrize(("pod", "state", "advice"), BY_STATE)
def test_the_state_of_a_pod_is_told_by_its_reason_with_what_to_do(
    pod: PodView, state: tuple[str, str], advice: str
) -> None:
    p = settled(a_job(pods=(pod,)))
    assert said(p) == state
    message = status_after(p)["message"]
    assert advice in message
    assert ".." not in message
    assert ": ." not in message


def test_what_is_lacking_is_named_with_how_many_nodes_lack_it() -> None:
    pod = unscheduled(
        "0/3 nodes are available: 1 node(s) had untolerated taint {a: b}, 2 Insufficient cpu, 2 Insufficient "
        "nvidia.com/gpu. no new claims to deallocate, preemption: 0/3 nodes are available: 3 Preemption is not helpful."
    )
    message = what_it_waits_for(pod).message
    assert "Not enough is left of cpu on 2 of 3 nodes, nvidia.com/gpu on 2 of 3 nodes:" in message
    assert "reemption" not in message


BY_WARNINGS: list[Any] = [
    pytest.param(
        [warning("FailedMount", 'MountVolume.SetUp failed for volume "v" : secret "token" not found')],
        "SecretNotFound",
        "Create the Secret token",
        id="a Secret that a volume needs",
    ),
    pytest.param(
        [
            warning(
                "FailedMount",
                'MountVolume.SetUp failed for volume "v" : references non-existent secret key: k',
            )
        ],
        "SecretNotFound",
        "Add the key k",
        id="a key of a Secret that a volume needs",
    ),
    pytest.param(
        [warning("FailedMount", 'MountVolume.SetUp failed for volume "v" : configmap "settings" not found')],
        "ConfigMapNotFound",
        "Create the ConfigMap settings",
        id="a ConfigMap that a volume needs",
    ),
    pytest.param(
        [
            warning(
                "FailedMount", "mount failed: exit status 32\nMounting command: mount\nOutput: no such device"
            )
        ],
        "VolumeMountFailed",
        "exit status 32 Mounting command",
        id="a volume that cannot be mounted",
    ),
    pytest.param(
        [
            warning(
                "FailedAttachVolume",
                'Multi-Attach error for volume "pvc-1" Volume is already used by pod(s) a',
            )
        ],
        "VolumeMountFailed",
        "still attached to another node",
        id="a volume that another node has",
    ),
    pytest.param(
        [
            warning(
                "FailedMount", 'MountVolume.SetUp failed for volume "v" : secret "token" not found', age=40
            ),
            warning("FailedMount", "Unable to attach or mount volumes: unmounted volumes=[v]: timed out"),
        ],
        "SecretNotFound",
        "token",
        id="the cause, though the summary came later",
    ),
    pytest.param(
        [
            warning(
                "FailedMount", 'MountVolume.SetUp failed for volume "v" : secret "token" not found', age=40
            ),
            warning("FailedCreatePodSandBox", "Failed to create pod sandbox: no network"),
        ],
        "Starting",
        "FailedCreatePodSandBox: Failed to create pod sandbox: no network",
        id="what came after the volumes were mounted",
    ),
    pytest.param(
        [warning("FailedCreatePodSandBox", "container init was OOM-killed (memory limit too low?): unknown")],
        "Starting",
        "raise resources.limits.memory",
        id="a memory limit in which nothing fits",
    ),
    pytest.param([], "Starting", "being set up", id="nothing yet"),
]


@pytest.mark.parametrize(("events", "reason", "told"), BY_WARNINGS)
def test_the_warnings_of_a_stuck_pod_say_why(events: list[PodEvent], reason: str, told: str) -> None:
    pod = waits("ContainerCreating", "")
    p = settled(a_job(pods=(pod,), events={pod.uid: tuple(events)}))
    assert said(p) == ("Pending", reason)
    assert told in status_after(p)["message"]


def test_the_same_of_two_failing_volumes_is_told_whichever_failed_last() -> None:
    pod = waits("ContainerCreating", "")
    one, other = 'MountVolume.SetUp failed for volume "a" : x', 'MountVolume.SetUp failed for volume "b" : x'
    first = what_it_waits_for(pod, [warning("FailedMount", one, age=9), warning("FailedMount", other)])
    later = what_it_waits_for(pod, [warning("FailedMount", one), warning("FailedMount", other, age=9)])
    assert first == later


def test_identifiers_that_differ_from_try_to_try_are_left_out() -> None:
    pod = waits("ContainerCreating", "")
    texts = [f'sandbox "{digit * 64}": plugin failed' for digit in "ab"]
    first, later = (what_it_waits_for(pod, [warning("FailedCreatePodSandBox", text)]) for text in texts)
    assert first == later


def test_mounts_that_failed_are_no_cause_once_there_is_a_sandbox() -> None:
    pod = a_pod(waiting=("ContainerCreating", ""), sandbox_ready=True)
    found = what_it_waits_for(pod, [warning("FailedMount", 'secret "token" not found')])
    assert found.reason == "PullingImage"


def test_a_pull_secret_that_there_is_not_is_named_beside_the_failed_pull() -> None:
    pod = waits("ErrImagePull", "pull access denied")
    told = (
        "Unable to retrieve some image pull secrets (registry); attempting to pull the image may not succeed."
    )
    found = what_it_waits_for(pod, [warning("FailedToRetrieveImagePullSecret", told)])
    assert found.reason == "ImagePullFailed"
    assert "imagePullSecrets name registry" in found.message


def test_a_pull_is_told_in_the_same_words_while_it_is_tried_and_while_it_is_waited_with() -> None:
    cause = 'failed to resolve reference "r/a:1": r/a:1: not found'
    tried = what_it_waits_for(waits("ErrImagePull", cause))
    backing_off = f'Back-off pulling image "r/a:1": ErrImagePull: {cause}'
    assert what_it_waits_for(waits("ImagePullBackOff", backing_off)) == tried


def test_an_init_container_that_cannot_start_is_told_as_the_trainer_is() -> None:
    init = ContainerView(name="fetch", state="waiting", reason="ErrImagePull", message="r/a:1: not found")
    found = what_it_waits_for(a_pod(init=(init,)))
    assert (found.phase, found.reason) == (Phase.PENDING, "ImagePullFailed")
    assert "container fetch" in found.message


def test_a_claim_that_there_is_not_is_given_up_with_the_start_up_clock_and_a_full_cluster_never() -> None:
    claim = unscheduled('0/2 nodes are available: persistentvolumeclaim "data" not found.')
    assert said(plan(a_job(pods=(claim,), startupTimeoutSeconds=60))) == ("Error", "StartupTimeout")
    full = unscheduled("0/2 nodes are available: 2 Insufficient cpu.")
    assert said(settled(a_job(pods=(full,), startupTimeoutSeconds=60))) == ("Pending", "Unschedulable")
