"""Names that are part of the API: group, labels, and how children are named.

Separate because manifests, selectors and other people's tools depend on them: a change here is a change of API.
"""

from __future__ import annotations

GROUP = "trainyard.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
CATEGORY = "trainyard"

MANAGED_BY = "trainyard"
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
LABEL_JOB = f"{GROUP}/job"
LABEL_JOB_UID = f"{GROUP}/job-uid"
LABEL_ATTEMPT = f"{GROUP}/attempt"
LABEL_RANK = f"{GROUP}/rank"
LABEL_QUEUE = "kueue.x-k8s.io/queue-name"

#: Keeps an ended pod until its verdict is in the job's status.
VERDICT_FINALIZER = f"{GROUP}/verdict"
#: Annotation of a pod: digest of what its job's spec says of what, where and with what.
SPEC_HASH = f"{GROUP}/spec-hash"
#: Annotation of a pod: digest of the parameters that it was given.
PARAMETERS_DIGEST = f"{GROUP}/parameters-digest"
#: Annotation of a failed job: a new value asks for another attempt.
RETRY_REQUESTED_AT = f"{GROUP}/retry-requested-at"
#: A Secret that a callback may use carries this label with the value "true".
LABEL_CALLBACK = f"{GROUP}/callback"

#: Annotation of a job with an output: its name and its UIDs, the oldest first, `<name>/<uid>,<uid>`. It comes back with
#: a backup, which gives the job a new UID, so that what it has stored under the old one is found.
STORE_UIDS = f"{GROUP}/store-uids"
#: Annotation of a pod: the certificate authority of the status server, in PEM.
SERVER_CA = f"{GROUP}/server-ca"

#: The main container of a training pod.
TRAINER_CONTAINER = "trainer"
#: The agent as init container: it fetches what the trainer goes on from.
FETCH_CONTAINER = "trainyard-fetch"
#: The agent as native sidecar: it brings checkpoints and artifacts to the output.
AGENT_CONTAINER = "trainyard-agent"

#: Audience of the token with which a pod speaks to the status server.
TOKEN_AUDIENCE = GROUP

#: Our pods carry this label, so that the watch is filtered by the server.
POD_SELECTOR = f"{LABEL_MANAGED_BY}={MANAGED_BY},{LABEL_JOB_UID}"


def service_name(*, job: str, attempt: int) -> str:
    """The headless Service of the ranks of one attempt, `<job>-<attempt>`.

    NB: unlike a pod's, the name of a Service begins with a letter.
    """
    name = f"{job}-{attempt}"
    return name if name[0].isalpha() else f"svc-{name}"


def pod_name(*, job: str, attempt: int, rank: int) -> str:
    """The pod of one rank of one attempt, `<job>-<attempt>-<rank>`; at most 63 characters for a job's 50."""
    return f"{job}-{attempt}-{rank}"
