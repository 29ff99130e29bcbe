"""The values that trials may try for a trainer parameter. Imports nothing heavy."""

import difflib
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, get_args

from pydantic import Field, ValidationError, model_validator

from components.trainer import TrainerParams
from seqline.component import Params

# Plain values, as a configuration would give them: the reference shows these. Without
# label_smoothing: it is part of the loss on the eval split, so losses, which decide between equal
# accuracies, could not be compared.
DEFAULT_RANGES: Any = {
    "learning_rate": {"low": 1e-3, "high": 2e-2, "log": True},
    "rnn_units": {"choices": [32, 64, 128]},
    "batch_size": {"choices": [32, 64, 128]},
    "dropout": {"low": 0.0, "high": 0.6},
    "skip_dropout": {"low": 0.0, "high": 0.6},
    "branch_dropout": {"low": 0.0, "high": 0.7},
    "word_dropout": {"low": 0.0, "high": 0.3},
}
# The luckiest seed on the eval split gives no better model; the implementation, and how often
# checkpoints are written, change no model.
NOT_TUNED = ("seed", "checkpoint_seconds", "implementation")


class Range(Params):
    """Values from low to high, both included, evenly or evenly in the logarithm; or choices."""

    low: float | None = Field(None, description="the lowest value")
    high: float | None = Field(None, description="the highest value")
    log: bool = Field(False, description="evenly in the logarithm")
    step: float | None = Field(
        None, gt=0, description="distance between two values; 1 for whole numbers"
    )
    choices: list[Any] | None = Field(None, description="the values, instead of low and high")

    @model_validator(mode="after")
    def _is_one_of_both(self) -> "Range":
        if self.choices is not None:
            self._check_choices(self.choices)
        elif self.low is None or self.high is None:
            raise ValueError("a range needs low and high, or choices")
        else:
            self._check_bounds(self.low, self.high)
        return self

    def _check_choices(self, choices: list[Any]) -> None:
        if self.log or (self.low, self.high, self.step) != (None, None, None):
            raise ValueError("choices stand alone; remove them, or low, high, log and step")
        if not choices:
            raise ValueError("choices are empty")
        for number, choice in enumerate(choices):
            if choice in choices[:number]:
                raise ValueError(f"{choice!r} is twice among the choices")

    def _check_bounds(self, low: float, high: float) -> None:
        if low >= high:
            raise ValueError(f"low {low:g} is not below high {high:g}")
        if self.log and low <= 0:
            raise ValueError(f"low {low:g} has no logarithm; raise it above 0, or remove log")
        if self.step is None:
            return
        if self.log:
            raise ValueError("log and step exclude each other; remove one of them")

        # Decimal: 0.6 is two steps of 0.3, but floats have a remainder.
        width, step = Decimal(str(high)) - Decimal(str(low)), Decimal(str(self.step))
        if rest := width % step:
            raise ValueError(
                f"high {high:g} is not a whole number of steps of {self.step:g} above low {low:g};"
                f" {float(width - rest) + low:g} is"
            )

    def values(self) -> list[Any]:
        """The values that are named: both ends, or the choices."""
        return [self.low, self.high] if self.choices is None else self.choices

    def holds(self, value: Any) -> bool:
        """Whether a value is within the range."""
        if self.choices is not None:
            return value in self.choices

        assert self.low is not None
        assert self.high is not None
        if value is None or not self.low <= value <= self.high:
            return False
        if self.step is None:
            return True

        distance = Decimal(str(value)) - Decimal(str(self.low))
        return not distance % Decimal(str(self.step))


def number_type(name: str) -> type:
    """int or float for a trainer parameter; object for one that is not a number."""
    annotation = TrainerParams.model_fields[name].annotation
    types = get_args(annotation) or (annotation,)
    if int in types:
        return int
    return float if float in types else object


def typed(name: str, value: Any) -> Any:
    """A value as the trainer takes it: 32 for 32.0 where it takes whole numbers.

    Raises ValueError for a value that it does not take.
    """
    if number_type(name) is int and isinstance(value, float) and value.is_integer():
        value = int(value)
    try:
        return getattr(TrainerParams(**{name: value}), name)
    except ValidationError as error:
        message = error.errors()[0]["msg"]
        raise ValueError(f"{message[0].lower()}{message[1:]}, not {value!r}") from None


def complaints(name: str, tried: Range) -> Iterator[str]:
    """Says what is wrong with a range for the trainer parameter of that name."""
    known = [parameter for parameter in TrainerParams.model_fields if parameter not in NOT_TUNED]
    if name in NOT_TUNED:
        yield f"{name} cannot be tuned: another value makes no better model; remove it"
    elif name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"
        yield f"{name} is not a parameter of the trainer ({hint})"
    elif tried.choices is None and number_type(name) is object:
        yield f"{name} is not a number, and needs choices"
    elif tried.step is not None and number_type(name) is int and not tried.step.is_integer():
        yield f"{name}: step {tried.step:g} is not a whole number"
    else:
        for value in tried.values():
            try:
                typed(name, value)
            except ValueError as error:
                yield f"{name}: {error}"
