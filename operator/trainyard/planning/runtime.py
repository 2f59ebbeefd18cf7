"""Which image and command serve a job: the runtime catalogue as planning sees it.

Separate because the catalogue's files are read elsewhere (trainyard.catalog); this is its meaning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from trainyard.api.trainingjob import TrainingJobSpec


@dataclass(frozen=True, kw_only=True)
class RuntimeAction:
    """How a runtime does one action. Empty: the image's own entry point and arguments."""

    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """An entry of the catalogue, or a user's own image (`name` is empty then)."""

    name: str
    image: str
    architectures: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    actions: Mapping[str, RuntimeAction] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Unresolved:
    """No runtime serves the job; `message` says what would."""

    message: str


def resolve(spec: TrainingJobSpec, catalog: Sequence[Runtime]) -> tuple[Runtime, RuntimeAction] | Unresolved:
    """The runtime and its action for a job; `image`, `command` and `args` of the spec win over the entry's."""
    own = RuntimeAction(command=tuple(spec.command or ()), args=tuple(spec.args or ()))
    if not (spec.runtime or spec.architecture or spec.type):
        if not spec.image:
            return Unresolved(message="Say what to run: one of runtime, architecture or type, or an image.")
        return Runtime(name="", image=spec.image), own
    entry = _entry(spec, catalog)
    if isinstance(entry, Unresolved):
        return entry
    action = entry.actions.get(spec.action)
    if action is None:
        known = ", ".join(sorted(entry.actions))
        return Unresolved(message=f"Runtime {entry.name} has no action {spec.action}; it has {known}.")
    chosen = RuntimeAction(command=own.command or action.command, args=own.args or action.args)
    if spec.image:
        entry = Runtime(name=entry.name, image=spec.image, actions=entry.actions)
    return entry, chosen


def _entry(spec: TrainingJobSpec, catalog: Sequence[Runtime]) -> Runtime | Unresolved:
    for what, wanted, offered in (
        ("runtime", spec.runtime, {entry.name: entry for entry in catalog}),
        ("architecture", spec.architecture, {a: e for e in catalog for a in e.architectures}),
        ("type", spec.type, {t: e for e in catalog for t in e.types}),
    ):
        if wanted is not None:
            found = offered.get(wanted)
            known = ", ".join(sorted(offered)) or "none yet"
            return found or Unresolved(message=f"No runtime for {what} {wanted}; the catalogue has {known}.")
    return Unresolved(message="Say what to run.")
