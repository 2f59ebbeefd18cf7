"""`python -m tests.harness`: clusters up, down, and what there is. Called by the Makefile and by hand."""

from __future__ import annotations

import os
import sys

import click

from tests.harness import cache, console, controlplane, kwok
from tests.harness.client import ApiError
from tests.harness.cluster import ClusterHandle
from tests.harness.controlplane_commands import ControlPlaneConfig
from tests.harness.errors import HarnessError

DEFAULT_NAME = "dev"
KINDS = ("kind", "controlplane")


@click.group()
def cli() -> None:
    """Clusters to develop and test on."""


@cli.command()
@click.option(
    "--kind", type=click.Choice(KINDS), help="What to start; default: what CLUSTER says, else kind."
)
@click.option("--name", default=DEFAULT_NAME, show_default=True)
@click.option(
    "--nodes", envvar="NODES", type=click.IntRange(1, 5), default=1, help="Nodes of a kind cluster."
)
@click.option("--fake-nodes", type=click.IntRange(0), default=0, help="Nodes that KWOK plays (controlplane).")
@click.option("--fake-gpus", type=click.IntRange(0), default=0, help="GPUs on each of them.")
def up(kind: str | None, name: str, nodes: int, fake_nodes: int, fake_gpus: int) -> None:
    """Starts a cluster, or finds it running, and prints the path of its kubeconfig.

    CLUSTER=context:NAME takes a cluster of yours instead; the current context is never taken by itself.
    """
    wanted = kind or os.environ.get("CLUSTER") or "kind"
    if wanted == "controlplane":
        handle = _up_controlplane(name, fake_nodes, fake_gpus)
    else:
        from tests.harness import chosen

        if wanted == "kind" and controlplane.exists(name):
            raise HarnessError(f"{name} is the name of a control plane; choose another, or end it first.")
        handle = chosen.cluster(name, wanted=wanted, nodes=nodes)
    console.say(f"kubectl --kubeconfig {handle.kubeconfig} --context {handle.context} get nodes")
    click.echo(handle.kubeconfig)


def _up_controlplane(name: str, fake_nodes: int, fake_gpus: int) -> ClusterHandle:
    plane = controlplane.up(name, ControlPlaneConfig(controller_manager=True, scheduler=True))
    if fake_nodes:
        kwok.start(plane)
        kwok.add_nodes(plane, fake_nodes, gpus=fake_gpus)
    return plane.handle


@cli.command()
@click.option("--name", default=DEFAULT_NAME, show_default=True)
@click.option("--all", "every", is_flag=True, help="Every cluster that the harness made.")
def down(name: str, every: bool) -> None:
    """Ends clusters and removes all that was started or changed for them. The cache stays."""
    known = cache.cluster_names()
    # NB: only what has a folder of ours: a kind cluster of the user's may well be called "dev", too.
    if not every and name not in known:
        console.say(f"The harness has no cluster {name}; it has {', '.join(known) or 'none'}.")
        return
    for one in known if every else [name]:
        with console.step(f"Removing cluster {one}"):
            if controlplane.exists(one):
                controlplane.down(one)
            else:
                from tests.harness import kindcluster

                kindcluster.down(one)


@cli.command()
def status() -> None:
    """Says which clusters there are."""
    names = cache.cluster_names()
    for name in names:
        if controlplane.exists(name):
            click.echo(f"{name}: control plane at {controlplane.status(name)}")
        else:
            click.echo(f"{name}: kind, in {cache.cluster_folder(name)}")
    if not names:
        click.echo("No cluster of the harness is there.")


def main() -> None:
    try:
        cli(standalone_mode=False)
    except (HarnessError, ApiError, TimeoutError) as error:
        console.complain(error)
        sys.exit(1)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        console.say("interrupted")
        sys.exit(130)


if __name__ == "__main__":
    main()
