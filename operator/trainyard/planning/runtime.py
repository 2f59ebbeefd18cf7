"""Which image and command serve a job: the runtime catalogue as planning sees it.

Separate because the catalogue's files are read elsewhere (trainyard.catalog); this is its meaning.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trainyard.api.trainingjob import TrainingJobSpec
from trainyard.planning.nearest import hint, listed
from trainyard.planning.parameters import Schema

#: What an image of the user's own is taken to be able to resume: the actions that train.
_RESUMABLE_OF_OWN = frozenset({"train", "retrain", "distill", "quantize", "custom"})
_LISTED_BY = "`trainyard runtimes`"
#: Types of models for which there is no trainer; `auto` is not one that could be trained.
_UNSERVED_TYPES = frozenset({"single_label_classification", "multi_label_classification", "object_detection"})


@dataclass(frozen=True, kw_only=True)
class RuntimeAction:
    """How a runtime does one action. An empty command or args: the image's own.

    `kinds` are the types and architectures that have this action, None is all of the entry. `schemas` hold the
    parameters of those whose parameters differ, `schema` those of the others. `defaults` go under the job's
    parameters; `tunable` are ranges for a search by dotted name, `tunables` those of one type or architecture. A range
    with `enabled: false` is for who asks for it. `epochs` are names of the parameter that sets the number of epochs:
    the first is what a search sets, and then the other ones must not be given; `epochs_of` are those of one type or
    architecture. An action that `needs_kind` has to know the type or architecture. One with `needs_args` runs what the
    job's `args` say, and this is what to tell who gave none. One that `needs_parent` works on what another job has
    left or on a whole base model, one that `needs_input` on a Dataset; what one that `needs_output` is there for would
    be lost without an output.
    """

    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    kinds: frozenset[str] | None = None
    schema: Schema | None = None
    schemas: Mapping[str, Schema] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    tunable: Mapping[str, Any] = field(default_factory=dict)
    tunables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    epochs: tuple[str, ...] = ()
    epochs_of: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    resumable: bool = False
    needs_kind: bool = False
    needs_args: str = ""
    needs_parent: bool = False
    needs_input: bool = False
    needs_output: bool = False

    def serves(self, kind: str) -> bool:
        return self.kinds is None or kind in self.kinds

    def for_kind(self, kind: str) -> RuntimeAction:
        """This action with the schema that holds for one type or architecture, and what that says of tuning."""
        schema = self.schemas.get(kind, self.schema)
        listed = schema.tunable if schema is not None else {}
        tunable = {**listed, **self.tunable, **self.tunables.get(kind, {})}
        epochs = self.epochs_of.get(kind, self.epochs)
        return dataclasses.replace(
            self, schema=schema, schemas={}, tunable=tunable, tunables={}, epochs=epochs, epochs_of={}
        )


@dataclass(frozen=True, kw_only=True)
class Details:
    """What else is known of a type or an architecture; for people and for checks of other kinds."""

    dataset_type: str = ""
    dataset_formats: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    task: str = ""
    domain: str = ""
    license: str = ""
    backbones: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """An entry of the catalogue, or a user's own image (`name` is empty then).

    An entry that is the user's `own` goes before one that comes with the release. `run_as_user` and `env` are
    what its image needs to run without root.
    """

    name: str
    image: str
    architectures: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    details: Mapping[str, Details] = field(default_factory=dict)
    actions: Mapping[str, RuntimeAction] = field(default_factory=dict)
    requires: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    notes: str = ""
    run_as_user: int | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    own: bool = False

    @property
    def kinds(self) -> frozenset[str]:
        return self.architectures | self.types

    def actions_of(self, kind: str) -> Iterator[str]:
        """The actions that this runtime has for one of its types or architectures."""
        return (name for name, action in self.actions.items() if action.serves(kind))


@dataclass(frozen=True, kw_only=True)
class Unresolved:
    """No runtime serves the job; `message` says what would."""

    message: str


def resolve(spec: TrainingJobSpec, catalog: Sequence[Runtime]) -> tuple[Runtime, RuntimeAction] | Unresolved:
    """The runtime and its action for a job; `image`, `command` and `args` of the spec win over the entry's."""
    own = RuntimeAction(
        command=tuple(spec.command or ()),
        args=tuple(spec.args or ()),
        resumable=spec.action in _RESUMABLE_OF_OWN,
    )
    if not (spec.runtime or spec.architecture or spec.type):
        if not spec.image:
            return Unresolved(message="Say what to run: one of runtime, architecture or type, or an image.")
        return Runtime(name="", image=spec.image), own
    found = named(spec.runtime, spec.action, catalog) if spec.runtime else _serving(spec, catalog)
    if isinstance(found, Unresolved):
        return found
    entry, action = found
    image = spec.image or entry.image
    if not image:
        return Unresolved(message=f"Runtime {entry.name} has no image of its own: give one as spec.image.")
    whole = any(not one.is_ptm_backbone for one in spec.base_models)
    if action.needs_parent and spec.parent_job is None and not whole:
        return Unresolved(
            message=f"Action {spec.action} of runtime {entry.name} works on the model of another TrainingJob: name it "
            "as spec.parentJob, or a model in spec.baseModels with isPtmBackbone: false."
        )
    if action.needs_input and spec.datasets.input is None:
        return Unresolved(
            message=f"Action {spec.action} of runtime {entry.name} works on a Dataset: name it as spec.datasets.input."
        )
    if action.needs_output and spec.output is None:
        return Unresolved(
            message=f"What action {spec.action} of runtime {entry.name} makes would be lost: say in spec.output where "
            "it is kept."
        )
    if action.needs_args and not (own.args or own.command):
        return Unresolved(message=f"Runtime {entry.name}: {action.needs_args}")
    command = own.command or action.command
    args = own.args or (() if own.command else action.args)
    return dataclasses.replace(entry, image=image), dataclasses.replace(action, command=command, args=args)


def choose(kind: str, action: str, catalog: Sequence[Runtime]) -> tuple[Runtime, RuntimeAction] | Unresolved:
    """The runtime that does `action` for a type or an architecture."""
    entries = [entry for entry in catalog if kind in entry.kinds]
    if not entries:
        known = {kind for entry in catalog for kind in entry.kinds}
        return Unresolved(message=f"No runtime serves {kind}: {hint(kind, known, listed_by=_LISTED_BY)}")
    able = [entry for entry in entries if action in entry.actions and entry.actions[action].serves(kind)]
    if not able:
        offered = sorted({name for entry in entries for name in entry.actions_of(kind)})
        return Unresolved(message=f"There is no action {action} for {kind}: {_offer(action, offered)}")
    entry = next((entry for entry in able if entry.own), able[0])
    return entry, entry.actions[action].for_kind(kind)


def _serving(spec: TrainingJobSpec, catalog: Sequence[Runtime]) -> tuple[Runtime, RuntimeAction] | Unresolved:
    if spec.architecture:
        kind, known = spec.architecture, {name for entry in catalog for name in entry.architectures}
        other, elsewhere = "type", {name for entry in catalog for name in entry.types}
    else:
        kind, known = spec.type or "", {name for entry in catalog for name in entry.types}
        other, elsewhere = "architecture", {name for entry in catalog for name in entry.architectures}
    if kind in known:
        return choose(kind, spec.action, catalog)
    what = "architecture" if spec.architecture else "type"
    if kind in elsewhere:
        return Unresolved(message=f"No runtime for {what} {kind}: write {other}: {kind} instead.")
    if spec.type == "auto":
        return Unresolved(
            message=f"type: auto asks for the type that suits the data best, which only an MLModel can; name a type, "
            f"one of {listed(sorted(known))}."
        )
    if spec.type in _UNSERVED_TYPES:
        return Unresolved(
            message=f"No runtime serves type {spec.type}: name an architecture instead (`trainyard runtimes` lists "
            "them), or add an entry of your own to the catalogue."
        )
    return Unresolved(message=f"No runtime for {what} {kind}: {hint(kind, known, listed_by=_LISTED_BY)}")


def named(
    runtime: str, wanted: str, catalog: Sequence[Runtime]
) -> tuple[Runtime, RuntimeAction] | Unresolved:
    """The runtime of that name and its action `wanted`, where that needs no type or architecture."""
    entry = next((entry for entry in catalog if entry.name == runtime), None)
    if entry is None:
        near = hint(runtime, [e.name for e in catalog], listed_by=_LISTED_BY)
        return Unresolved(message=f"No runtime is named {runtime}: {near}")
    action = entry.actions.get(wanted)
    if action is None:
        offered = _offer(wanted, sorted(entry.actions))
        return Unresolved(message=f"Runtime {entry.name} has no action {wanted}: {offered}")
    if action.needs_kind:
        architectures = sorted(filter(action.serves, entry.architectures))
        types = sorted(filter(action.serves, entry.types))
        what, kinds = ("architecture", architectures) if architectures else ("type", types)
        return Unresolved(
            message=f"Action {wanted} of runtime {entry.name} has to know the {what}. Give {what} instead of "
            f"runtime, one of {listed(kinds)}."
        )
    return entry, action.for_kind("")


def _offer(action: str, offered: Sequence[str]) -> str:
    close = hint(action, offered)
    return close if close.startswith("did") else f"it has {listed(offered)}."
