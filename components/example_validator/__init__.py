"""Checks the data: against the schema, the splits with train, the newest span with earlier ones.

Reads Examples (the manifest), Statistics and Schema. Writes:
  Split-<split>/SchemaDiff.pb   tensorflow-metadata's Anomalies, which TFDV displays
  anomalies.json                a list of {split, feature, kind, severity, line, examples}

Of a Schema it checks type, presence, domain (or string_domain) with min_domain_mass, int_domain,
float_domain, value_count and min_examples_count. The thresholds of the Schema's own comparators
take precedence over those of the params. Features that the Schema marks as planned, alpha,
debug-only, disabled or deprecated are not checked.

A difference counts only if it is larger than chance explains in splits of that size: four standard
deviations.

The severity of a comparison of splits depends on the origin of the schema. A schema inferred from
train says what train is like: a public test set with longer texts or without a class deserves a
warning, not a refusal. With a schema written by hand, or when a model is to be replaced without
supervision (`seqline retrain`), the same difference is an error.
"""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from seqline.component import Component, Figures, Params
from seqline.errors import DataError
from seqline.storage import records

ANOMALIES = "anomalies.json"
# Errors that the gate quotes.
NUM_QUOTED = 20

Severity = Literal["error", "warning", "ignore"]

# With a curated schema or `strict`: broken data are an error. What may be legitimate news (a drift)
# or a matter of taste is a warning.
SEVERITIES: dict[str, Severity] = {
    "missing_feature": "error",
    "low_presence": "error",
    "wrong_type": "error",
    "empty_split": "error",
    "few_rows": "warning",
    "bad_rows": "warning",
    "one_class": "error",
    "few_class_rows": "warning",
    "similar_labels": "warning",
    "unknown_label": "error",
    "unseen_class": "error",
    "rare_class": "warning",
    "missing_class": "error",
    "length_bounds": "error",
    "value_range": "error",
    "dimension": "error",
    "constant_dimension": "warning",
    "duplicates": "error",
    "repeated_rows": "warning",
    "swallowed_rows": "warning",
    "unspaced_script": "warning",
    "ambiguous": "error",
    "label_skew": "error",
    "length_skew": "error",
    "token_oov": "error",
    "token_overlap": "error",
    "char_oov": "error",
    "label_drift": "warning",
    "length_drift": "warning",
    "token_drift": "warning",
    "char_drift": "warning",
    "repeated_span": "warning",
}
# With an inferred schema these are warnings: they compare the splits with each other, or with
# bounds that were inferred from train.
COMPARISONS: tuple[str, ...] = (
    "unseen_class",
    "missing_class",
    "length_bounds",
    "value_range",
    "duplicates",
    "ambiguous",
    "label_skew",
    "length_skew",
    "token_oov",
    "token_overlap",
    "char_oov",
)


class ExampleValidatorParams(Params):
    splits: list[Literal["train", "eval", "test"]] = Field(
        ["train", "eval", "test"], description="the splits that must have rows"
    )
    min_rows: int = Field(10, ge=1, description="the fewest rows of each split (few_rows)")
    min_class_rows: int = Field(
        2, ge=1, description="the fewest rows of each class in train (few_class_rows)"
    )
    max_bad_fraction: float = Field(
        0.01,
        ge=0,
        le=1,
        description="the highest share of a span's rows that are unusable (bad_rows)",
    )
    max_duplicate_fraction: float = Field(
        0.1,
        ge=0,
        le=1,
        description=(
            "the highest share of a split's rows whose content is also in another split"
            " (duplicates)"
        ),
    )
    max_repeated_fraction: float = Field(
        0.5,
        ge=0,
        le=1,
        description=(
            "the highest share of rows that repeat another row of their split or of earlier"
            " spans (repeated_rows, repeated_span)"
        ),
    )
    max_ambiguous_fraction: float = Field(
        0.1,
        ge=0,
        le=1,
        description=(
            "the highest share of a split's rows whose content also occurs with other"
            " labels (ambiguous)"
        ),
    )
    max_label_skew: float = Field(
        0.2,
        ge=0,
        le=1,
        description=(
            "the greatest L-infinity distance between a split's label shares and train's"
            " (label_skew)"
        ),
    )
    max_label_drift: float = Field(
        0.2,
        ge=0,
        le=1,
        description="the same between the newest span and the earlier ones (label_drift)",
    )
    max_length_divergence: float = Field(
        0.25,
        ge=0,
        le=1,
        description=(
            "the greatest Jensen-Shannon divergence (base 2) of lengths (length_skew, length_drift)"
        ),
    )
    max_token_oov_excess: float = Field(
        0.1,
        ge=0,
        le=1,
        description=(
            "the highest share of tokens unknown to train, above the rate expected from"
            " train (Good-Turing estimate) (token_oov, token_drift)"
        ),
    )
    min_token_overlap: float = Field(
        0.5,
        ge=0,
        le=1,
        description=(
            "the lowest share of a split's frequent tokens (5 times or more) that train"
            " also has (token_overlap, token_drift)"
        ),
    )
    max_char_oov_rate: float = Field(
        0.01,
        ge=0,
        le=1,
        description=(
            "the highest share of characters unknown to train, above the rate expected from"
            " train (char_oov, char_drift)"
        ),
    )
    min_unspaced_share: float = Field(
        0.1,
        ge=0,
        le=1,
        description=(
            "the share of letters of scripts without spaces between words from which word tokens"
            " are reported (unspaced_script)"
        ),
    )
    tokens: Literal["word", "char"] | None = Field(
        None,
        description=(
            "the tokens that texts will be cut into; null: transform.tokens, or by script where"
            " that is null, too"
        ),
    )
    strict: bool | None = Field(
        None,
        description=(
            "whether comparisons of splits with each other are errors (true) or warnings (false);"
            " null: errors with `schema_gen.curated` and in `seqline retrain`, warnings with an"
            " inferred schema"
        ),
    )
    severities: dict[str, Severity] = Field(
        {},
        description=(
            "severity of a kind of anomaly instead of its default: error (the run fails),"
            " warning or ignore"
        ),
    )

    def with_defaults_from(
        self, tokens: Literal["word", "char"] | None
    ) -> "ExampleValidatorParams":
        """These params with the transform's tokens if they have none of their own."""
        return self.model_copy(update={"tokens": self.tokens or tokens})

    def severities_by(self, is_curated: bool) -> dict[str, Severity]:
        """Kind of anomaly -> its severity.

        Args:
            is_curated: whether the schema was written by hand, not inferred.
        """
        is_strict = is_curated if self.strict is None else self.strict
        softened: dict[str, Severity] = {} if is_strict else dict.fromkeys(COMPARISONS, "warning")
        return {**SEVERITIES, **softened, **self.severities}

    @field_validator("severities")
    @classmethod
    def _are_known_kinds(cls, given: dict[str, Severity]) -> dict[str, Severity]:
        if unknown := sorted(set(given) - set(SEVERITIES)):
            raise ValueError(
                f"unknown kind of anomaly: {', '.join(unknown)}; the kinds are"
                f" {', '.join(SEVERITIES)}"
            )
        return given


def run(
    *, examples: Path, statistics: Path, schema: Path, params: ExampleValidatorParams, output: Path
) -> Figures:
    """Writes the anomalies, and logs the warnings as `seqline.example_validator`.

    It does not raise for anomalies; `gate` does.
    """
    from components.example_validator import validate

    anomalies = validate.validate(examples, statistics, schema, params, output)
    text = json.dumps(anomalies, ensure_ascii=False, indent=2) + "\n"
    (output / ANOMALIES).write_text(text, encoding="utf-8")

    errors = [anomaly["line"] for anomaly in anomalies if anomaly["severity"] == "error"]
    warnings = [anomaly["line"] for anomaly in anomalies if anomaly["severity"] == "warning"]
    for line in warnings:
        logging.getLogger("seqline.example_validator").warning("%s.", line)

    return {
        "num_errors": len(errors),
        "num_warnings": len(warnings),
        "kinds": sorted({anomaly["kind"] for anomaly in anomalies}),
        "lines": errors + warnings,
        "warnings": [f"{line}." for line in warnings],
    }


@dataclass(frozen=True)
class AnomalyRecord:
    """An entry of anomalies.json.

    Attributes:
        split: Its split.
        feature: Its feature; empty for the whole split.
        kind: Its kind, one of SEVERITIES.
        severity: What is done about it.
        line: It in one line.
        examples: Values that show it.
    """

    split: str
    feature: str
    kind: str
    severity: Literal["error", "warning"]
    line: str
    examples: list[str]


def read_anomalies(output: Path) -> list[AnomalyRecord]:
    """Reads an anomalies.json. Raises UserError if it is missing or damaged."""
    return records.of_artifact(list[AnomalyRecord], output / ANOMALIES)


def gate(output: Path, params: ExampleValidatorParams) -> None:
    """Raises DataError with the lines of the errors."""
    anomalies = read_anomalies(output)
    lines = [anomaly.line for anomaly in anomalies if anomaly.severity == "error"]
    if len(lines) > NUM_QUOTED:
        lines[NUM_QUOTED:] = [f"and {len(lines) - NUM_QUOTED} more in {output / ANOMALIES}"]
    if lines:
        raise DataError("; ".join(lines) + ".")


def describe(figures: Figures) -> str:
    if not figures["kinds"]:
        return "no anomaly"
    return (
        f"{figures['num_errors']} errors, {figures['num_warnings']} warnings:"
        f" {', '.join(figures['kinds'])}"
    )


EXAMPLE_VALIDATOR = Component(
    name="example_validator",
    inputs={"examples": "Examples", "statistics": "Statistics", "schema": "Schema"},
    output="Anomalies",
    params=ExampleValidatorParams,
    run=run,
    describe=describe,
    libraries=("tensorflow-metadata",),
    gate=gate,
)
