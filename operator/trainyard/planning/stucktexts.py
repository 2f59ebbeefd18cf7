"""Sentences about a pod that is stuck: what a text of the scheduler's, the kubelet's or the container runtime's means,
and what to do.

Separate from `planning.stuckpod`, which decides by them: texts of other programs change with their versions.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from trainyard.api.reasons import Reason

_TEXT_LIMIT = 700
LOCKED = "To change where it runs, pause the job first (trainyard pause): what has not run yet may be changed then."
#: Of runc, crun and gVisor, and of containerd for an image that names none.
_NO_PROGRAM = re.compile(
    r'exec: "[^"]*": |executable file .*not found|finding executable|open executable|exec format error'
    r"|no command specified",
    re.IGNORECASE,
)
_MISSING = (
    (r'secret "(?P<name>[^"]+)" not found', Reason.SECRET_NOT_FOUND),
    (
        r"couldn't find key (?P<key>\S+) in Secret (?:[^/\s]+/)?(?P<name>[^\s,.]+)",
        Reason.SECRET_NOT_FOUND,
    ),
    (r"non-existent secret key: (?P<key>\S+)", Reason.SECRET_NOT_FOUND),
    (r'configmap "(?P<name>[^"]+)" not found', Reason.CONFIG_MAP_NOT_FOUND),
    (
        r"couldn't find key (?P<key>\S+) in ConfigMap (?:[^/\s]+/)?(?P<name>[^\s,.]+)",
        Reason.CONFIG_MAP_NOT_FOUND,
    ),
    (r"non-existent config key: (?P<key>\S+)", Reason.CONFIG_MAP_NOT_FOUND),
    (r'persistentvolumeclaims? "(?P<name>[^"]+)" not found', Reason.CLAIM_NOT_FOUND),
)


def short(text: str) -> str:
    """A text on one line, without what differs from try to try, and without its last stop."""
    text = re.sub(r"\b[0-9a-f]{32,}\b", "...", " ".join(text.split()))
    return text[:_TEXT_LIMIT].rstrip(" .")


def missing_object(text: str) -> tuple[Reason, str] | None:
    """The reason, and what to do, when a text says that a Secret, a ConfigMap or a claim is not there."""
    for pattern, reason in _MISSING:
        found = re.search(pattern, text)
        if found is None:
            continue
        names = found.groupdict()
        if reason is Reason.CLAIM_NOT_FOUND:
            return reason, no_claim(names["name"])
        kind = "Secret" if reason is Reason.SECRET_NOT_FOUND else "ConfigMap"
        what = f"{kind} {names.get('name') or ''}".rstrip()
        if "key" in names:
            return reason, f"Add the key {names['key']} to the {what}; the pod then starts by itself."
        return reason, f"Create the {what} in this namespace; the pod then starts by itself."
    return None


def no_claim(name: str) -> str:
    return (
        f"{claim_to_create(name)}; or pause the job (trainyard pause), give it the right name and resume it."
    )


def claim_to_create(name: str) -> str:
    """Of a claim that is not there, for a pod of any owner; without its stop."""
    return f"There is no PersistentVolumeClaim {name} in this namespace: create it, and the pod goes on by itself"


def unbound(claims: Sequence[str]) -> str:
    """Of claims that are there and have no volume."""
    words = " ".join(claims)
    which = f"one of the PersistentVolumeClaims {', '.join(claims)}" if len(claims) > 1 else f"claim {words}"
    return (
        f"A volume of the pod cannot be mounted: {which} is bound to no volume yet. kubectl describe pvc {words} says "
        "why (mostly a StorageClass that there is not); the pod goes on by itself when it is bound."
    )


def unmade_claims(pod: str, templates: Sequence[str]) -> str:
    """Of a pod for which no resource claims were made."""
    which = " and ".join(templates)
    return (
        f"Pod {pod} waits for a ResourceClaim of ResourceClaimTemplate {which}, and none has been made: if there is no "
        "such template in this namespace (kubectl get resourceclaimtemplates), create it, and the pod goes on by "
        f"itself. {LOCKED}"
    )


def nodes_lack(message: str) -> str:
    """The scheduler's own count of nodes and what they lack, without its last stop."""
    # NB: of resource claims there are such words even where the pod has none.
    for rest in (" no new claims to deallocate", " still not schedulable", " preemption: "):
        message = message.split(rest)[0].strip()
    return message.removesuffix("not found").strip().rstrip(",.")


def unschedulable(message: str) -> str:
    """The scheduler's own count of nodes, what they lack, and what would change it."""
    told = nodes_lack(message)
    nodes = re.match(r"\d+/(\d+) nodes are available", told)
    of = f" of {nodes[1]}" if nodes else ""
    # NB: a node lacks what is named once for each resource, so counts of different ones overlap.
    counts = re.findall(r"(\d+) Insufficient ([^\s,]+)", told)
    lacking = [f"{name} on {count}{of} nodes" for count, name in counts]
    advice = [
        sentence
        for sign, sentence in (
            (
                "Insufficient",
                f"Not enough is left of {', '.join(lacking)}: it starts by itself when a node has so much left, "
                "which one that is smaller than the request never has.",
            ),
            (
                "untolerated taint",
                "spec.accelerator brings the toleration of GPU nodes, spec.tolerations any other.",
            ),
            ("affinity/selector", "accelerator.type, nodeSelector and affinity say which nodes will do."),
            ("volume node affinity", "A volume of the pod can be mounted on other nodes only."),
            (
                "available persistent volumes",
                "A claim of the pod finds no volume: kubectl describe pvc says why.",
            ),
            ("were unschedulable", "Nodes that are cordoned take no pod until kubectl uncordon."),
            (
                "cannot allocate all claims",
                "No node has free what the pod's resource claims ask for: it starts by itself when one has. kubectl "
                "get resourceslices shows the devices that there are, and the claim's DeviceClass which will do.",
            ),
            ("Too many pods", "It starts by itself when pods on a node have ended."),
        )
        if sign in told
    ]
    return " ".join([f"{told}.", *advice, LOCKED])


def pull_advice(reason: str, text: str) -> str:
    """What to do when an image cannot be pulled; the kubelet tries again by itself."""
    low = text.lower()
    if reason == "ErrImageNeverPull":
        return "Load it onto the nodes, or let it be pulled (imagePullPolicy: IfNotPresent)."
    if any(sign in low for sign in ("unauthorized", "authentication required", "denied", "forbidden", "401")):
        return "The registry does not let the pod have it: give it a pull secret (spec.template.spec.imagePullSecrets)."
    if "no match for platform" in low:
        return "It is not built for the processors of this node: choose another image or other nodes."
    if "not found" in low or "manifest unknown" in low:
        return "Check the image's name and tag, and the pull secret."
    if "toomanyrequests" in low or "rate limit" in low:
        return "The registry lets nobody pull so often: log in by a pull secret, or use a mirror."
    if any(sign in low for sign in ("no such host", "refused", "timeout", "timed out", "unreachable")):
        return "The node cannot reach the registry: check the image's name and the node's network."
    return "Check its name and the pull secret."


def mount_advice(text: str) -> str:
    """What to do when a volume cannot be mounted; the kubelet tries again by itself."""
    if "Multi-Attach" in text:
        return (
            "It is still attached to another node: it goes on by itself when no pod there uses it, or, after the loss "
            "of that node, when Kubernetes detaches it (six minutes, or the taint node.kubernetes.io/out-of-service)."
        )
    if "subPath" in text or "subpath" in text:
        return "Check that the folder is there on the claim and that the pod may read it."
    return "Mend the volume or its claim; the pod then starts by itself."


def set_up_advice(text: str) -> str:
    """What to do when the sandbox of a pod cannot be made."""
    if "OOM-killed" in text or "memory limit too low" in text:
        return "Not even an empty container fits: raise resources.limits.memory."
    return "It is tried again by itself; if this lasts, the node is at fault: have it looked after."


def names_no_program(text: str) -> bool:
    """Whether a container runtime says that the command cannot be run."""
    return _NO_PROGRAM.search(text) is not None


def start_failure(text: str) -> str:
    """What the container runtime says at the end of its chain of causes."""
    return text.rpartition("unable to start container process: ")[2].removesuffix(": unknown")


def no_command(container: str, text: str) -> str:
    """A container whose command is not in its image, or is no program."""
    cause = start_failure(text)
    if "exec format error" in text:
        advice = "Use an image that is built for the node's processors; a script begins with #! and its interpreter."
    elif "permission denied" in text:
        advice = "Make the program executable for the user that the container runs as."
    else:
        advice = "Name a program of the image in spec.command."
    return f"The command of container {container} cannot be run: {cause}. {advice} Then use trainyard retry."


def config_advice(text: str) -> str:
    """What to do when a container cannot be created."""
    if "runAsNonRoot" in text or "non-root" in text:
        return (
            "Set template.spec.securityContext.runAsUser to a user of the image, or runAsNonRoot: false where root "
            "is allowed."
        )
    return "Check what it names in spec.env and spec.template; it is tried again by itself."
