"""Turns labelled rows, from files or a data set, into Examples.

Every row is in a split, or is counted and listed: none is dropped silently.

Reads one of these sources, or a table that gives one for each split:

    tfds:<name>[/<config>][:<version>]   a data set of tensorflow-datasets
    a file or a glob                     CSV, JSONL, TFRecord (tf.Example), Parquet or Arrow
    a folder                             of <class>/*.txt, or a saved data set of Hugging Face

Files are local or in buckets, and all but Parquet may be gzipped (.gz). A source's own splits are
kept; a missing one is taken from train by a digest of the content. A row holds text, a list of
tokens, or a sequence of numbers (`content`). Where the pattern has `{SPAN}`, or `{YYYY}`, `{MM}`
and `{DD}`, data arrive span by span, and `span` and `window` choose among them.

Writes:

    Split-<train|eval|test>/data_tfrecord-*.gz   tf.Examples: the content, `label` and, with
                                                 example_gen.weight, `weight`
    examples.json                                see `seqline.data.examples`
    bad_rows/*.jsonl                             file, line and reason of each row that could not
                                                 be used
    rare_rows/*.jsonl                            file, line and label of each row of a rare class,
                                                 and what was done with it
    origins/*                                    file and line of each row of test, see
                                                 `seqline.data.origins`
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from components.example_gen.sentences import describe
from seqline.component import Component, Figures, NotInKey, NotInKeyPath, Params
from seqline.data import labels
from seqline.data.examples import Content
from seqline.data.span_cache import SpanCache
from seqline.rows.row import Quoting, RowFormat, columns_given
from seqline.storage import staging


class ExampleGenParams(Params):
    source: Annotated[str | dict[str, str], NotInKey] = Field(
        description=(
            "`tfds:<name>`; a .csv, .jsonl, .tfrecord, .parquet or .arrow file or glob (local or"
            " in a bucket, also .gz); a folder of such files, also in partitions `column=value/`,"
            " one of `<class>/*.txt`, or one that Hugging Face's `datasets` saved; or"
            " {train = ..., test = ...}."
            " With `{SPAN}`, `{VERSION}` or `{YYYY}-{MM}-{DD}`: one for each span"
        )
    )
    # Which spans are read is part of the digest of the source's content, so the key need not say
    # how they were chosen.
    span: Annotated[int | Literal["latest"], NotInKey] = Field(
        "latest",
        description=(
            "the last span to use: a number (for a date: days since 1970-01-01), or `latest`"
        ),
    )
    window: Annotated[int | Literal["all"], NotInKey] = Field(
        "all", description="how many spans to use, up to and including `span`, or `all`"
    )
    skip: Annotated[tuple[int, ...], NotInKey] = Field(
        (), strict=False, description="spans to leave out, as if they did not exist"
    )
    data_dir: NotInKeyPath = Field(
        "data", description="where tensorflow-datasets keeps prepared data sets"
    )
    content: Content = Field(
        "text",
        description=(
            "what a row holds: `text`, `tokens` (a list of strings) or `sequence` ([time, dim]"
            " numbers)"
        ),
    )
    text: str | list[str] = Field(
        "text",
        description=(
            "the column (CSV, Parquet), field (JSONL) or feature (TFDS, TFRecord) with the content;"
            ' several, as in `["title", "body"]`, are joined by a space'
        ),
    )
    label: str = Field(
        "label",
        description=(
            "the column, field or feature with the label; in a folder the class is the"
            " folder's name"
        ),
    )
    split: str | None = Field(
        None,
        description=(
            "the column with the name of a row's split: train, eval (or val, dev, valid,"
            " validation) or test, in any case; null: the source's files or a digest of the content"
            " say it"
        ),
    )
    weight: str | None = Field(
        None,
        description=(
            "the column with a row's weight in training, a number of 0 or more; null: all rows"
            " weigh the same"
        ),
    )
    dim: int | None = Field(
        None,
        ge=1,
        description=(
            "how many numbers a time step of a sequence has; needed where they come as a"
            " flat list (TFRecord)"
        ),
    )
    encoding: str = Field(
        "utf-8",
        description="the encoding of CSV, JSON and text files; a byte order mark wins over it",
    )
    delimiter: str | None = Field(
        None,
        min_length=1,
        max_length=1,
        pattern=r'[^\r\n"]',
        description=(
            "what separates the columns of a CSV file; null: the comma, or the tab, semicolon or"
            " bar by which the header holds the columns"
        ),
    )
    quoting: Quoting = Field(
        "auto",
        description=(
            "whether quotes enclose fields of a CSV file: `double` (a quote within is doubled),"
            " `none` (a quote is text), or `auto`: `none` for files with tabs whose quotes do not"
            " pair, `double` otherwise"
        ),
    )
    columns: list[str] = Field(
        [],
        description=(
            "the names of the columns of CSV files without a header, in order; []: the first line"
            " is the header"
        ),
    )
    eval_fraction: float = Field(
        0.1,
        gt=0,
        lt=1,
        description=("share of the rows that go to the eval split, where the source has none"),
    )
    test_fraction: float = Field(
        0.2,
        gt=0,
        lt=1,
        description=("share of the rows that go to the test split, where the source has none"),
    )
    max_bad_fraction: float = Field(
        0.01,
        ge=0,
        lt=1,
        description=(
            "the highest share of unusable rows (skipped and listed); above it the run fails"
        ),
    )
    min_class_rows: int = Field(
        1, ge=1, description="the fewest rows of a class in train; a class with fewer is rare"
    )
    rare_classes: Literal["leave_out", "gather", "stop"] = Field(
        "leave_out",
        description=(
            "what happens to rare classes: their rows are left out of all splits, gathered"
            " into `other_class`, or stop the run"
        ),
    )
    other_class: str = Field(
        "other",
        min_length=1,
        description="the label of gathered rows, where `rare_classes` is `gather`",
    )

    @model_validator(mode="before")
    @classmethod
    def _saves_data_sets(cls, given: Any) -> Any:
        """Data sets of `datasets` in memory are saved under data_dir, and read from there."""
        if not isinstance(given, dict) or isinstance(given.get("source"), str | None):
            return given
        from seqline.rows import hugging_face

        data_dir = str(given.get("data_dir", cls.model_fields["data_dir"].default))
        return given | {"source": hugging_face.with_paths(given["source"], data_dir)}

    @field_validator("source", mode="before")
    @classmethod
    def _is_a_name_or_a_table_of_names(cls, given: Any) -> Any:
        names = given.values() if isinstance(given, dict) else [given]
        if all(isinstance(name, str) for name in names):
            return given
        raise ValueError("input should be a valid string or a table of strings")

    @field_validator("text", mode="before")
    @classmethod
    def _is_a_column_or_several(cls, given: Any) -> Any:
        return columns_given(given)

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
        if labels.is_blank(given) or labels.CONTROL.search(labels.normal(given)):
            raise ValueError(
                "other_class is a label: it has to show something, and no control characters"
            )
        return labels.normal(given)

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

    @model_validator(mode="after")
    def _names_different_columns(self) -> Self:
        single = [name for name in (self.label, self.split, self.weight) if name is not None]
        names = [*self.texts, *single]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(
                    f"text, label, split and weight name the column {name!r} twice; each is a"
                    " column of its own"
                )
            if self.columns and name not in self.columns:
                raise ValueError(f"columns {self.columns} do not hold {name!r}; add it")

        for name in self.columns:
            if self.columns.count(name) > 1:
                raise ValueError(f"columns names {name!r} twice; every column has its own name")
        return self

    @model_validator(mode="after")
    def _says_splits_once(self) -> Self:
        if self.split is not None and isinstance(self.source, dict):
            raise ValueError(
                f"split {self.split!r} names a column with the split of each row, and source has"
                f" files for each split ({', '.join(self.source)}); remove split, or name all files"
                " in one source"
            )
        return self

    @model_validator(mode="after")
    def _joins_no_sequences(self) -> Self:
        if len(self.texts) > 1 and self.content == "sequence":
            raise ValueError(
                f"text {self.text} names several columns; sequences of numbers cannot be joined,"
                " so name one"
            )
        return self

    @property
    def texts(self) -> tuple[str, ...]:
        """The columns with the content."""
        return (self.text,) if isinstance(self.text, str) else tuple(self.text)

    @property
    def row_format(self) -> RowFormat:
        """How the rows of files are read."""
        return RowFormat(
            "example_gen",
            content=self.content,
            text=self.texts,
            label=self.label,
            split=self.split,
            weight=self.weight,
            dim=self.dim,
            dim_name="example_gen.dim",
            encoding=self.encoding,
            delimiter=self.delimiter,
            quoting=self.quoting,
            header=tuple(self.columns),
        )


def check(params: ExampleGenParams) -> None:
    """Checks what names, spans, headers and first rows already show.

    Raises:
        UserError: A span, a column or an encoding does not exist, or no file does.
        DataError: A file is empty or damaged.
    """
    from components.example_gen import sources

    sources.check(params)


def external_digest(params: ExampleGenParams, memory: Path | None = None) -> str | None:
    """The digest of the content of the window's spans.

    Args:
        params: They say which spans, and of which source.
        memory: A file with the digests of files as they were last read. Files that did not change
            since are not read again. Without it all are read.

    Returns:
        None for a TFDS data set that is not prepared yet.
    """
    from components.example_gen import sources

    return sources.digest(params, memory)


def prepare(params: ExampleGenParams) -> None:
    """Downloads and builds a TFDS data set under data_dir, once. Files need no preparation."""
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

    Args:
        params: The source, and how it is read.
        output: The folder of the artifact.
        span_cache: Where spans that were ingested are kept. Without it all are read.
        analyses: Name of a later stage -> what it wants to be counted in the same pass
            (`Component.analyze` with its params).
        beam_args: Where the job runs.

    Raises:
        UserError: A file has no such column or feature.
        DataError: A file cannot be read to its end, more rows are bad than max_bad_fraction allows,
            a split is empty, there is a single class, or there are rare classes and rare_classes is
            "stop".
    """
    from components.example_gen import ingest

    figures = ingest.ingest(
        params, output, span_cache or SpanCache(output / "span_cache"), analyses or {}, beam_args
    )
    if span_cache is None:
        staging.remove(output / "span_cache")
    return figures


EXAMPLE_GEN = Component(
    name="example_gen",
    inputs={},
    output="Examples",
    params=ExampleGenParams,
    run=run,
    describe=describe,
    span_parts=lambda span_cache, span_key, content, params: [span_cache.path(span=span_key)],
    check=check,
    external_digest=external_digest,
    prepare=prepare,
)
