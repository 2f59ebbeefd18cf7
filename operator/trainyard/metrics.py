"""Prometheus metrics of the operator.

Separate so that any layer can count without knowing who serves the numbers. Labels are bounded: kinds, verbs,
codes, reasons; never the name of an object.
"""

from __future__ import annotations

import platform

from prometheus_client import Counter, Gauge, Histogram, Info

from trainyard import __version__

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

#: From a moment to a week, for what waits for machines and people.
_LONG = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 28800, 86400, 259200, 604800)

BUILD = Info("trainyard_build", "Version of the operator, and of the Python that it runs on.")
BUILD.info({"version": __version__, "python": platform.python_version()})

API_REQUESTS = Counter(
    "trainyard_api_requests_total",
    "Requests to the API server (kopf's apart); a watch counts when it ends.",
    ["verb", "code"],
)
API_SECONDS = Histogram(
    "trainyard_api_request_seconds", "Time of a request to the API server.", ["verb"], buckets=_FAST
)
RECONCILE_SECONDS = Histogram(
    "trainyard_reconcile_seconds", "Time of one reconcile, its writes included.", ["kind"], buckets=_FAST
)
RECONCILE_ERRORS = Counter(
    "trainyard_reconcile_errors_total", "Reconciles that ended with an error and were put back.", ["kind"]
)
QUEUE_DEPTH = Gauge("trainyard_queue_depth", "Keys waiting to be reconciled.")
QUEUE_SECONDS = Histogram(
    "trainyard_queue_wait_seconds", "Time from the doorbell to the start of the reconcile.", buckets=_FAST
)
DEFERRED_WRITES = Gauge(
    "trainyard_deferred_writes",
    "Writes that nobody waits for (Events, finalizers off pods whose verdict stands in status), still to be done.",
)
DOORBELLS = Counter("trainyard_watch_events_total", "Watch events received.", ["kind"])
PODS_CREATED = Counter("trainyard_pods_created_total", "Training pods created.")
TIME_TO_POD = Histogram(
    "trainyard_time_to_pod_seconds",
    "Time from the creation of a TrainingJob, or its resumption where it was suspended from the start, to the creation "
    "of its first pod, what it waits for included; by the API server's stamps of whole seconds, when it has started.",
    buckets=_LONG,
)
TIME_IN_QUEUE = Histogram(
    "trainyard_time_in_queue_seconds",
    "Time from the creation of an attempt's pods until the last was given a node (condition PodScheduled), queues and "
    "scheduling gates included; by stamps of whole seconds, when it has started.",
    buckets=_LONG,
)
TIME_TO_RUNNING = Histogram(
    "trainyard_time_to_running_seconds",
    "Time from the creation of an attempt's pods until its training container ran: queue, pull of the image, fetch.",
    buckets=_LONG,
)
ATTEMPTS = Counter(
    "trainyard_attempts_total",
    "Attempts of TrainingJobs that ended, by outcome (done, failed, lost, paused, canceled) and reason; counted by the "
    "process that wrote the end into status, so that a restart of the operator counts none twice.",
    ["outcome", "reason"],
)
JOBS_FINISHED = Counter(
    "trainyard_jobs_finished_total",
    "Ends of TrainingJobs by phase and reason; a job that is tried again, or resumed after a cancellation, can end "
    "more than once. Counted as attempts are.",
    ["phase", "reason"],
)
TRIALS = Counter(
    "trainyard_trials_total",
    "Runs of trials of Experiments that ended, by state (success, failure, stopped, canceled) and algorithm; with "
    "hyperband and asha a trial runs on each rung that it reaches. Counted as attempts are.",
    ["state", "algorithm"],
)
GPU_SECONDS = Counter(
    "trainyard_gpu_seconds_total",
    "Accelerators asked for, of all nodes, times the seconds that an attempt ran, added when it ends, by its outcome "
    "and the accelerator's type (any: none was named; other: not in the settings). Counted as attempts are.",
    ["outcome", "accelerator"],
)
UPLOADS = Counter(
    "trainyard_uploads_total",
    "Uploads of artifacts: stored, when a job ends with artifacts of known size, or failed, for each attempt that "
    "ended as UploadFailed.",
    ["outcome"],
)
UPLOAD_BYTES = Counter("trainyard_upload_bytes_total", "Bytes of the artifacts of jobs that ended.")
CALLBACKS = Counter(
    "trainyard_callbacks_total",
    "Tries to deliver a callback, by outcome: delivered, failed, gone (410), or refused before anything was sent.",
    ["event", "outcome"],
)
CALLBACKS_WAITING = Gauge("trainyard_callbacks_waiting", "Deliveries that are due and wait for their turn.")
LOG_STREAMS = Gauge("trainyard_log_streams", "Logs that are being followed now.")
LOG_STREAMS_WAITING = Gauge(
    "trainyard_log_streams_waiting",
    "Logs that are read at their end only, unless a stream of logs.maxStreams is free.",
)
LOG_BYTES = Counter("trainyard_log_bytes_total", "Bytes of logs read.")
LOG_BYTES_DROPPED = Counter(
    "trainyard_log_bytes_dropped_total",
    "Bytes of logs that could not be stored for too long; a mark is in their place.",
)
LOG_UPLOADS = Counter("trainyard_log_uploads_total", "Parts of logs sent to the object store.", ["outcome"])
REPORTS = Counter(
    "trainyard_reports_total",
    "Requests to the status server by HTTP code of the answer and kind: lines, trainer (Kubeflow's protocol), verdict; "
    "status or other for what was refused unread.",
    ["kind", "code"],
)
TOKEN_REVIEWS = Counter(
    "trainyard_token_reviews_total", "Tokens of pods that were looked into, by outcome.", ["outcome"]
)
LOGS_SWEPT = Counter(
    "trainyard_logs_swept_total", "Jobs whose stored logs were removed, by age or for room.", ["why"]
)

# NB: at 0 before anything is counted: Prometheus sees no increase in a series that begins with its first event.
for outcome in ("stored", "failed"):
    UPLOADS.labels(outcome=outcome)
    LOG_UPLOADS.labels(outcome=outcome)
