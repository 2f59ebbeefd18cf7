"""Prometheus metrics of the operator.

Separate so that any layer can count without knowing who serves the numbers. Labels are bounded: kinds, verbs,
codes, reasons; never the name of an object.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

API_REQUESTS = Counter(
    "trainyard_api_requests_total", "Requests to the API server (kopf's watches apart).", ["verb", "code"]
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
DOORBELLS = Counter("trainyard_watch_events_total", "Watch events received.", ["kind"])
PODS_CREATED = Counter("trainyard_pods_created_total", "Training pods created.")
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
LOGS_SWEPT = Counter(
    "trainyard_logs_swept_total", "Jobs whose stored logs were removed, by age or for room.", ["why"]
)
