"""The inputs of a component are read from the signature of its `run`."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline.definition import BULK_INFERRER, EVALUATOR, EXAMPLE_GEN, TRAINER, TRANSFORM
from seqline.component import Component, Figures, Params


def train(
    *,
    features: Path,
    params: Params,
    output: Path,
    work: Path,
    embeddings: Path | None = None,
) -> Figures:
    return {}


def component(run: Callable[..., Figures], **fields: Any) -> Component:
    inputs = {"features": "Features", "embeddings": "Embeddings"}
    return Component("stage", inputs, "Model", Params, run, str, **fields)


def test_an_argument_is_given_where_run_names_it() -> None:
    stage = component(train)
    assert [stage.takes(name) for name in ("work", "beam_args")] == [True, False]


def test_an_input_is_optional_where_run_has_a_default() -> None:
    stage = component(train)
    assert [stage.is_optional(name) for name in stage.inputs] == [False, True]


def test_external_data_that_takes_the_inputs_compares_one() -> None:
    def content(params: Params, memory: Path | None = None) -> str:
        return ""

    def served(params: Params, memory: Path | None, inputs: Mapping[str, Path]) -> str:
        return ""

    stages = [component(train, external_digest=digest) for digest in (None, content, served)]
    assert [stage.compares_input for stage in stages] == [False, False, True]


def test_an_input_that_run_does_not_take_is_refused() -> None:
    def run(*, features: Path, params: Params, output: Path) -> Figures:
        return {}

    with pytest.raises(ValueError, match=r"stage: run does not take 'embeddings'\."):
        component(run)


def test_an_argument_that_no_runner_gives_is_refused() -> None:
    def run(
        *, features: Path, embeddings: Path, params: Params, output: Path, beam_flags: Sequence[str]
    ) -> Figures:
        return {}

    with pytest.raises(
        ValueError, match=r"stage: run takes 'beam_flags', which is not an input. A runner gives pa"
    ):
        component(run)


def test_the_stages_take_what_they_are_known_for() -> None:
    assert all(stage.takes("beam_args") for stage in (EXAMPLE_GEN, EVALUATOR, BULK_INFERRER))
    assert EXAMPLE_GEN.takes("analyses")
    assert TRANSFORM.takes("previous")
    assert TRAINER.takes("work")
    assert TRAINER.is_optional("hyperparameters")
    assert EVALUATOR.compares_input
