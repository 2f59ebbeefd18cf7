"""How a trainer's pod ended.

Separate because this is the rule that must never lie: a terminated pod is judged once, from its containers, its
termination message and its last status line (docs/trainer-contract.md, "The verdict").
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass

from trainyard.api import names
from trainyard.api.reasons import Phase, Reason
from trainyard.api.trainingjob import RestartOn
from trainyard.planning import stucktexts
from trainyard.planning.agent import Fetched, fetched, uploaded
from trainyard.planning.observed import LogView
from trainyard.planning.podloss import evicted_for_its_own_use, lost_by, taken_away, taken_away_because
from trainyard.planning.podview import ContainerView, PodView
from trainyard.planning.statusline import Termination, parse_termination

_TAIL_LINES = 5
_TAIL_CHARACTERS = 1200
#: Exit code of a trainer that was given bad parameters or data; the same go would end the same.
EXIT_BAD_INPUT = 2
#: What a shell makes of a command that it cannot run or does not find.
_EXITS_OF_SHELLS = frozenset({126, 127})
#: What runc leaves as the only output of a container whose program is none for this node.
_NO_PROGRAM = re.compile(r"exec [^\n]*: exec format error")
_START_FAILED = frozenset({"StartError", "ContainerCannotRun"})


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """An end. `lost` means that the pod was taken away, which is no end of the job but of its attempt; `again` that
    another attempt may end otherwise; `complete` that the job's result was found in its output. An attempt that was
    outrun by a later one has its number in `outrun_by`.
    """

    phase: Phase
    reason: Reason
    message: str
    exit_code: int | None = None
    lost: bool = False
    again: bool = True
    termination: Termination | None = None
    complete: Fetched | None = None
    outrun_by: int | None = None


def judge(
    pod: PodView, log: LogView | None, *, restart_on: RestartOn | None = None, told_to_end: bool = False
) -> Verdict:
    """The verdict on a pod that is judgeable; `restart_on` is the spec's choice of failures to try again.

    `told_to_end` when the job's record says that the pod was being deleted before its trainer had ended. A trainer that
    has done its work has not, as long as its agent does not say that what it left is safe.
    """
    verdict = judge_trainer(pod, log, restart_on=restart_on, told_to_end=told_to_end)
    if verdict.phase is not Phase.DONE or verdict.complete is not None or pod.agent is None:
        return verdict
    word = uploaded(pod.agent)
    if word.safe:
        return verdict
    unsafe = (
        f"The trainer in {pod.name} has done its work, but what it left is not safe in spec.output. "
        f"{word.problem or 'The agent did not come to its end.'}"
    )
    if pod.disrupted or pod.deletion_requested_at is not None:
        why = pod.message or pod.disruption_message or pod.reason or "it was deleted"
        return dataclasses.replace(
            verdict,
            phase=Phase.RUNNING,
            reason=lost_by(pod),
            message=f"{taken_away_because(pod, why)} {unsafe}",
            lost=True,
        )
    return dataclasses.replace(verdict, phase=Phase.ERROR, reason=Reason.UPLOAD_FAILED, message=unsafe)


def judge_trainer(
    pod: PodView, log: LogView | None, *, restart_on: RestartOn | None = None, told_to_end: bool = False
) -> Verdict:
    """The verdict on the trainer alone, which has ended; what became of its output is left out."""
    trainer = pod.trainer
    if evicted_for_its_own_use(pod):
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
    if taken_away(pod, trainer, termination, told_to_end=told_to_end):
        return Verdict(
            phase=Phase.RUNNING,
            reason=lost_by(pod),
            message=taken_away_because(
                pod, pod.message or pod.disruption_message or pod.reason or "it was deleted"
            ),
            exit_code=code,
            lost=True,
            termination=termination,
        )
    if trainer.reason in _START_FAILED:
        return _not_started(pod, trainer, code)
    again = tried_again(restart_on, code)
    left_out = (
        "" if again or restart_on is None else f" spec.restartOn does not have code {code} tried again."
    )
    if trainer.reason == "OOMKilled":
        return Verdict(
            phase=Phase.ERROR,
            reason=Reason.OUT_OF_MEMORY,
            message=f"The training container of {pod.name} used more memory than its limit and was killed. Let "
            "it use less (a smaller batch in spec.parameters, then a retry), or make another job with a higher "
            f"resources.limits.memory.{left_out}",
            exit_code=code,
            again=again,
            termination=termination,
        )
    if code != 0 and _NO_PROGRAM.fullmatch(trainer.message.strip()):
        return Verdict(
            phase=Phase.ERROR,
            reason=Reason.COMMAND_NOT_FOUND,
            message=stucktexts.no_command(trainer.name, stucktexts.short(trainer.message)),
            exit_code=code,
            again=False,
        )
    words = _last_words(termination, log)
    if code != 0:
        exited = f"exited with code {code}{_named(trainer)}."
        return Verdict(
            phase=Phase.ERROR,
            reason=Reason.TRAINER_FAILED,
            message=f"The training container of {pod.name} {exited}{_meaning(code)}{left_out}{words}",
            exit_code=code,
            again=again,
            termination=termination,
        )
    if _reported_failure(termination, log):
        return Verdict(
            phase=Phase.ERROR,
            reason=Reason.TRAINER_FAILED,
            message=f"The trainer in {pod.name} reported FAILURE though it exited with code 0.{words}",
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


def tried_again(restart_on: RestartOn | None, exit_code: int) -> bool:
    """Whether a training container that ended with this code is tried again, as long as backoffLimit allows."""
    if restart_on is None:
        return exit_code != EXIT_BAD_INPUT
    codes = restart_on.exit_codes
    return (exit_code in codes.values) == (codes.operator == "In")


def _not_started(pod: PodView, trainer: ContainerView, code: int) -> Verdict:
    """The container runtime could not start the container, and says why in its message."""
    text = stucktexts.short(trainer.message)
    if stucktexts.names_no_program(text):
        return Verdict(
            phase=Phase.ERROR,
            reason=Reason.COMMAND_NOT_FOUND,
            message=stucktexts.no_command(trainer.name, text),
            exit_code=code,
            again=False,
        )
    if "OOM-killed" in text or "memory limit too low" in text:
        return Verdict(
            phase=Phase.ERROR,
            reason=Reason.OUT_OF_MEMORY,
            message=f"The training container of {pod.name} could not even be started within its memory limit. Make "
            "another job with a higher resources.limits.memory.",
            exit_code=code,
            again=False,
        )
    return Verdict(
        phase=Phase.ERROR,
        reason=Reason.POD_FAILED,
        message=f"The training container of {pod.name} could not be started on node {pod.node}: "
        f"{stucktexts.start_failure(text)}. Mend what it names, or use another image or node.",
        exit_code=code,
    )


def _without_exit(pod: PodView) -> Verdict:
    """The pod ended and its training container never reported an end (node lost, init container failed)."""
    failed = next((c for c in pod.init if c.state == "terminated" and c.exit_code not in (0, None)), None)
    if failed is not None and failed.name == names.FETCH_CONTAINER:
        found = _not_fetched(pod, failed)
        if found is not None:
            return found
    if failed is not None and not pod.disrupted:
        return Verdict(
            phase=Phase.ERROR,
            reason=Reason.POD_FAILED,
            message=f"Init container {failed.name} of {pod.name} exited with code {failed.exit_code}. "
            f"{failed.message}".strip(),
            exit_code=failed.exit_code,
        )
    why = pod.message or pod.disruption_message or pod.reason or "no reason is given"
    if pod.disrupted or pod.deletion_requested_at is not None:
        return Verdict(
            phase=Phase.RUNNING,
            reason=lost_by(pod),
            message=taken_away_because(pod, why),
            lost=True,
        )
    return Verdict(phase=Phase.ERROR, reason=Reason.POD_FAILED, message=f"Pod {pod.name} failed: {why}.")


def _not_fetched(pod: PodView, fetch: ContainerView) -> Verdict | None:
    """The agent kept the trainer from starting: there is nothing to do, nothing to do it with, or no right to."""
    word = fetched(fetch)
    if word.complete:
        message = (word.record or {}).get("message")
        told = f" {message}" if isinstance(message, str) else ""
        return Verdict(
            phase=Phase.DONE,
            reason=Reason.COMPLETED,
            message=f"The result of this job was in its output already, so it was not run again.{told}"[
                :1000
            ],
            complete=word,
        )
    if word.outrun_by is not None:
        return Verdict(
            phase=Phase.RUNNING,
            reason=Reason.RESTARTING,
            message=f"Attempt {word.outrun_by} has begun already, by what lies in the output; the next one is the "
            "one after it.",
            lost=True,
            outrun_by=word.outrun_by,
        )
    if pod.disrupted or pod.deletion_requested_at is not None:
        return None
    if word.model_failed:
        return Verdict(
            phase=Phase.ERROR,
            reason=Reason.MODEL_FAILED,
            message=f"A model that the job starts from is not what it is said to be, and the trainer in {pod.name} "
            f"was not started. {word.problem}".strip(),
            exit_code=fetch.exit_code,
            again=False,
        )
    return Verdict(
        phase=Phase.ERROR,
        reason=Reason.FETCH_FAILED,
        message=f"What the trainer in {pod.name} begins with could not be fetched. "
        f"{word.problem or f'The agent exited with code {fetch.exit_code}.'}",
        exit_code=fetch.exit_code,
        again=not word.absent,
    )


def _meaning(code: int) -> str:
    if code == EXIT_BAD_INPUT:
        return " By the trainer contract that means bad parameters or data."
    if code in _EXITS_OF_SHELLS:
        return " A shell means by that a command that it cannot run or does not find."
    return ""


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
