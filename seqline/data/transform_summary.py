"""transform.json: what a transform made of Examples. Imports nothing heavy."""

from pathlib import Path
from typing import Annotated, Literal, Required

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

from seqline.data.examples import Content
from seqline.storage import records
from seqline.storage.records import Count

SUMMARY = "transform.json"


@with_config(ConfigDict(extra="allow"))
class TransformSummary(TypedDict, total=False):
    """The fields of transform.json that are read; the others are figures.

    Attributes:
        content: What a row holds; text if an earlier version did not say it.
        dim: Numbers of a time step; None for text and tokens.
        max_length: The most tokens or time steps of a row.
        tokens, lowercase: What a token is; texts only.
        weighted: Whether each row has a weight.
        ngrams: Whether there are n-grams of the texts.
        num_rows: Split -> rows.
    """

    content: Content
    dim: Annotated[int, Field(ge=1, lt=2**31)] | None
    max_length: Required[Annotated[int, Field(ge=1, lt=2**31)]]
    tokens: Literal["word", "char"]
    lowercase: bool
    weighted: bool
    ngrams: bool
    num_rows: Required[dict[str, Count]]


def content_of(summary: TransformSummary) -> Content:
    """What a row holds."""
    return summary.get("content", "text")


def read_summary(source: Path) -> TransformSummary:
    """Reads the transform.json of Features. Raises UserError if it is missing or damaged."""
    return records.of_artifact(TransformSummary, source / SUMMARY)
