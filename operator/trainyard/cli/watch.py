"""`trainyard watch`: the progress of a TrainingJob or an Experiment until it ends.

Scripts wait for a training by the exit code, see `exits`.
"""

from __future__ import annotations

from trainyard.cli import connection, kinds, waits
from trainyard.cli.connection import Where


def command(
    job: connection.Run,
    timeout: waits.Timeout = None,
    namespace: connection.Namespace = None,
    context: connection.Context = None,
    kubeconfig: connection.Kubeconfig = None,
) -> int:
    """Watch the TrainingJob JOB, or an Experiment, until it ends.

    The exit code is 0 when it is Done, 4 when it ended in Error, 5 when it was cancelled, 3 when it is stalled and
    will not go on by itself, 124 when --timeout has passed.
    """
    where = Where(namespace=namespace, context=context, kubeconfig=kubeconfig)
    return connection.run(_watch(where, kinds.run(job), limit=timeout))


async def _watch(where: Where, which: tuple[str, str], *, limit: int | None) -> int:
    async with connection.connected(where) as there:
        job = await there.object(*which)
        (reached,) = await waits.reach(there, [job], waits.end, limit=limit, err=False)
    return reached.outcome.code
