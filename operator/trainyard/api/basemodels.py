"""Models to start from: how a spec names them, and how far their fetching is.

Separate because a job, an experiment and a model say the same of them.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from trainyard.api.immutability import same
from trainyard.api.schema import ApiModel, ModelName, keyed_by, rules
from trainyard.api.shared import STORE_IS_SAID, Location, ModelUri, PullState, Sha256, Store


class BaseModelReference(Store):
    """A model to start from: a version of an MLModel, or a URI."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "[has(self.model), has(self.uri)].exists_one(x, x)",
                "baseModels: give exactly one of model (an MLModel) and uri",
            ),
            (
                "has(self.model) || !(has(self.alias) || has(self.version))",
                "baseModels: alias and version go with model",
            ),
            (
                "!(has(self.alias) && has(self.version))",
                "baseModels: give alias or version, not both",
            ),
            (
                f"has(self.uri) || !{STORE_IS_SAID}",
                "baseModels: secretRef, endpoint, region and account go with uri",
            ),
        )
    )

    model: ModelName | None = Field(default=None, description="Name of an MLModel of this namespace.")
    alias: Annotated[str, Field(min_length=1, max_length=63)] | None = Field(
        default=None, description="Alias of the version, such as champion; default: the newest version."
    )
    version: Annotated[int, Field(ge=1)] | None = Field(default=None, description="Number of the version.")
    uri: ModelUri | None = Field(
        default=None,
        description="Address of the model: pvc://, s3://, gs://, abfs://, hf://, https:// or ngc:<name>.",
    )
    is_ptm_backbone: bool = Field(
        default=True,
        description="Whether it is a pretrained backbone rather than a whole model; default true.",
    )
    sha256: Sha256 | None = Field(default=None, description="Digest that the fetched file must have.")


_SAME_BASE_MODEL = " && ".join(
    same("self[0]", "self[1]", field) for field in ("model", "version", "alias", "uri")
)
_MOST_BASE_MODELS = 2
BaseModels = Annotated[
    list[BaseModelReference],
    Field(
        max_length=_MOST_BASE_MODELS,
        json_schema_extra=rules(
            (
                f"self.size() < 2 || !({_SAME_BASE_MODEL})",
                "baseModels: the two are the same; name another model, version, alias or uri, or leave one out",
            )
        ),
    ),
]


class BaseModelState(ApiModel):
    """How far the fetching of a base model is."""

    name: Location = Field(
        description="The model with its version (a@2) or alias (a:champion), as spec.baseModels says it, or the uri."
    )
    version: int | None = Field(
        default=None,
        description="The version of the MLModel that was taken; an alias that moves later does not move it.",
    )
    uri: Location | None = Field(default=None, description="Where it lay.")
    store: Store | None = Field(
        default=None, description="How the store of the uri is reached; absent: it is a claim, or public."
    )
    card: Location | None = Field(default=None, description="Where the version's model card lies.")
    pull: PullState | None = Field(
        default=None, description="starting, in_progress, pull_complete or invalid_pull."
    )
    sha256: Annotated[str, Field(max_length=64)] | None = Field(
        default=None,
        description="Digest of what was fetched: of a version's or a job's artifacts.json, of a single file its own.",
    )
    bytes: int | None = Field(default=None, description="Bytes that were fetched.")
    message: Annotated[str, Field(max_length=1024)] | None = Field(
        default=None, description="What went wrong, or what is being done."
    )


BaseModelStates = Annotated[
    list[BaseModelState], Field(max_length=_MOST_BASE_MODELS, json_schema_extra=keyed_by("name"))
]
