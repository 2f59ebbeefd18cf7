"""How a trainer's pod ended.

Separate because this is the rule that must never lie: a terminated pod is judged once, from its containers, its
termination message and its last status line (docs/trainer-contract.md, "The verdict").
"""

from __future__ import annotations

from dataclasses import dataclass

from trainyard.api.reasons import Phase, Reason
from trainyard.planning.observed import ContainerView, LogView, PodView
from trainyard.planning.statusline import Termination, parse_termination

_TAIL_LINES = 5
_TAIL_CHARACTERS = 1200
#: Exit code of a trainer that was given bad parameters or data; the same go would end the same.
EXIT_BAD_INPUT = 2


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """An end. `lost` means that the pod was taken away, which is no end of the job but of its attempt; `again` that
    another attempt may end otherwise.
    """

    phase: Phase
    reason: Reason
    message: str
    exit_code: int | None = None
    lost: bool = False
    again: bool = True
    termination: Termination | None = None


def judge(pod: PodView, log: LogView | None) -> Verdict:
    """The verdict on a pod that is judgeable."""
    trainer = pod.trainer
    if _evicted_for_its_own_use(pod):
        return Verdict(
            phase=Phase.ERROR,
            reason=Reason.POD_FAILED,
            message=f"Pod {pod.name} was evicted for what it used itself: {pod.message} Raise the limit.",
            exit_code=trainer.exit_code if trainer is not None else None,
        )
    if trainer is None or trainer.state != "terminated":
        return _without_exit(pod)
    termination = parse_termination(trainer.message)
    code = trainer.exit_code if trainer.exit_code is not None else -1
    if taken_away(pod, trainer, termination):
        why = pod.message or pod.reason or "it was deleted"
        return Verdict(
            phase=Phase.RUNNING,
            reason=Reason.RESTARTING,
            message=_taken_away_because(pod, why),
            exit_code=code,
            lost=True,
            termination=termination,
        )
    if trainer.reason == "OOMKilled":
        return Verdict(
            phase=Phase.ERROR,
            reason=Reason.OUT_OF_MEMORY,
            message=f"The training container of {pod.name} used more memory than its limit and was killed. Raise "
            "resources.limits.memory or lower the batch size.",
            exit_code=code,
            termination=termination,
        )
    if code != 0:
        hint = " By the trainer contract that means bad parameters or data." if code == EXIT_BAD_INPUT else ""
        told = _last_words(termination, log)
        return Verdict(
            phase=Phase.ERROR,
            reason=Reason.TRAINER_FAILED,
            message=f"The training container of {pod.name} exited with code {code}{_named(trainer)}.{hint}{told}",
            exit_code=code,
            again=code != EXIT_BAD_INPUT,
            termination=termination,
        )
    if _reported_failure(termination, log):
        return Verdict(
            phase=Phase.ERROR,
            reason=Reason.TRAINER_FAILED,
            message=f"The trainer in {pod.name} reported FAILURE though it exited with code 0."
            f"{_last_words(termination, log)}",
            exit_code=0,
            termination=termination,
        )
    return Verdict(
        phase=Phase.DONE,
        reason=Reason.COMPLETED,
        message=termination.message[:1000] or "The training container exited with code 0.",
        exit_code=0,
        termination=termination,
    )


def taken_away(pod: PodView, trainer: ContainerView, termination: Termination) -> bool:
    """Whether the end is somebody's deletion or disruption of the pod and not the trainer's own.

    A trainer that is sent SIGTERM saves and exits with 0: that is no success unless it says "complete". One that
    ended before the deletion was asked for has ended by itself.
    """
    if termination.complete is True:
        return False
    asked = [at for at in (pod.disrupted_at, pod.deletion_requested_at) if at is not None]
    # NB: a node that falls silent marks also the pods on it that had ended long before.
    if asked and trainer.finished_at is not None and trainer.finished_at < min(asked):
        return False
    if pod.disrupted:
        return trainer.exit_code != 0 or pod.deletion_requested_at is not None or pod.phase == "Failed"
    return pod.deletion_requested_at is not None


def _without_exit(pod: PodView) -> Verdict:
    """The pod ended and its training container never reported an end (node lost, init container failed)."""
    failed = next((c for c in pod.init if c.state == "terminated" and c.exit_code not in (0, None)), None)
    if failed is not None and not pod.disrupted:
        return Verdict(
            phase=Phase.ERROR,
            reason=Reason.POD_FAILED,
            message=f"Init container {failed.name} of {pod.name} exited with code {failed.exit_code}. "
            f"{failed.message}".strip(),
            exit_code=failed.exit_code,
        )
    why = pod.message or pod.reason or "no reason is given"
    if pod.disrupted or pod.deletion_requested_at is not None:
        return Verdict(
            phase=Phase.RUNNING,
            reason=Reason.RESTARTING,
            message=_taken_away_because(pod, why),
            lost=True,
        )
    return Verdict(phase=Phase.ERROR, reason=Reason.POD_FAILED, message=f"Pod {pod.name} failed: {why}.")


def _evicted_for_its_own_use(pod: PodView) -> bool:
    """Whether the kubelet evicted the pod over a limit of its own (ephemeral storage, the size of an emptyDir).

    The kubelet says "exceeds the limit" or "exceeded its ... limit" then, else "The node was low on resource".
    """
    return pod.reason == "Evicted" and "exceed" in pod.message and "limit" in pod.message


def _taken_away_because(pod: PodView, why: str) -> str:
    next_one = "the next attempt continues from its last checkpoint, if it saved one"
    return f"Pod {pod.name} was taken away ({why}); {next_one}."


def _reported_failure(termination: Termination, log: LogView | None) -> bool:
    if termination.report is not None and termination.report.status:
        return termination.report.status == "FAILURE"
    return log is not None and log.report is not None and log.report.status == "FAILURE"


def _named(trainer: ContainerView) -> str:
    return f" ({trainer.reason})" if trainer.reason not in ("", "Error", "Completed") else ""


def _last_words(termination: Termination, log: LogView | None) -> str:
    """The trainer's own message, else the end of its log (the kubelet's or ours)."""
    lines = termination.message.splitlines() or list(log.tail if log else ())
    lines = [line.strip() for line in lines if line.strip()][-_TAIL_LINES:]
    text = " | ".join(lines)[-_TAIL_CHARACTERS:]
    return f" Its last words: {text}" if text else ""
