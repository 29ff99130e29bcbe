"""Labelled rows from wherever they lie to Examples: split, counted, and nothing dropped in silence.

Sources: `tfds:<name>[/<config>][:<version>]`; a CSV, JSONL, TFRecord (tf.Example) or Parquet file
or glob; a folder of `<class>/*.txt`; or a table that gives one of these for each split. Files are
local or under gs://, and all but Parquet may be gzipped (.gz). A source's own splits are kept; a
missing one is taken from train by a digest of the content.

A row holds text, a list of tokens, or a sequence of numbers (`content`). Where the pattern holds
`{SPAN}` or `{YYYY}`, `{MM}` and `{DD}`, the data arrive span by span, and `span` and `window`
choose among them.

Writes `Split-<train|eval|test>/data_tfrecord-*.gz`: tf.Example with the content and `label` (see
`seqline.data.examples`); and `bad_rows/*.jsonl`: the file, line and reason of every row that could
not be used; `rare_rows/*.jsonl`: the file, line and label of every row of a rare class, and what
was done with it; and `origins/*.gz`: the file and line of every row of test (see
`seqline.data.origins`).
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from seqline.component import Component, Figures, NotInKey, NotInKeyPath, Params
from seqline.data.examples import GATHERED, LEFT_OUT, Content
from seqline.data.span_cache import SpanCache
from seqline.rows.row import RowFormat
from seqline.storage import staging


class ExampleGenParams(Params):
    source: Annotated[str | dict[str, str], NotInKey] = Field(
        description=(
            "`tfds:<name>`, a .csv, .jsonl, .tfrecord or .parquet file or glob (local or gs://, .gz"
            " too), a folder of `<class>/*.txt`, or {train = ..., test = ...}; with `{SPAN}`,"
            " `{VERSION}` or `{YYYY}-{MM}-{DD}` one for each span"
        )
    )
    # Which spans are read is part of the digest of the source's content, so the key need not say
    # how they were chosen.
    span: Annotated[int | Literal["latest"], NotInKey] = Field(
        "latest",
        description=(
            "the last span to use: a number (of a date: days since 1970-01-01), or `latest`"
        ),
    )
    window: Annotated[int | Literal["all"], NotInKey] = Field(
        "all", description="how many spans to use, up to and including `span`, or `all`"
    )
    skip: Annotated[tuple[int, ...], NotInKey] = Field(
        (), strict=False, description="spans to leave out, as if they were not there"
    )
    data_dir: NotInKeyPath = Field(
        "data", description="where tensorflow-datasets keeps what it prepared"
    )
    content: Content = Field(
        "text",
        description=(
            "what a row holds: `text`, `tokens` (a list of strings) or `sequence` ([time, dim]"
            " numbers)"
        ),
    )
    text: str = Field(
        "text",
        description=(
            "the column (CSV, Parquet), field (JSONL) or feature (TFDS, TFRecord) with the content"
        ),
    )
    label: str = Field(
        "label", description="the one with the label; in a folder the class is the folder's name"
    )
    dim: int | None = Field(
        None,
        ge=1,
        description=(
            "numbers of one time step of a sequence; needed where they come as a flat list"
            " (TFRecord)"
        ),
    )
    encoding: str = Field("utf-8", description="the encoding of CSV, JSONL and text files")
    delimiter: str = Field(
        ",",
        min_length=1,
        max_length=1,
        pattern=r'[^\r\n"]',
        description="what separates the columns of a CSV file",
    )
    eval_fraction: float = Field(
        0.1, gt=0, lt=1, description="rows for the eval split, where the source has none"
    )
    test_fraction: float = Field(
        0.2, gt=0, lt=1, description="rows for the test split, where the source has none"
    )
    max_bad_fraction: float = Field(
        0.01,
        ge=0,
        lt=1,
        description="rows that may be unusable (skipped and listed) before the run fails",
    )
    min_class_rows: int = Field(
        1, ge=1, description="rows of a class in train, at least; a class with fewer is rare"
    )
    rare_classes: Literal["leave_out", "gather", "stop"] = Field(
        "leave_out",
        description=(
            "what becomes of rare classes: their rows are left out of all splits, gathered into"
            " `other_class`, or stop the run"
        ),
    )
    other_class: str = Field(
        "other",
        min_length=1,
        description="the label of gathered rows, where `rare_classes` is `gather`",
    )

    @field_validator("source", mode="before")
    @classmethod
    def _is_a_name_or_a_table_of_names(cls, given: Any) -> Any:
        if isinstance(given, str) or (
            isinstance(given, dict) and all(isinstance(each, str) for each in given.values())
        ):
            return given
        raise ValueError("input should be a valid string or a table of strings")

    @field_validator("span", mode="before")
    @classmethod
    def _is_a_span(cls, given: Any) -> Any:
        if given == "latest" or (type(given) is int and given >= 0):
            return given
        raise ValueError("input should be a whole number of at least 0, or 'latest'")

    @field_validator("window", mode="before")
    @classmethod
    def _is_a_number_of_spans(cls, given: Any) -> Any:
        if given == "all" or (type(given) is int and given >= 1):
            return given
        raise ValueError("input should be a whole number of at least 1, or 'all'")

    @field_validator("other_class")
    @classmethod
    def _can_be_a_label(cls, given: str) -> str:
        if not given.strip() or not given.isprintable():
            raise ValueError(
                "other_class is a label: it has to show something, and no control characters"
            )
        return given

    @model_validator(mode="after")
    def _leaves_train_rows(self) -> Self:
        if self.eval_fraction + self.test_fraction >= 1:
            raise ValueError(
                f"eval_fraction {self.eval_fraction} and test_fraction {self.test_fraction} leave"
                " no row for train; lower one of them"
            )
        return self

    @model_validator(mode="after")
    def _has_a_dim_for_sequences_only(self) -> Self:
        if self.dim is not None and self.content != "sequence":
            raise ValueError(
                f"dim {self.dim} is for content = 'sequence', not {self.content!r}; remove one of"
                " them"
            )
        return self

    @property
    def row_format(self) -> RowFormat:
        """How the rows of files are read."""
        return RowFormat(
            "example_gen",
            content=self.content,
            text=self.text,
            label=self.label,
            dim=self.dim,
            dim_name="example_gen.dim",
            encoding=self.encoding,
            delimiter=self.delimiter,
        )


def check(params: ExampleGenParams) -> None:
    """Looks at names, spans, headers and first rows.

    Raises UserError or DataError for a source that cannot work: missing or empty files, spans or
    columns, unknown encoding.
    """
    from components.example_gen import sources

    sources.check(params)


def external_digest(params: ExampleGenParams, memory: Path | None = None) -> str | None:
    """The digest of the content of the window's spans.

    None for a TFDS data set that is not prepared yet.

    memory: a file that remembers the digests of files that did not change since; without it they
    are read each time.
    """
    from components.example_gen import sources

    return sources.digest(params, memory)


def prepare(params: ExampleGenParams) -> None:
    """Downloads and builds a TFDS data set under data_dir, once; nothing to do for files."""
    from components.example_gen import sources, tfds_source

    if name := sources.tfds_name(params):
        tfds_source.prepare(name, params.data_dir)


def run(
    *,
    params: ExampleGenParams,
    output: Path,
    span_cache: SpanCache | None = None,
    analyses: Mapping[str, Callable[..., Any]] | None = None,
    beam_args: Sequence[str] = (),
) -> Figures:
    """Reads, splits and writes the rows of the spans that were not ingested before, on Beam.

    analyses: what later stages want to count while the rows pass by (`Component.analyze` with its
    params).

    Raises DataError for a file that cannot be read to its end, more bad rows than max_bad_fraction,
    an empty split, a single class, or rare classes where rare_classes is "stop".
    """
    from components.example_gen import ingest

    figures = ingest.ingest(
        params, output, span_cache or SpanCache(output / "span_cache"), analyses or {}, beam_args
    )
    if span_cache is None:
        staging.remove(output / "span_cache")
    return figures


def describe(figures: Figures) -> str:
    rows = {split: sum(labels.values()) for split, labels in figures["num_rows"].items()}
    text = f"{sum(rows.values()):,} rows: " + ", ".join(
        f"{count:,} {split}" for split, count in rows.items()
    )
    text += f"; {len(figures['num_rows']['train'])} classes"
    if len(figures["spans"]) > 1:
        text += (
            f"; spans {figures['spans'][0]} to {figures['spans'][-1]}, {figures['num_spans_read']}"
            f" of {len(figures['spans'])} read now"
        )
    if figures["num_bad_rows"]:
        text += f"; {figures['num_bad_rows']:,} bad rows skipped"
    text += _describe_rare(figures)
    if figures["ignored_splits"]:
        text += f"; the source's splits {', '.join(figures['ignored_splits'])} not used"
    return text


def _describe_rare(figures: Figures) -> str:
    text = ""
    for name, done, done_text in (
        ("num_left_out_rows", LEFT_OUT, "left out"),
        ("num_gathered_rows", GATHERED, "gathered"),
    ):
        if figures[name]:
            num_classes = sum(record["done"] == done for record in figures["rare_classes"])
            text += (
                f"; {figures[name]:,} row{'s' * (figures[name] > 1)} of {num_classes:,} rare"
                f" class{'es' * (num_classes > 1)} {done_text}"
            )
    if num_moved := figures["num_moved_rows"]:
        text += (
            f"; {num_moved:,} row{'s' * (num_moved > 1)} moved to train, which had none of"
            f" {'their' if num_moved > 1 else 'its'} class"
        )
    return text


EXAMPLE_GEN = Component(
    name="example_gen",
    inputs={},
    output="Examples",
    params=ExampleGenParams,
    run=run,
    describe=describe,
    span_part=lambda span_cache, span_key, content, params: span_cache.path(span=span_key),
    check=check,
    external_digest=external_digest,
    prepare=prepare,
)
