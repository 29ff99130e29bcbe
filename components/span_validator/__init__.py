"""Checks new spans with the served model before anything is trained on them.

Reads Examples and the SavedModel that is served. Compares each new span with the eval and test
splits of the spans that are known to be good: the served model was not trained on those either.

Writes spans.json: classes that came or went, the share of tokens that the served vocabulary lacks,
the share of labels that the served model contradicts beyond doubt, each with the same share of the
known spans; the gates; and the refused spans with their reasons.

`seqline retrain` adds this stage to the pipeline, and names the served model and the new spans.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator

from seqline.component import Component, Figures, NotInKey, Params
from seqline.data.labels import normal
from seqline.errors import DataError
from seqline.gates import Gate, refusals
from seqline.storage import records

SPANS = "spans.json"


@dataclass(frozen=True)
class SpanVerdict:
    """The verdict in a spans.json.

    Attributes:
        gates: The gates.
        refused: Number of a refused span -> why.
    """

    gates: list[Gate]
    refused: dict[str, str]

    @classmethod
    def read(cls, output: Path) -> "SpanVerdict":
        """Reads a spans.json. Raises UserError if it is missing or damaged."""
        return records.of_artifact(cls, output / SPANS)


class SpanValidatorParams(Params):
    max_oov_excess: float = Field(
        0.1,
        ge=0,
        le=1,
        description=(
            "the highest share of a new span's tokens outside the served vocabulary, above the "
            "share in earlier spans"
        ),
    )
    max_label_noise: float = Field(
        0.1,
        ge=0,
        le=1,
        description=(
            "the highest share of a new span's labels that the served model contradicts beyond "
            "doubt, above the share in earlier spans"
        ),
    )
    classes: tuple[str, ...] = Field(
        (),
        strict=False,
        description="classes that may come or go; any other change of the classes is refused",
    )
    num_rows: int = Field(
        2000,
        ge=1,
        description=(
            "rows of each new span, and of all earlier spans together, to ask the served model "
            "about"
        ),
    )
    served_model: Annotated[str | None, NotInKey] = Field(
        None, description="folder of the served version; `seqline retrain` sets it"
    )
    served: str | None = Field(
        None, description="the digest of its content; `seqline retrain` sets it"
    )
    new: tuple[int, ...] = Field(
        (), strict=False, description="the spans to judge; `seqline retrain` sets them"
    )

    @field_validator("classes")
    @classmethod
    def _normalise(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(normal, given))

    @property
    def is_on(self) -> bool:
        """Whether a model is served and a span is new."""
        return self.served_model is not None and bool(self.new)


def run(*, examples: Path, params: SpanValidatorParams, output: Path) -> Figures:
    """Writes the verdict. It is `gate` that raises for a refused span.

    Raises:
        UserError: The served model cannot read these Examples.
    """
    from components.span_validator import judge

    verdict = judge.judge(examples, params)
    content = json.dumps(verdict, indent=2, ensure_ascii=False) + "\n"
    (output / SPANS).write_text(content, encoding="utf-8")
    return verdict


def gate(output: Path, params: SpanValidatorParams) -> None:
    """Raises DataError with the reason of each gate that refused a span."""
    reasons = refusals(SpanVerdict.read(output).gates)
    if reasons:
        raise DataError("; ".join(reasons) + ".")


def describe(figures: Figures) -> str:
    known = figures["known"]
    spans = []
    for number, span in figures["spans"].items():
        text = f"span {number}: {span['num_rows']:,} rows"
        if span["oov"] is not None:
            text += f", {span['oov']:.1%} of tokens unknown"
            text += f" ({known['oov']:.1%} before)" if known else ""
        if span["noise"] is not None and known:
            text += f", {span['noise']:.1%} of labels contradicted ({known['noise']:.1%} before)"
        spans.append(text)

    num_refused = sum(gate["passed"] is False for gate in figures["gates"])
    return "; ".join(spans) + (f"; {num_refused} gates refuse" if num_refused else "")


SPAN_VALIDATOR = Component(
    name="span_validator",
    inputs={"examples": "Examples"},
    output="SpanVerdict",
    params=SpanValidatorParams,
    run=run,
    describe=describe,
    libraries=("tensorflow",),
    gate=gate,
)
