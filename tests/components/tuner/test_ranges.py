import json
from pathlib import Path
from typing import Any

import pytest

from components.trainer import TrainerParams
from components.tuner import TunerParams
from components.tuner.distributions import distributions
from components.tuner.ranges import Range, number_type, typed
from pipeline.config import load as load_config
from seqline.errors import UserError
from tests.support.tuning import params_of


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        (
            {"learning_rat": {"low": 1.0, "high": 2.0}},
            "learning_rat is not a parameter of the trainer (did you mean 'learning_rate'?)",
        ),
        (
            {"zzz": {"choices": [1]}},
            "zzz is not a parameter of the trainer (known are pooling, embedding_dim, ",
        ),
        (
            {"seed": {"choices": [1, 2]}},
            "seed cannot be tuned: another value makes no better model; remove it",
        ),
        ({"dropout": {"low": 0.5, "high": 0.1}}, "dropout: low 0.5 is not below high 0.1"),
        ({"dropout": {"low": 0.5, "high": 0.5}}, "dropout: low 0.5 is not below high 0.5"),
        (
            {"dropout": {"low": 0.0, "high": 0.5, "log": True}},
            "dropout: low 0 has no logarithm; raise it above 0, or remove log",
        ),
        (
            {"dropout": {"low": 0.1, "high": 0.5, "log": True, "step": 0.1}},
            "dropout: log and step exclude each other; remove one of them",
        ),
        (
            {"dropout": {"low": 0.1, "high": 0.6, "step": 0.2}},
            "high 0.6 is not a whole number of steps of 0.2 above low 0.1; 0.5 is",
        ),
        (
            {"dropout": {"low": 0.1, "high": 0.6, "step": 0.0}},
            "dropout.step: input should be greater than 0, not 0.0",
        ),
        ({"dropout": {"low": 0.1}}, "dropout: a range needs low and high, or choices"),
        ({"dropout": {}}, "dropout: a range needs low and high, or choices"),
        (
            {"dropout": {"low": 0.1, "choices": [0.2]}},
            "dropout: choices stand alone; remove them, or low, high, log and step",
        ),
        ({"dropout": {"choices": []}}, "dropout: choices are empty"),
        ({"dropout": {"choices": [0.1, 0.2, 0.1]}}, "dropout: 0.1 is twice among the choices"),
        ({"dropout": {"low": 0.5, "high": 1.5}}, "dropout: input should be less than 1, not 1.5"),
        ({"dropout": {"choices": [0.5, 2]}}, "dropout: input should be less than 1, not 2"),
        (
            {"learning_rate": {"low": 0.0, "high": 0.1}},
            "learning_rate: input should be greater than 0, not 0.0",
        ),
        (
            {"rnn_units": {"low": 0, "high": 8}},
            "rnn_units: input should be greater than or equal to 1, not 0",
        ),
        (
            {"rnn_units": {"low": 1.5, "high": 8}},
            "rnn_units: input should be a valid integer, not 1.5",
        ),
        (
            {"rnn_units": {"low": 1, "high": 2, "step": 0.5}},
            "rnn_units: step 0.5 is not a whole number",
        ),
        ({"pooling": {"low": 1, "high": 2}}, "pooling is not a number, and needs choices"),
        (
            {"bidirectional": {"low": 0, "high": 1}},
            "bidirectional is not a number, and needs choices",
        ),
        (
            {"pooling": {"choices": ["max", "first"]}},
            "pooling: input should be 'last', 'mean', 'max' or 'mean_max', not 'first'",
        ),
        (
            {"dropout": {"lo": 0.1, "high": 0.2}},
            "tuner.ranges.dropout.lo is not a known name. Did you mean 'low'?",
        ),
        (
            {},
            (
                "tuner.ranges: there is nothing to tune; name a trainer parameter, or leave ranges"
                " out for the default ones"
            ),
        ),
    ],
)
def test_a_range_that_is_not_allowed_is_one_line(
    tmp_path: Path, ranges: dict[str, dict[str, Any]], message: str
) -> None:
    config = tmp_path / "mine.toml"
    tables = []
    for name, settings in ranges.items():
        values = ", ".join(f"{key} = {json.dumps(value)}" for key, value in settings.items())
        tables.append(f"{name} = {{{values}}}")
    config.write_text("[example_gen]\nsource = 'a.csv'\n[tuner.ranges]\n" + "\n".join(tables))
    with pytest.raises(UserError) as raised:
        load_config(str(config))
    assert message in str(raised.value)
    assert "tuner.ranges" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_every_wrong_range_is_told() -> None:
    with pytest.raises(
        ValueError, match=r"dropout: .* not 2\.0; rnn_unit is not a parameter .*'rnn_units'"
    ):
        TunerParams.model_validate(
            {"ranges": {"dropout": {"low": 0.1, "high": 2.0}, "rnn_unit": {"choices": [1]}}}
        )


def test_the_default_ranges_hold_the_default_parameters() -> None:
    for name, tried in TunerParams().ranges.items():
        assert tried.holds(getattr(TrainerParams(), name)), name


def test_what_a_range_holds() -> None:
    assert [value for value in (0, 1, 2, 5, 7, 8) if Range(low=1, high=7, step=3).holds(value)] == [
        1,
        7,
    ]
    assert [
        value
        for value in (0.1, 0.3, 0.4, 0.7, 0.8)
        if Range(low=0.1, high=0.7, step=0.3).holds(value)
    ] == [0.1, 0.4, 0.7]
    assert [
        value
        for value in (None, 0.05, 0.1, 0.15, 0.2, 0.3)
        if Range(low=0.1, high=0.2).holds(value)
    ] == [0.1, 0.15, 0.2]
    assert [
        value for value in ("max", "mean", "last") if Range(choices=["mean", "max"]).holds(value)
    ] == ["max", "mean"]


def test_a_range_has_the_type_of_its_parameter() -> None:
    assert [
        number_type(name)
        for name in ("rnn_units", "min_epoch_steps", "dropout", "pooling", "bidirectional")
    ] == [
        int,
        int,
        float,
        object,
        object,
    ]
    assert [repr(typed("rnn_units", 32.0)), repr(typed("dropout", 0))] == ["32", "0.0"]

    ranges = {
        "rnn_units": {"low": 16.0, "high": 64.0, "step": 16.0},
        "dropout": {"low": 0, "high": 0.5, "step": 0.25},
        "learning_rate": {"low": 1e-3, "high": 1e-1, "log": True},
        "bidirectional": {"choices": [False, True]},
    }

    assert {
        name: str(distribution)
        for name, distribution in distributions(params_of(ranges=ranges)).items()
    } == {
        "bidirectional": "CategoricalDistribution(choices=(False, True))",
        "dropout": "FloatDistribution(high=0.5, log=False, low=0.0, step=0.25)",
        "learning_rate": "FloatDistribution(high=0.1, log=True, low=0.001, step=None)",
        "rnn_units": "IntDistribution(high=64, log=False, low=16, step=16)",
    }
