"""Which cluster is meant, and as whom: a pod's own credentials, else a kubeconfig.

Separate because it is the official client's reading of both, with what that does not refuse. Called by
`client`, and by `trainyard.cli` for the file that is meant.
"""

from __future__ import annotations

import os
from typing import Any

from kubernetes.aio import config
from kubernetes.aio.client.configuration import Configuration


class NoClusterError(Exception):
    """Neither a pod's own credentials nor a usable kubeconfig."""


async def configured(*, kubeconfig: str | None, context: str | None) -> Configuration:
    """In-cluster credentials where there are any and no kubeconfig is named; else a kubeconfig.

    Raises NoClusterError when there is neither.
    """
    configuration = Configuration()
    # NB: no limit: each followed log holds a connection, and requests must not wait for one of those to end.
    configuration.connection_pool_maxsize = 0
    load_incluster: Any = config.load_incluster_config  # untyped in the official client
    load_kubeconfig: Any = config.load_kube_config
    if kubeconfig is None and context is None:
        try:
            load_incluster(client_configuration=configuration)
            return configuration
        except config.ConfigException:
            pass
    _refuse_missing(kubeconfig)
    file = kubeconfig_file(kubeconfig)
    try:
        await load_kubeconfig(config_file=file, context=context, client_configuration=configuration)
    except (config.ConfigException, OSError) as error:
        raise NoClusterError(str(error)) from error
    return configuration


def kubeconfig_file(named: str | None) -> str:
    """The kubeconfig that is meant: as it is named, else $KUBECONFIG, several with colons, else kubectl's default.

    NB: never None for the official client, which takes an empty variable for a name.
    """
    return named or os.environ.get("KUBECONFIG") or "~/.kube/config"


def _refuse_missing(kubeconfig: str | None) -> None:
    # The official client takes a file that is not there for one that is empty.
    if kubeconfig is not None:
        if not os.path.exists(kubeconfig):
            raise NoClusterError(f"there is no kubeconfig {kubeconfig}.")
        return
    named = kubeconfig_file(None)
    if not any(os.path.exists(os.path.expanduser(path)) for path in named.split(os.pathsep) if path):
        source = "$KUBECONFIG names" if os.environ.get("KUBECONFIG") else "the default is"
        raise NoClusterError(f"{source} {named}, which does not exist; name another by --kubeconfig.")
