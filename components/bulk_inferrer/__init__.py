"""Predicts the label of unlabelled rows by Beam RunInference over the SavedModel's own signature.

Reads a SavedModel and `source`, which is what example_gen reads, or a folder of text files. No
label is needed. Writes:

    predictions-<shard>-of-<shards>-<chunk>.jsonl or .tfrecord.gz
                        rows in the order of the input, and of the files by their names. A row has
                        its place (`file`, `line`), the columns to `keep`, the content, `label`,
                        `class_id` and `probabilities`, in the order of the labels in
                        predictions.json
    predictions.json    written last: the digests of model and source, the labels, the number of
                        rows by label, the files
    bad_rows.jsonl      the file, line and reason of every row that could not be used, if any

A chunk is bounded in rows and bytes, and its file appears by a rename. A run that was killed
continues with the missing chunks and ends with the same bytes as one that was not killed.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator

from seqline.component import Component, Figures, NotInKey, Params
from seqline.data.evaluation import Evaluation
from seqline.data.features import EVALUATION, SAVED_MODEL
from seqline.errors import NotBlessedError
from seqline.rows import unused
from seqline.rows.row import Quoting, RowFormat, columns_given
from seqline.rows.unused import Unused
from seqline.storage import records


class BulkInferrerParams(Params):
    source: Annotated[str | None, NotInKey] = Field(
        None,
        description=(
            "unlabelled rows to classify with the blessed model: files as in"
            " example_gen.source, or a folder of .txt files; null: none"
        ),
    )
    text: str | list[str] | None = Field(
        None,
        description=(
            "the column, field or feature with the content, or several; null: example_gen.text"
        ),
    )
    keep: list[str] = Field([], description="columns to copy into the predictions, such as an id")
    format: Literal["jsonl", "tfrecord"] = Field(
        "jsonl", description="the format of the predictions"
    )
    with_content: bool = Field(
        True, description="write the content of each row with its prediction"
    )
    signature: str = Field("serving_default", description="the SavedModel's signature to ask")
    encoding: str | None = Field(
        None, description="the encoding of CSV, JSONL and text files; null: example_gen.encoding"
    )
    delimiter: str | None = Field(
        None,
        min_length=1,
        max_length=1,
        description="the delimiter of CSV files; null: example_gen.delimiter",
    )
    quoting: Quoting | None = Field(
        None, description="whether quotes enclose fields of CSV files; null: example_gen.quoting"
    )
    columns: list[str] | None = Field(
        None,
        description=(
            "the names of the columns of CSV files without a header; null: the first line is the"
            " header"
        ),
    )
    max_bad_fraction: Annotated[float, NotInKey] = Field(
        0.0,
        ge=0,
        lt=1,
        description=(
            "the highest share of unusable rows (listed, without a prediction); above it"
            " the run fails"
        ),
    )

    @field_validator("text", mode="before")
    @classmethod
    def _is_a_column_or_several(cls, given: Any) -> Any:
        return given if given is None else columns_given(given)

    @property
    def texts(self) -> tuple[str, ...]:
        """The columns with the content."""
        if self.text is None:
            return ("text",)
        return (self.text,) if isinstance(self.text, str) else tuple(self.text)

    def with_defaults_from(self, other: RowFormat) -> Self:
        """These params, with the way in which another's files are read where they do not say."""
        given = {
            "text": other.text[0] if len(other.text) == 1 else list(other.text),
            "encoding": other.encoding,
            "delimiter": other.delimiter,
            "quoting": other.quoting,
        }
        return self.model_copy(
            update={name: value for name, value in given.items() if getattr(self, name) is None}
        )


def check(params: BulkInferrerParams) -> None:
    """Checks the names, headers and first rows of the source.

    Raises:
        UserError, DataError: The source cannot be used.
    """
    from components.bulk_inferrer import source

    source.check(params)


def check_signature(saved_model: Path, params: BulkInferrerParams) -> None:
    """Checks that a SavedModel has another signature than the default one, if that is asked.

    The job checks the default one, too. To read a signature takes TensorFlow, which takes seconds.

    Raises:
        UserError: It has none of this name that classifies rows.
    """
    from components.bulk_inferrer import source
    from seqline.model.served import SERVING_DEFAULT

    if params.signature != SERVING_DEFAULT:
        source.read_signature(saved_model, params.signature)


def external_digest(params: BulkInferrerParams, memory: Path | None = None) -> str:
    """The digest of the source's content."""
    from components.bulk_inferrer import source

    return source.digest(source.find(params).files, params, memory, paths=False)


def run(
    *,
    saved_model: Path,
    evaluation: Path,
    params: BulkInferrerParams,
    output: Path,
    work: Path | None = None,
    beam_args: Sequence[str] = (),
) -> Figures:
    """Classifies every row.

    Predictions that a killed run has left in `work` are not computed again.

    Raises:
        NotBlessedError: The evaluation refused the model.
        DataError: A file cannot be read to its end, or there are more bad rows than
            max_bad_fraction allows.
    """
    from components.bulk_inferrer import folder, job
    from seqline.data.span_cache import link_all

    verdict = Evaluation.read(evaluation / EVALUATION)
    if not verdict.blessed:
        raise NotBlessedError(
            f"The model is not blessed and was not asked: {'; '.join(verdict.refusals)}."
        )

    making = work or output
    with folder.opened(making, saved_model / SAVED_MODEL, params, force=True) as task:
        figures = job.infer(task, params, beam_args)

    if work:
        link_all([(path, output / path.name) for path in folder.results(work)])
    return figures


def gate(output: Path, params: BulkInferrerParams) -> None:
    """Raises DataError if there are more bad rows than max_bad_fraction now allows."""
    from components.bulk_inferrer import folder

    folder.validate(folder.totals_of(output, records.MADE_AGAIN), params)


def describe(figures: Figures) -> str:
    labels = sorted(figures["num_labels"].items(), key=lambda label: -label[1])
    counts = ", ".join(f"{num_rows:,} {label}" for label, num_rows in labels[:5])
    text = f"{figures['num_rows']:,} rows: {counts}"
    if len(labels) > 5:
        text += f" and {len(labels) - 5} other labels"
    if figures["num_bad_rows"]:
        text += f"; {figures['num_bad_rows']:,} bad rows skipped"
    not_read = [Unused(**found) for found in figures.get("unused_files", [])]
    return "; ".join([text, *unused.notes(not_read)])


BULK_INFERRER = Component(
    name="bulk_inferrer",
    inputs={"saved_model": "SavedModel", "evaluation": "Evaluation"},
    output="Predictions",
    params=BulkInferrerParams,
    run=run,
    describe=describe,
    libraries=("tensorflow",),
    gate=gate,
    check=check,
    external_digest=external_digest,
)
