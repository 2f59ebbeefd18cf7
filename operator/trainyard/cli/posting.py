"""Creating a TrainingJob that a command has made up itself.

Separate because `recommend` and `train model` do it, and what the API server refuses is told in the same words as by
`submit`.
"""

from __future__ import annotations

from typing import Any

from trainyard.cli import errors
from trainyard.cli.connection import Connection
from trainyard.cli.exits import CommandError
from trainyard.cli.intents import FIELD_MANAGER
from trainyard.cluster import resources
from trainyard.cluster.client import ApiError

Json = dict[str, Any]


async def job(there: Connection, body: Json) -> Json:
    """The TrainingJob as it was created. Raises CommandError for one that the API server refuses."""
    params = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict"}
    metadata = body["metadata"]
    called = metadata.get("name") or f"{metadata.get('generateName')}..."
    try:
        return await there.client.post(resources.path("TrainingJob", there.namespace), body, params)
    except ApiError as error:
        if error.status == 409 and error.reason == "AlreadyExists":
            raise CommandError(
                f"TrainingJob {called} exists already: choose another name (--name)."
            ) from None
        if errors.is_not_served(error):
            raise CommandError(errors.NOT_INSTALLED) from None
        if error.status in (400, 422):
            lines = errors.causes(error) or [errors.as_sentence(error.message)]
            raise CommandError("\nError: ".join(f"TrainingJob {called}: {line}" for line in lines)) from None
        raise
