"""origin.json: where a schema comes from."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SchemaOrigin:
    """The content of origin.json.

    Attributes:
        curated: Whether a person wrote the schema; otherwise it was inferred.
    """

    curated: bool
