"""The schema that the data must match: inferred from the train split, or written by hand.

Reads Statistics. Writes:
  schema.pbtxt   tensorflow-metadata's Schema in text format: the features of the Examples and,
                 marked VALIDATION_DERIVED, their lengths and dimensions with bounds
  origin.json    {"curated": whether the schema was written by hand}

An inferred schema says what train is like, a curated one says what the data must be.
example_validator judges by that difference.

Inferred from the train split:
  presence   every row has its content and a label, even if rows of train lack them
  label      its domain is the labels of the train split
  num_*      lengths from min / length_slack to max * length_slack
  sequence   numbers from min - value_slack * (max - min) to max + value_slack * (max - min),
             of all dimensions together and of each
  dim        exactly as in train

Statistics cannot tell what is right. To write a schema by hand, copy the inferred file, edit it,
and name the copy with schema_gen.curated.
"""

from hashlib import blake2b
from pathlib import Path
from typing import Annotated

from pydantic import Field

from seqline.component import Component, Figures, NotInKey, Params


class SchemaGenParams(Params):
    curated: Annotated[str | None, NotInKey] = Field(
        None, description="a schema.pbtxt to use unchanged; without one, a schema is inferred"
    )
    length_slack: float = Field(
        4.0,
        ge=1,
        description=(
            "factor by which a content may be shorter or longer than any in train, in an"
            " inferred schema"
        ),
    )
    value_slack: float = Field(
        0.5,
        ge=0,
        description=(
            "how far a sequence's number may be outside the range of train, as a share of"
            " that range"
        ),
    )


def check(params: SchemaGenParams) -> None:
    """Raises UserError for a curated schema that is missing or is not a Schema."""
    if params.curated is not None:
        from components.schema_gen import schema

        schema.parse_curated(params.curated)


def external_digest(params: SchemaGenParams, memory: Path | None = None) -> str:
    """The digest of the curated schema; "" without one."""
    if params.curated is None:
        return ""
    from components.schema_gen import schema

    return blake2b(schema.read_curated(params.curated), digest_size=16).hexdigest()


def run(*, statistics: Path, params: SchemaGenParams, output: Path) -> Figures:
    """Writes the curated schema as it is, or an inferred one. Raises UserError as `check` does."""
    from components.schema_gen import schema

    return schema.write(statistics, params, output)


def describe(figures: Figures) -> str:
    origin = "written by hand" if figures["curated"] else "inferred from train"
    classes = f", {figures['num_classes']} classes" if figures["num_classes"] else ""
    return f"{figures['num_features']} features{classes}; {origin}"


SCHEMA_GEN = Component(
    name="schema_gen",
    inputs={"statistics": "Statistics"},
    output="Schema",
    params=SchemaGenParams,
    run=run,
    describe=describe,
    libraries=("tensorflow-metadata",),
    check=check,
    external_digest=external_digest,
)
