"""One file of the catalogue made into what planning works with, and every complaint about it.

Separate because it is the format that administrators write (docs/runtimes.md); which entries there are is the
package's own business.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Annotated, Any, get_args

import orjson
import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator
from pydantic.alias_generators import to_camel

from trainyard.api.actions import Action
from trainyard.api.trainingjob import ArchitectureName
from trainyard.catalog.ranges import problem_of
from trainyard.planning.nearest import hint
from trainyard.planning.parameters import Schema
from trainyard.planning.runtime import Details, Runtime, RuntimeAction
from trainyard.yamlloader import Loader

_ACTIONS = get_args(Action)
_ENDINGS = (".yaml", ".yml")


class CatalogError(ValueError):
    """An entry of the catalogue is wrong."""


class _Model(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True)


class _File(_Model):
    """The text of a file beside the entry, in the place where it is named."""

    file: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9_][-._A-Za-z0-9]*$")]


class _Details(_Model):
    dataset_type: str = ""
    dataset_formats: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    task: str = ""
    domain: str = ""
    license: str = ""
    backbones: tuple[str, ...] = ()


def _one_or_more(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


_Names = Annotated[
    tuple[Annotated[str, Field(min_length=1, max_length=128)], ...], BeforeValidator(_one_or_more)
]


class _Action(_Model):
    command: tuple[str | _File, ...] = ()
    args: tuple[str | _File, ...] = ()
    only: frozenset[ArchitectureName] | None = None
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")
    schemas: dict[str, dict[str, Any]] = Field(default_factory=dict)
    defaults: dict[str, Any] = Field(default_factory=dict)
    tunable: dict[str, Any] = Field(default_factory=dict)
    tunables: dict[str, dict[str, Any]] = Field(default_factory=dict)
    epochs: _Names = ()
    epochs_of: dict[str, _Names] = Field(default_factory=dict)
    resumable: bool = False
    needs_kind: bool = False
    needs_args: str = ""
    needs_parent: bool = False
    needs_input: bool = False
    needs_output: bool = False


class _Entry(_Model):
    name: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
    image: Annotated[str, Field(max_length=1024, pattern=r"^\S*$")] = ""
    architectures: dict[ArchitectureName, _Details] = Field(default_factory=dict)
    types: dict[ArchitectureName, _Details] = Field(default_factory=dict)
    requires: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    notes: str = ""
    run_as_user: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    env: dict[str, str] = Field(default_factory=dict)
    actions: Annotated[dict[str, _Action], Field(min_length=1)]

    @field_validator("architectures", "types", mode="before")
    @classmethod
    def _names_alone(cls, value: Any) -> Any:
        """A list of names is a map without details."""
        if isinstance(value, list):
            return {name: {} for name in value}
        return {name: details or {} for name, details in value.items()} if isinstance(value, dict) else value


def read(files: Mapping[str, str]) -> tuple[Runtime, ...]:
    """The entries among the files (.yaml, .yml), sorted by name; the others are there to be referred to.

    Raises CatalogError that names the file and the key.
    """
    found: dict[str, Runtime] = {}
    for name in sorted(files):
        if not name.endswith(_ENDINGS):
            continue
        runtime = _Reader(name, files).runtime()
        if runtime.name in found:
            raise CatalogError(
                f"Catalogue entry {name}: name: another file has an entry {runtime.name} already."
            )
        found[runtime.name] = runtime
    return tuple(found[name] for name in sorted(found))


class _Reader:
    def __init__(self, file: str, files: Mapping[str, str]) -> None:
        self._file = file
        self._files = files

    def runtime(self) -> Runtime:
        entry = self._entry()
        kinds = {**entry.architectures, **entry.types}
        if both := sorted(entry.architectures.keys() & entry.types.keys()):
            raise self._error(
                "types", f"{both[0]} is among the architectures too; it can only be one of them."
            )
        return Runtime(
            name=entry.name,
            image=entry.image,
            architectures=frozenset(entry.architectures),
            types=frozenset(entry.types),
            details={kind: Details(**details.model_dump()) for kind, details in kinds.items()},
            actions={
                name: self._action(name, action, frozenset(kinds)) for name, action in entry.actions.items()
            },
            requires=entry.requires,
            metrics=entry.metrics,
            notes=entry.notes.strip(),
            run_as_user=entry.run_as_user,
            env=entry.env,
        )

    def _entry(self) -> _Entry:
        raw = self._yaml(self._file)
        if not isinstance(raw, dict):
            raise CatalogError(
                f"Catalogue entry {self._file}: it must be a map with name, image and actions."
            )
        # Keys that start with x- are for YAML anchors.
        raw = {key: value for key, value in raw.items() if not str(key).startswith("x-")}
        try:
            return _Entry.model_validate(raw)
        except ValidationError as error:
            found = [f"{'.'.join(map(str, e['loc'])) or 'entry'}: {_said(e)}" for e in error.errors()]
            raise CatalogError("\n  ".join([f"Catalogue entry {self._file} is wrong:", *found])) from error

    def _action(self, name: str, action: _Action, kinds: frozenset[str]) -> RuntimeAction:
        where = f"actions.{name}"
        if name not in _ACTIONS:
            raise self._error(where, f"there is no such action: {hint(name, _ACTIONS)}")
        for key, named in (
            ("only", action.only or ()),
            ("schemas", action.schemas),
            ("tunables", action.tunables),
            ("epochsOf", action.epochs_of),
        ):
            for kind in sorted(named):
                if kind not in kinds:
                    raise self._error(f"{where}.{key}", f"{kind} is no type or architecture of this entry.")
        schema = self._schema(f"{where}.schema", action.schema_) if action.schema_ is not None else None
        schemas = {kind: self._schema(f"{where}.schemas.{kind}", raw) for kind, raw in action.schemas.items()}
        if action.schemas and schema is None and action.schemas.keys() != (action.only or kinds):
            missing = sorted((action.only or kinds) - action.schemas.keys())
            raise self._error(
                f"{where}.schemas", f"there is none for {', '.join(missing)}, and no schema for all."
            )
        self._check_defaults(
            where, action.defaults, [s for s in (schema, *schemas.values()) if s is not None]
        )
        self._check_ranges(f"{where}.tunable", action.tunable, [schema, *schemas.values()])
        for kind, ranges in action.tunables.items():
            self._check_ranges(f"{where}.tunables.{kind}", ranges, [schemas.get(kind, schema)])
        for kind in sorted(action.only or kinds) or [""]:
            said = "epochsOf" if kind in action.epochs_of else "epochs"
            names = action.epochs_of.get(kind, action.epochs)
            self._check_names(f"{where}.{said}", names, schemas.get(kind, schema))
        return RuntimeAction(
            command=self._words(f"{where}.command", action.command),
            args=self._words(f"{where}.args", action.args),
            kinds=action.only,
            schema=schema,
            schemas=schemas,
            defaults=action.defaults,
            tunable=action.tunable,
            tunables=action.tunables,
            epochs=action.epochs,
            epochs_of=action.epochs_of,
            resumable=action.resumable,
            needs_kind=action.needs_kind or bool(schemas and schema is None),
            needs_args=action.needs_args,
            needs_parent=action.needs_parent,
            needs_input=action.needs_input,
            needs_output=action.needs_output,
        )

    def _check_defaults(self, where: str, defaults: Mapping[str, Any], schemas: list[Schema]) -> None:
        for schema in schemas:
            for name in defaults:
                if not schema.knows(name):
                    raise self._error(
                        f"{where}.defaults.{name}", f"not in the schema: {hint(name, schema.names)}"
                    )
            if said := schema.complaints(defaults, partial=True):
                raise self._error(f"{where}.defaults", said[0])

    def _check_ranges(self, where: str, ranges: Mapping[str, Any], schemas: list[Schema | None]) -> None:
        for name, found in ranges.items():
            if problem := problem_of(found):
                raise self._error(f"{where}.{name}", problem)
            for schema in schemas:
                if schema is not None and not schema.knows(name):
                    raise self._error(f"{where}.{name}", f"not in the schema: {hint(name, schema.names)}")

    def _check_names(self, where: str, names: Iterable[str], schema: Schema | None) -> None:
        for name in names:
            if schema is not None and not schema.knows(name):
                raise self._error(where, f"{name} is not in the schema: {hint(name, schema.names)}")

    def _schema(self, where: str, raw: dict[str, Any]) -> Schema:
        if raw.keys() == {"file"}:
            try:
                named = _File.model_validate(raw).file
            except ValidationError as error:
                raise self._error(f"{where}.file", _said(error.errors()[0])) from error
            self._text(where, named)
            raw = self._yaml(named)
            if not isinstance(raw, dict):
                raise self._error(where, f"{named} is not a JSON schema.")
        try:
            # NB: by its text, because checking a schema is slow and actions share theirs.
            schema = _compiled(orjson.dumps(raw))
        except (TypeError, ValueError) as error:
            raise self._error(where, str(error)) from error
        for name, found in schema.tunable.items():
            if problem := problem_of(found):
                raise self._error(f"{where}: x-tunable of {name}", problem)
        return schema

    def _words(self, where: str, words: tuple[str | _File, ...]) -> tuple[str, ...]:
        # NB: Kubernetes expands $(NAME) in words; that is for those of the entry, a file must arrive as it is.
        return tuple(
            word if isinstance(word, str) else self._text(where, word.file).replace("$", "$$")
            for word in words
        )

    def _text(self, where: str, name: str) -> str:
        if name not in self._files:
            raise self._error(where, f"there is no file {name} beside the entry.")
        return self._files[name]

    def _yaml(self, name: str) -> Any:
        text = self._files[name]
        try:
            return orjson.loads(text) if name.endswith(".json") else yaml.load(text, Loader)
        except (ValueError, yaml.YAMLError, RecursionError) as error:
            raise CatalogError(f"Catalogue file {name} is not YAML or JSON: {error}") from error

    def _error(self, where: str, message: str) -> CatalogError:
        return CatalogError(f"Catalogue entry {self._file}: {where}: {message}")


@lru_cache(maxsize=256)
def _compiled(text: bytes) -> Schema:
    return Schema(orjson.loads(text))


def _said(error: Any) -> str:
    return "there is no such key" if error["type"] == "extra_forbidden" else str(error["msg"])
