"""A gate.

Does the data look like the schema, do the splits fit each other, and does the newest span fit those
before it?

Reads Examples (its manifest), Statistics and Schema. Writes
  Split-<split>/SchemaDiff.pb   tensorflow-metadata's Anomalies, which TFDV displays
  anomalies.json                a list of {split, feature, kind, severity, line, examples}

Of a Schema these are checked: type, presence, domain (or string_domain) with min_domain_mass,
int_domain, float_domain, value_count, min_examples_count; and its own comparators' thresholds go
before those here. Features that it calls planned, alpha, debug-only, disabled or deprecated are
passed over.

A difference counts only where it is larger than chance makes it in splits so small: four standard
deviations of it.

What a comparison of splits means depends on where the schema is from. A schema inferred from train
says what train is like: that public test sets hold longer texts or lack a class is worth a warning,
not a refusal. Where somebody wrote the schema down, or a model is to be replaced without anybody
looking (`seqline retrain`), the same difference is an error.
"""

import json
import logging
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from seqline.component import Component, Figures, Params
from seqline.errors import DataError

ANOMALIES = "anomalies.json"
# Errors that the gate quotes.
NUM_QUOTED = 20

Severity = Literal["error", "warning", "ignore"]

# With a curated schema, and where `strict`: what is broken is an error; what may be news (a drift)
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
# With an inferred schema these warn: they compare the splits with each other, or with what train
# was taken for.
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
    min_rows: int = Field(10, ge=1, description="rows of each split, at least (few_rows)")
    min_class_rows: int = Field(
        2, ge=1, description="rows of each class in train, at least (few_class_rows)"
    )
    max_bad_fraction: float = Field(
        0.01, ge=0, le=1, description="rows of a span that could not be used, at most (bad_rows)"
    )
    max_duplicate_fraction: float = Field(
        0.1,
        ge=0,
        le=1,
        description="rows of a split whose content is in another split, too, at most (duplicates)",
    )
    max_repeated_fraction: float = Field(
        0.5,
        ge=0,
        le=1,
        description=(
            "rows that repeat one of their split or of earlier spans, at most (repeated_rows,"
            " repeated_span)"
        ),
    )
    max_ambiguous_fraction: float = Field(
        0.1,
        ge=0,
        le=1,
        description=(
            "rows of a split whose content is there under other labels, too, at most (ambiguous)"
        ),
    )
    max_label_skew: float = Field(
        0.2,
        ge=0,
        le=1,
        description="L-infinity distance of a split's label shares from train's (label_skew)",
    )
    max_label_drift: float = Field(
        0.2,
        ge=0,
        le=1,
        description="the same of the newest span from those before it (label_drift)",
    )
    max_length_divergence: float = Field(
        0.25,
        ge=0,
        le=1,
        description=(
            "Jensen-Shannon divergence (base 2) of lengths, at most (length_skew, length_drift)"
        ),
    )
    max_token_oov_excess: float = Field(
        0.1,
        ge=0,
        le=1,
        description=(
            "tokens unknown to train beyond the rate that train lets expect, by Good and Turing"
            " (token_oov, token_drift)"
        ),
    )
    min_token_overlap: float = Field(
        0.5,
        ge=0,
        le=1,
        description=(
            "frequent tokens (5 times or more) of a split that train has, too, at least"
            " (token_overlap, token_drift)"
        ),
    )
    max_char_oov_rate: float = Field(
        0.01,
        ge=0,
        le=1,
        description=(
            "characters unknown to train beyond the rate that train lets expect (char_oov,"
            " char_drift)"
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
            "kind of anomaly -> error (the run fails), warning or ignore, where it is not to be the"
            " default"
        ),
    )

    def severities_by(self, is_curated: bool) -> dict[str, Severity]:
        """Kind of anomaly -> its severity, with a schema that somebody wrote or one that was
        inferred.
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
    """Writes what is wrong.

    Never raises for it: `gate` does. Warnings are logged as `seqline.example_validator`.
    """
    from components.example_validator import validate

    anomalies = validate.validate(examples, statistics, schema, params, output)
    (output / ANOMALIES).write_text(
        json.dumps(anomalies, ensure_ascii=False, indent=2) + "\n", encoding="utf-8"
    )
    lines: dict[str, list[str]] = {
        severity: [each["line"] for each in anomalies if each["severity"] == severity]
        for severity in ("error", "warning")
    }
    for line in lines["warning"]:
        logging.getLogger("seqline.example_validator").warning("%s.", line)
    return {
        "num_errors": len(lines["error"]),
        "num_warnings": len(lines["warning"]),
        "kinds": sorted({each["kind"] for each in anomalies}),
        "lines": lines["error"] + lines["warning"],
        "warnings": [f"{line}." for line in lines["warning"]],
    }


def gate(output: Path, params: ExampleValidatorParams) -> None:
    """Raises DataError with the line of each error."""
    anomalies = json.loads((output / ANOMALIES).read_text(encoding="utf-8"))
    lines = [each["line"] for each in anomalies if each["severity"] == "error"]
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
