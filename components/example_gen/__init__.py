"""Labelled text from wherever it lies to Examples: split, counted, and nothing dropped in silence.

Sources: `tfds:<name>[/<config>][:<version>]`, a CSV or JSONL file or glob, a folder of `<class>/*.txt`, or a table that
gives a file for each split. A source's own splits are kept; a missing one is taken from train by a digest of the text.

Writes `Split-<train|eval|test>/data_tfrecord-*.gz`: tf.Example with `text` and `label`, one bytes value each (UTF-8); and
`bad_rows/*.jsonl`: the file, line and reason of every row that could not be used.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator

from components.base import Component, Figures, Params, Where, WherePath


class ExampleGenParams(Params):
    source: Annotated[str | dict[str, str], Where] = Field(
        description="`tfds:<name>`, a .csv or .jsonl file or glob, a folder of `<class>/*.txt`, or {train = ..., test = ...}"
    )
    data_dir: WherePath = Field("data", description="where tensorflow-datasets keeps what it prepared")
    text: str = Field("text", description="the column (CSV), field (JSONL) or feature (TFDS) with the text")
    label: str = Field("label", description="the one with the label; in a folder the class is the folder's name")
    encoding: str = Field("utf-8", description="the encoding of the source's files")
    delimiter: str = Field(",", min_length=1, max_length=1, pattern=r'[^\r\n"]', description="what separates the columns of a CSV file")
    eval_fraction: float = Field(0.1, gt=0, lt=1, description="rows for the eval split, where the source has none")
    test_fraction: float = Field(0.2, gt=0, lt=1, description="rows for the test split, where the source has none")
    max_bad_fraction: float = Field(0.0, ge=0, lt=1, description="rows that may be unusable (skipped and listed) before the run fails")

    @field_validator("source", mode="before")
    @classmethod
    def _is_a_name_or_a_table_of_names(cls, given: Any) -> Any:
        if isinstance(given, str) or (isinstance(given, dict) and all(isinstance(each, str) for each in given.values())):
            return given
        raise ValueError("input should be a valid string or a table of strings")

    @model_validator(mode="after")
    def _leaves_train_rows(self) -> Self:
        if self.eval_fraction + self.test_fraction >= 1:
            raise ValueError(
                f"eval_fraction {self.eval_fraction} and test_fraction {self.test_fraction} leave no row for train; lower one of them"
            )
        return self


def check(params: ExampleGenParams) -> None:
    """Looks at names, headers and first rows.

    Raises UserError or DataError for a source that cannot work: missing or empty files, missing columns, unknown encoding.
    """
    from components.example_gen import sources

    sources.check(params)


def outside(params: ExampleGenParams) -> str | None:
    """The digest of the source's content; None for a TFDS data set that is not prepared yet."""
    from components.example_gen import sources

    return sources.digest(params)


def prepare(params: ExampleGenParams) -> None:
    """Downloads and builds a TFDS data set under data_dir, once; nothing to do for files."""
    from components.example_gen import sources, tfds_source

    if name := sources.tfds_name(params):
        tfds_source.prepare(name, params.data_dir)


def run(*, params: ExampleGenParams, output: Path, beam_args: Sequence[str] = ()) -> Figures:
    """Reads, splits and writes the rows on Beam.

    Raises DataError for more bad rows than max_bad_fraction, an empty split, a single class, a class with one row, or a
    label that occurs in eval or test and never in train.
    """
    from components.example_gen import ingest

    return ingest.ingest(params, output, beam_args)


def describe(figures: Figures) -> str:
    rows = {split: sum(labels.values()) for split, labels in figures["num_rows"].items()}
    text = f"{sum(rows.values()):,} rows: " + ", ".join(f"{count:,} {split}" for split, count in rows.items())
    text += f"; {len(figures['num_rows']['train'])} classes"
    if figures["num_bad_rows"]:
        text += f"; {figures['num_bad_rows']:,} bad rows skipped"
    if figures["ignored_splits"]:
        text += f"; the source's splits {', '.join(figures['ignored_splits'])} not used"
    return text


EXAMPLE_GEN = Component(
    name="example_gen",
    inputs={},
    output="Examples",
    params=ExampleGenParams,
    run=run,
    describe=describe,
    beam=True,
    check=check,
    outside=outside,
    prepare=prepare,
)
