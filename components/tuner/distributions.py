"""The ranges of a search as optuna has them."""

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from components.tuner import TuningParams
from components.tuner.ranges import Range, number_type, typed


def distributions(params: TuningParams) -> dict[str, BaseDistribution]:
    """The ranges as optuna has them, by name: their order in a configuration must not matter."""
    return {name: _distribution(name, params.ranges[name]) for name in sorted(params.ranges)}


def _distribution(name: str, tried: Range) -> BaseDistribution:
    values = [typed(name, value) for value in tried.values()]
    if tried.choices is not None:
        return CategoricalDistribution(values)
    low, high = values
    if number_type(name) is int:
        return IntDistribution(low, high, log=tried.log, step=int(tried.step or 1))
    return FloatDistribution(low, high, log=tried.log, step=tried.step)
