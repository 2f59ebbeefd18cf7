"""The operator's settings: one YAML file, checked at start.

Separate because every layer above planning reads it and none may change it. The file's path is in
`TRAINYARD_CONFIG`; the Helm chart renders its `settings:` value into that file as it is. Unknown keys and
wrong types end the start with a sentence that names the key.
"""

from __future__ import annotations

import os
import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
)
from pydantic.alias_generators import to_camel

CONFIG_VARIABLE = "TRAINYARD_CONFIG"

Namespace = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
#: NB: by text, as a number would be taken for an address.
Network = Annotated[IPv4Network | IPv6Network, PlainValidator(lambda value: ip_network(str(value)))]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
PullPolicy = Literal["Always", "IfNotPresent", "Never"]
GangApi = Literal["coscheduling", "volcano"]


class SettingsError(ValueError):
    """The settings file cannot be read or says something that is not a setting."""


class _Section(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, validate_default=True
    )


class AcceleratorType(_Section):
    """Node labels that mark a type of accelerator. A node that matches any one of the keys qualifies."""

    node_labels: dict[str, tuple[str, ...]]


def _nvidia(product: tuple[str, ...], gke: tuple[str, ...], karpenter: str) -> AcceleratorType:
    labels: dict[str, tuple[str, ...]] = {"nvidia.com/gpu.product": product}
    if gke:
        labels["cloud.google.com/gke-accelerator"] = gke
    labels["karpenter.k8s.aws/instance-gpu-name"] = (karpenter,)
    return AcceleratorType(node_labels=labels)


def _default_accelerator_types() -> dict[str, AcceleratorType]:
    return {
        "t4": _nvidia(("Tesla-T4",), ("nvidia-tesla-t4",), "t4"),
        "l4": _nvidia(("NVIDIA-L4",), ("nvidia-l4",), "l4"),
        "l40": _nvidia(("NVIDIA-L40", "NVIDIA-L40S"), (), "l40s"),
        "a10": _nvidia(("NVIDIA-A10", "NVIDIA-A10G"), (), "a10g"),
        "a30": _nvidia(("NVIDIA-A30",), (), "a30"),
        "a40": _nvidia(("NVIDIA-A40",), (), "a40"),
        "a100": _nvidia(
            (
                "NVIDIA-A100-SXM4-40GB",
                "NVIDIA-A100-SXM4-80GB",
                "NVIDIA-A100-PCIE-40GB",
                "NVIDIA-A100-PCIE-80GB",
                "NVIDIA-A100-80GB-PCIe",
            ),
            ("nvidia-tesla-a100", "nvidia-a100-80gb"),
            "a100",
        ),
        "v100": _nvidia(
            ("Tesla-V100-SXM2-16GB", "Tesla-V100-SXM2-32GB", "Tesla-V100-PCIE-16GB", "Tesla-V100-PCIE-32GB"),
            ("nvidia-tesla-v100",),
            "v100",
        ),
        "h100": _nvidia(
            ("NVIDIA-H100-80GB-HBM3", "NVIDIA-H100-PCIe", "NVIDIA-H100-NVL"),
            ("nvidia-h100-80gb", "nvidia-h100-mega-80gb"),
            "h100",
        ),
        "h200": _nvidia(("NVIDIA-H200", "NVIDIA-H200-NVL"), ("nvidia-h200-141gb",), "h200"),
    }


class Accelerators(_Section):
    """How an accelerator request becomes a resource, a toleration and node labels."""

    resource_name: str = "nvidia.com/gpu"
    types: dict[str, AcceleratorType] = Field(default_factory=_default_accelerator_types)


def _bytes(value: object) -> object:
    """Bytes of a Kubernetes quantity."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kMGTPE]i?|)", str(value))
    if match is None:
        raise ValueError("must be a size such as 500Mi or 8Gi")
    number, unit = match.groups()
    power = " kMGTPE".index(unit[0]) if unit else 0
    return int(float(number) * (1024 if unit.endswith("i") else 1000) ** power)


#: Of fsspec's file systems and, in `client_kwargs`, of the clients beneath them.
_CREDENTIALS = frozenset(
    {
        *("key", "secret", "token", "password", "credential", "client_secret"),
        *("account_key", "sas_token", "connection_string"),
        *("aws_access_key_id", "aws_secret_access_key", "aws_session_token"),
    }
)
_TOKENS_WITHOUT_SECRET = re.compile(r"/.*|google_default|cloud|anon")


def _without_credentials(options: dict[str, Any]) -> dict[str, Any]:
    nested = options.get("client_kwargs")
    found = {
        **options,
        **{
            f"client_kwargs.{key}": value
            for key, value in (nested if isinstance(nested, dict) else {}).items()
        },
    }
    for path, value in found.items():
        name = path.rpartition(".")[2]
        names_a_file = name == "token" and _TOKENS_WITHOUT_SECRET.fullmatch(str(value))
        if name in _CREDENTIALS and not names_a_file:
            raise ValueError(
                f"{path} is a credential, which every reader of the settings would see; give it by an environment "
                "variable of the store's library instead (logs.secretRef of the chart)"
            )
    return options


class Logs(_Section):
    """Following the logs of running pods, and where they are kept: in a folder (`file://`), or as objects under
    any URL of fsspec (`s3://bucket/prefix`).

    `store_options` are fsspec's for it; secrets are none of them, they come by environment variables. Objects are
    written to the folder `spool` first. At most `max_streams` logs are followed at once, and the others read when
    their container has ended. Logs are removed `retention_days` after their last line, 0 is never; in a folder also
    the oldest ones before `max_size` is taken, 0 is all the room there is. A job that has not ended loses none; what
    it prints when the folder or `spool` has no room left is not kept.
    """

    follow: bool = True
    store: Annotated[str, Field(pattern=r"^[a-z][a-z0-9+.-]*:/")] = "file:///var/lib/trainyard/logs"
    store_options: Annotated[dict[str, Any], AfterValidator(_without_credentials)] = Field(
        default_factory=dict
    )
    #: NB: apart from the logs of the default store, or these would be sent and removed where objects take their place.
    spool: Annotated[str, Field(pattern=r"^/")] = "/var/lib/trainyard/logs/.spool"
    max_streams: Annotated[int, Field(ge=0, le=100_000)] = 500
    retention_days: Annotated[float, Field(ge=0, le=36_500)] = 30.0
    max_size: Annotated[int, BeforeValidator(_bytes)] = 0


class Progress(_Section):
    """Writing the trainers' reports to status; one write a job at most every `interval_seconds`."""

    enabled: bool = True
    interval_seconds: Annotated[float, Field(ge=0.5, le=3600)] = 5.0


class Callbacks(_Section):
    """Telling the receivers in `spec.callbacks`.

    `allowed_cidrs` are networks that callbacks may reach although they are private, and by http. A delivery that
    fails is tried again after `first_retry_seconds`, then after twice as long each time, for `give_up_seconds`. A
    Secret that is missing or unusable is looked at every `secret_poll_seconds`. Reports of progress to one callback of
    a job or an Experiment are at least `progress_interval_seconds` apart.
    """

    allowed_cidrs: Annotated[tuple[Network, ...], Field(alias="allowedCIDRs", max_length=256)] = ()
    timeout_seconds: Annotated[float, Field(ge=0.1, le=60)] = 10.0
    first_retry_seconds: Annotated[float, Field(ge=0.1, le=3600)] = 5.0
    longest_retry_seconds: Annotated[float, Field(ge=1, le=86400)] = 3600.0
    give_up_seconds: Annotated[float, Field(ge=1, le=604800)] = 86400.0
    secret_poll_seconds: Annotated[float, Field(ge=0.5, le=3600)] = 15.0
    progress_interval_seconds: Annotated[float, Field(ge=1, le=86400)] = 60.0
    concurrency: Annotated[int, Field(ge=1, le=256)] = 32


class Endpoint(_Section):
    """Health and metrics."""

    address: str = "0.0.0.0"  # in a pod, the kubelet and Prometheus come from outside
    port: Annotated[int, Field(ge=0, le=65535)] = 8081


class Agent(_Section):
    """The agent in pods of jobs with an output: its image, and what each of its two containers may use. `node_selector`
    and `tolerations` are those of pods of its own: these store the records of models and remove what losing trials
    left.
    """

    image: Annotated[str, Field(min_length=1, max_length=1024)] = "trainyard/agent:0.1.0"
    requests: dict[str, str] = Field(default_factory=lambda: {"cpu": "50m", "memory": "256Mi"})
    limits: dict[str, str] = Field(default_factory=lambda: {"memory": "1Gi"})
    node_selector: dict[str, str] = Field(default_factory=dict)
    tolerations: tuple[dict[str, Any], ...] = ()


class Data(_Section):
    """Pulling and checking Datasets.

    `image` is the data image, which checks them; `requests` and `limits` are its container's, and what pulls has those
    of `pull_requests` and `pull_limits`. Volumes are made with `storage_class_name` (empty: the cluster's default)
    and `access_mode` unless the Dataset says otherwise. `node_selector` and `tolerations` are those of the pods: a
    volume that only one node has is made where they run, and jobs that use it run there, too.
    """

    image: Annotated[str, Field(min_length=1, max_length=1024)] = "trainyard/data:0.1.0"
    requests: dict[str, str] = Field(default_factory=lambda: {"cpu": "100m", "memory": "512Mi"})
    limits: dict[str, str] = Field(default_factory=lambda: {"memory": "2Gi"})
    pull_requests: dict[str, str] = Field(default_factory=lambda: {"cpu": "100m", "memory": "256Mi"})
    pull_limits: dict[str, str] = Field(default_factory=lambda: {"memory": "1Gi"})
    storage_class_name: Annotated[str, Field(max_length=253)] = ""
    access_mode: Literal["ReadWriteOnce", "ReadWriteOncePod", "ReadWriteMany"] = "ReadWriteOnce"
    node_selector: dict[str, str] = Field(default_factory=dict)
    tolerations: tuple[dict[str, Any], ...] = ()


class Tuner(_Section):
    """The pods that propose the next trials of a bayesian search, one for some seconds each time: their image, what
    they may use, and where they run.
    """

    image: Annotated[str, Field(min_length=1, max_length=1024)] = "trainyard/tuner:0.1.0"
    requests: dict[str, str] = Field(default_factory=lambda: {"cpu": "100m", "memory": "256Mi"})
    limits: dict[str, str] = Field(default_factory=lambda: {"memory": "1Gi"})
    node_selector: dict[str, str] = Field(default_factory=dict)
    tolerations: tuple[dict[str, Any], ...] = ()


class StatusServer(_Section):
    """The server that training pods report to, over TLS.

    `url` is how pods reach it, `https://<service>.<namespace>.svc:8443`; without one it is off. Its certificate is in
    the Secret `secret` of the namespace `namespace`; where that holds none the operator makes one and keeps it there.
    One pod may send `requests_per_second` (twice as many in a burst), each of `max_bytes` at most.
    """

    enabled: bool = True
    address: str = "0.0.0.0"  # pods come from outside of ours
    port: Annotated[int, Field(ge=0, le=65535)] = 8443
    url: Annotated[str, Field(pattern=r"^(https://[^\s/]+)?$")] = ""
    secret: str = ""
    namespace: str = ""
    requests_per_second: Annotated[float, Field(gt=0, le=10_000)] = 10.0
    max_bytes: Annotated[int, Field(ge=1024, le=16 << 20)] = 256 << 10


class GangScheduling(_Section):
    """Which schedulers, by `spec.schedulerName`, admit the pods of a job together, and by which API."""

    schedulers: dict[str, GangApi] = {"scheduler-plugins-scheduler": "coscheduling", "volcano": "volcano"}


class Settings(_Section):
    """All settings with their defaults."""

    namespaces: tuple[Namespace, ...] = ()
    workers: Annotated[int, Field(ge=1, le=256)] = 32
    resync_seconds: Annotated[float, Field(ge=10, le=86400)] = 600.0
    log_level: LogLevel = "INFO"
    accelerators: Accelerators = Accelerators()
    images: dict[str, str] = Field(default_factory=dict)
    catalog_folders: tuple[str, ...] = ()
    image_pull_policy: PullPolicy | None = None
    logs: Logs = Logs()
    progress: Progress = Progress()
    callbacks: Callbacks = Callbacks()
    endpoint: Endpoint = Endpoint()
    agent: Agent = Agent()
    data: Data = Data()
    tuner: Tuner = Tuner()
    status_server: StatusServer = StatusServer()
    gang_scheduling: GangScheduling = GangScheduling()


def load(path: str | Path | None = None) -> Settings:
    """Settings from `path`, else from the file named in `TRAINYARD_CONFIG`, else the defaults.

    Raises SettingsError with one line for each wrong key.
    """
    chosen = path or os.environ.get(CONFIG_VARIABLE)
    if not chosen:
        return Settings()
    try:
        raw = yaml.safe_load(Path(chosen).read_text(encoding="utf-8")) or {}
    except (OSError, yaml.YAMLError) as error:
        raise SettingsError(f"The settings file {chosen} cannot be read: {error}") from error
    try:
        return Settings.model_validate(raw)
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors()]
        raise SettingsError("\n".join([f"The settings file {chosen} is wrong:", *lines])) from error
