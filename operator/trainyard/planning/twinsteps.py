"""Steps with the same spec, such as replicates: the digest of a step that is moved from one of them to another.

Separate because a digest does not know of names, and must not learn of them: with another one all that has ever run
would run again. So the name is mixed in only where a step is seen to have worked on another job, and stays from then
on. Called by `planning.experiment`.
"""

from __future__ import annotations

from collections.abc import Sequence

from trainyard.api import names
from trainyard.planning import stepjobs, steps
from trainyard.planning.experimentobserved import ObservedExperiment
from trainyard.planning.steps import StepState


def told_apart(observed: ObservedExperiment, step: str, parents: Sequence[StepState], digest: str) -> str:
    """`digest` of a step that runs once; another one where its job has worked on a step of the same digest that is not
    the one that it is to work on now.
    """
    # NB: of one that is tuned the digest handed on tells one job from another.
    if not parents or parents[0].tuned:
        return digest
    wanted = works_on(observed, parents)
    moved = stepjobs.digest(digest, wanted)
    name = names.step_job_name(experiment=observed.name, step=step)
    # NB: whoever owns it, as one of an Experiment that came back from a backup is to be known again.
    child = next((job for job in observed.jobs if job.name == name), None)
    recorded = steps.entry_of(observed.status, step)
    known = child.digest if child is not None else recorded.get("digest")
    worked_on = child.parent if child is not None else recorded.get("parentJob")
    if known == moved or (known == digest and worked_on and worked_on != wanted):
        return moved
    return digest


def works_on(observed: ObservedExperiment, parents: Sequence[StepState]) -> str | None:
    """The job whose artifacts a step is handed, also one that is not there yet; None where there is none, or where the
    best trial is still looked for.
    """
    if not parents:
        return None
    if parents[0].tuned:
        return parents[0].job
    return names.step_job_name(experiment=observed.name, step=parents[0].step.name)
