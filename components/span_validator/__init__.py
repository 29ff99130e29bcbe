"""Asks the served model about spans that nothing was trained on yet, and refuses those that cannot
be meant: a gate before training.

Reads Examples and the SavedModel that is served. Compares each new span with rows of the spans that
are known to be good, of their eval and test splits: the served model was not trained on those,
either. Writes spans.json: classes that came or went, the share of tokens that the served vocabulary
lacks, the share of labels that the served model contradicts beyond doubt, each against the same
share of the known spans; the gates; and the spans that are refused, with the reason.

`seqline retrain` adds it to the pipeline, and says which model is served and which spans are new.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from seqline.component import Component, Figures, NotInKey, Params
from seqline.errors import DataError

SPANS = "spans.json"


class SpanValidatorParams(Params):
    max_oov_excess: float = Field(
        0.1,
        ge=0,
        le=1,
        description=(
            "tokens of a new span outside the served vocabulary, at most, beyond the share in the"
            " spans before"
        ),
    )
    max_label_noise: float = Field(
        0.1,
        ge=0,
        le=1,
        description=(
            "labels of a new span that the served model contradicts beyond doubt, at most, beyond"
            " the share in the spans before"
        ),
    )
    classes: tuple[str, ...] = Field(
        (),
        strict=False,
        description="classes that may come or go; any other one that does is refused",
    )
    num_rows: int = Field(
        2000,
        ge=1,
        description=(
            "rows of each new span, and of those before together, that the served model is asked"
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

    @property
    def is_on(self) -> bool:
        """Whether there is somebody to ask, and something to ask about."""
        return self.served_model is not None and bool(self.new)


def run(*, examples: Path, params: SpanValidatorParams, output: Path) -> Figures:
    """Writes what is wrong.

    Never raises for it: `gate` does. Raises UserError for a served model that cannot read these
    Examples.
    """
    from components.span_validator import judge

    found = judge.judge(examples, params)
    (output / SPANS).write_text(
        json.dumps(found, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    return found


def gate(output: Path, params: SpanValidatorParams) -> None:
    """Raises DataError with the reason of each gate that refused a span."""
    found = json.loads((output / SPANS).read_text(encoding="utf-8"))
    if reasons := [each["reason"] for each in found["gates"] if each["passed"] is False]:
        raise DataError("; ".join(reasons) + ".")


def describe(figures: Figures) -> str:
    def of(number: str, span: Mapping[str, Any]) -> str:
        known = figures["known"]
        text = f"span {number}: {span['num_rows']:,} rows"
        if span["oov"] is not None:
            text += f", {span['oov']:.1%} of tokens unknown" + (
                f" ({known['oov']:.1%} before)" if known else ""
            )
        if span["noise"] is not None and known:
            text += f", {span['noise']:.1%} of labels contradicted ({known['noise']:.1%} before)"
        return text

    text = "; ".join(of(number, span) for number, span in figures["spans"].items())
    refused = sum(each["passed"] is False for each in figures["gates"])
    return text + (f"; {refused} gates refuse" if refused else "")


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
