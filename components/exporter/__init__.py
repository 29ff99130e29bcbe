"""The trained network and the transform graph as one SavedModel: raw rows in, probabilities out.

Reads Examples, Features (the transform graph, the vocabularies, and rows to prove the export by)
and Model. Writes saved_model/, which a plain TensorFlow process or TensorFlow Serving loads from
anywhere, without seqline, Keras or TFT.

Signatures, each for `batch` rows:

    serving_default     what a row holds -> probabilities: float32 [batch, num_classes],
                        label: string [batch], class_id: int64 [batch]. A row holds
                          text: string [batch]
                          or tokens: string [batch, time], "" after the last token of a row
                          or sequence: float32 [batch, time, dim] and length: int64 [batch], the
                          time steps of each row; what follows them is not read
    serving_fast        the same with its time loop compiled by XLA: for servers that allow it
                        (--xla_cpu_compilation_enabled)
    serving_top_k       the same rows -> top_labels: string [batch, k],
                        top_probabilities: float32 [batch, k], the likeliest first
    serving_explain     models with a wide part only; the same rows, text or tokens -> why the k
                        likeliest labels got what they got, `top_k` of them, see below
    serving_examples    examples: serialized tf.Examples with `text`, `tokens` (any number) or
                        `sequence` (time * dim numbers, step by step) -> as serving_default
    classify            inputs: the same tf.Examples -> classes: string [batch, num_classes],
                        scores: float32 [batch, num_classes]; for TensorFlow Serving's Classify API
    serving_ids         not for sequences, nor with a wide part; ids: int64 [batch, time], 0 after
                        the row -> probabilities, class_id
    serving_ascii       texts only, not with a wide part; text: string [batch] -> probabilities,
                        class_id, by the few string operations that other runtimes have (OpenVINO);
                        NaN and -1 for a text that is not all ASCII
    transform_features  examples: the same tf.Examples, `label` optional -> ids: int64
                        [batch, time] with PAD after the row, or values: float32
                        [batch, time, dim] with zeros after it; length: int64 [batch];
                        label: int64 [batch], the class id, -1 for none

What serving_explain gives (`components.exporter.explanation`), all numbers float32:

    top_labels, top_probabilities   [batch, k], as serving_top_k
    ngrams              string [batch, m]: the tokens and sequences of tokens of the whole text that
                        the wide part knows, at most 50, those that count most for or against the
                        first of top_labels in front; "" after the last. The tokens of a sequence
                        are joined by a space; where tokens are characters, by nothing, and the
                        start and the end of the text are U+2402 and U+2403
    counts              int64 [batch, m]: how often the text has it; 0 after the last
    scores              [batch, m, k]: what it adds, all of its occurrences together, to each of
                        top_labels; positive speaks for the label, negative against it
    others              [batch, k]: what the text's other n-grams add, those beyond the 50
    prior               [batch, k]: what the wide part says of a text without n-grams
    recurrent           [batch, k]: what the recurrent part adds (absent without one)
    wide_probabilities, recurrent_probabilities
                        [batch, k]: what each of the two parts says alone (the latter is absent
                        without one)

For each label, scores (over m) + others + prior + recurrent = log p - the mean of log p over all
classes, with p the served probabilities: the log-odds of a label against the average one. The
difference of two labels' sums is log(p_1 / p_2).

saved_model/assets.extra/ holds tf_serving_warmup_requests and model.json: the model card as data,
with the tolerance that answers of this model are to be compared with (`parity.tolerance`).

No export is finished before another process, which has TensorFlow and nothing else, has read it
back and answered the same as the network that was trained (`components.exporter.parity`).
"""

from pathlib import Path
from typing import Literal

from pydantic import Field

from seqline.component import Component, Figures, Params
from seqline.data.features import SAVED_MODEL

TableDtype = Literal["float32", "int16", "bfloat16", "int8"]


class ExporterParams(Params):
    table_dtype: TableDtype | None = Field(
        None,
        description=(
            "type of the tables of tokens and n-grams; int16 halves them and hardly changes an"
            " answer, bfloat16 halves them, int8 quarters them; the figures give the loss of"
            " accuracy; null: int16 for a model with a wide part, unless parity_tolerance is set or"
            " log-odds of an answer change by more than 0.01, else float32"
        ),
    )
    top_k: int = Field(
        5,
        ge=1,
        description=(
            "number of labels in the answers of the signature serving_top_k; all labels if"
            " there are fewer"
        ),
    )
    parity_rows: int = Field(
        256,
        ge=1,
        description=(
            "number of eval rows on which an export is compared with the trained network;"
            " some rows of the other splits are added"
        ),
    )
    parity_tolerance: float | None = Field(
        None,
        gt=0,
        description=(
            "how far the log-odds of any two classes may differ from the trained network's,"
            " with float32 tables; null: 50 times that network's own float32 rounding"
        ),
    )

    @property
    def tables(self) -> TableDtype:
        """The type of the tables; an export decides for null, see `export.table_dtypes`."""
        return self.table_dtype or "float32"


def run(
    *, examples: Path, features: Path, model: Path, params: ExporterParams, output: Path
) -> Figures:
    """Builds the serving graph, writes the SavedModel, and has it answer real rows.

    Raises:
        ParityError: for the first row of which the written SavedModel gives other ids than the
            Features hold, or, by more than rounding, other probabilities or another label than the
            trained network.
    """
    from components.exporter import export

    return export.export(examples, features, model, params, output / SAVED_MODEL)


def describe(figures: Figures) -> str:
    text = (
        f"SavedModel of {figures['num_bytes'] / 1e6:.1f} MB; {figures['num_rows']} rows as trained,"
        f" to {figures['max_difference']:.0e}"
    )
    if figures["table_dtype"] != "float32":
        text += (
            f" ({figures['table_dtype']} tables: eval accuracy {figures['accuracy_change']:+.3f}, "
            f"{figures['num_other_labels']} other labels)"
        )
    return text


EXPORTER = Component(
    name="exporter",
    inputs={"examples": "Examples", "features": "Features", "model": "Model"},
    output="SavedModel",
    params=ExporterParams,
    run=run,
    describe=describe,
    libraries=("tensorflow", "keras", "tensorflow-transform", "tensorflow-serving-api"),
)
