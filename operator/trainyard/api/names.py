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
#: Of the pods that pull and check a Dataset, and of the claims that hold what was pulled.
LABEL_DATASET = f"{GROUP}/dataset"
LABEL_DATASET_UID = f"{GROUP}/dataset-uid"
#: Of a job of an Experiment: its name and UID, the step that it is of, and of a trial its number and rung.
LABEL_EXPERIMENT = f"{GROUP}/experiment"
LABEL_EXPERIMENT_UID = f"{GROUP}/experiment-uid"
LABEL_STEP = f"{GROUP}/step"
LABEL_TRIAL = f"{GROUP}/trial"
LABEL_RUNG = f"{GROUP}/rung"
#: Of what an MLModel has made, its jobs and pods: its name and UID, and of a job what that does for it: train,
#: recommend, monitor, publish or unpublish.
LABEL_MODEL = f"{GROUP}/model"
LABEL_MODEL_UID = f"{GROUP}/model-uid"
LABEL_TASK = f"{GROUP}/task"
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

#: Annotations of a job that an Experiment has made: the digest of what its step runs with; of a trial its parameters as
#: JSON, name to value as a string, and, where the search has stopped it, by which rule.
STEP_DIGEST = f"{GROUP}/step-digest"
TRIAL_PARAMETERS = f"{GROUP}/trial-parameters"
STOPPED = f"{GROUP}/stopped"

#: Annotation of an MLModel: a new value asks for another training.
TRAIN_REQUESTED_AT = f"{GROUP}/train-requested-at"
#: Annotations of a job or an Experiment that an MLModel has made: its number among those of its task, and the digest of
#: what it was made for.
TASK_NUMBER = f"{GROUP}/task-number"
TASK_DIGEST = f"{GROUP}/task-digest"
#: Annotation of a job that publishes or unpublishes: the target as it is then, as JSON.
PUBLISH_TARGET = f"{GROUP}/publish-target"
#: Annotation of one that trains: the degradation that it answers.
DEGRADED_AT = f"{GROUP}/degraded-at"
#: Annotation of a pod: the base models as they were when it was made, as JSON.
BASE_MODELS = f"{GROUP}/base-models"

#: Keeps a Dataset until no unfinished job uses what was pulled for it.
DATA_FINALIZER = f"{GROUP}/data"
#: Annotation of a Dataset: a new value asks for another look at its source.
REFRESH_REQUESTED_AT = f"{GROUP}/refresh-requested-at"
#: Annotation of a Dataset: what `trainyard push dataset` has brought, as JSON: claim, sha256, bytes, files, time.
UPLOAD = f"{GROUP}/upload"
#: Annotation of a Dataset that a job has made: its lineage, as JSON.
LINEAGE = f"{GROUP}/lineage"
#: Annotations of a claim that holds a pulled dataset: the listing that it is pulled by, the UID of the Dataset that
#: pulls it, and, once it is whole, its digest and size as JSON.
LISTING = f"{GROUP}/listing"
PULLER = f"{GROUP}/puller"
PUBLISHED = f"{GROUP}/published"
#: Annotation of a pod: the datasets as they were when it was made, as JSON.
DATASETS = f"{GROUP}/datasets"

#: The main container of a training pod.
TRAINER_CONTAINER = "trainer"
#: Those of the pods of a Dataset: the agent lists its source and pulls it, the data image checks it.
SURVEY_CONTAINER = "trainyard-survey"
PULL_CONTAINER = "trainyard-pull"
CHECK_CONTAINER = "trainyard-check"
#: Those of the pods of an Experiment: the tuner proposes trials, the agent removes what trials have stored.
PROPOSE_CONTAINER = "trainyard-propose"
SWEEP_CONTAINER = "trainyard-sweep"
#: That of a pod of an MLModel: the agent stores the record and the card of a version.
RECORD_CONTAINER = "trainyard-record"
#: The agent as init container: it fetches what the trainer goes on from.
FETCH_CONTAINER = "trainyard-fetch"
#: The agent as native sidecar: it brings checkpoints and artifacts to the output.
AGENT_CONTAINER = "trainyard-agent"

#: Audience of the token with which a pod speaks to the status server.
TOKEN_AUDIENCE = GROUP

#: Our pods carry this label, so that the watch is filtered by the server.
POD_SELECTOR = f"{LABEL_MANAGED_BY}={MANAGED_BY},{LABEL_ATTEMPT}"


def service_name(*, job: str, attempt: int) -> str:
    """The headless Service of the ranks of one attempt, `<job>-<attempt>`.

    NB: unlike a pod's, the name of a Service begins with a letter.
    """
    name = f"{job}-{attempt}"
    return name if name[0].isalpha() else f"svc-{name}"


def pod_name(*, job: str, attempt: int, rank: int) -> str:
    """The pod of one rank of one attempt, `<job>-<attempt>-<rank>`; at most 63 characters for a job's 50."""
    return f"{job}-{attempt}-{rank}"


def staged_pod_name(*, owner: str, stage: str, number: int) -> str:
    """A pod that works for a Dataset or an Experiment, `<owner>-<stage>-<number>`, which no pod of a job is called."""
    return f"{owner}-{stage}-{number}"


def step_job_name(*, experiment: str, step: str) -> str:
    """The TrainingJob of a step; at most 50 characters for 35 of an Experiment and 14 of a step."""
    return f"{experiment}-{step}"


def trial_job_name(*, experiment: str, number: int, rung: int) -> str:
    """The TrainingJob of one run of one trial."""
    return f"{experiment}-t{number}-r{rung}"


def task_name(*, model: str, task: str, number: int) -> str:
    """A job or an Experiment of an MLModel, `<model>-<task>-<number>`; a model's name has at most 28 characters."""
    return f"{model}-{task}-{number}"


def search_name(*, model: str, number: int) -> str:
    """An Experiment that trains an MLModel; at most 35 characters for a model's 28, as long as there are 100,000."""
    return f"{model}-x{number}"


def data_claim_name(pin: str, *, number: int = 1) -> str:
    """The claim that holds what a source lists, by what pins it; another `number` while one of that name goes."""
    return f"data-{pin[:16]}" if number == 1 else f"data-{pin[:16]}-{number}"
