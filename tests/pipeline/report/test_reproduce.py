"""The configuration of a run, written out and read back."""

import tomllib
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pipeline import config
from pipeline.report import records, reproduce
from tests.support.records import run_record


def test_the_configuration_of_a_run_is_read_back(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text(
        'example_gen.source = "a.csv"\nevaluator.min_accuracy = 0.9\n'
    )
    settings = [
        "trainer.rnn_units=7",
        "evaluator.min_slice_accuracy={label = 0.5, 'label=a b' = 0.25}",
    ]
    loaded = config.load(str(tmp_path / "base.toml"), settings)
    run = records.Records(run_record("one", about={"config": loaded.model_dump(mode="json")}))
    path = tmp_path / "config.toml"
    path.write_text(str(reproduce.config_toml(run, "some/root")))

    assert config.load(str(path)) == loaded.model_copy(update={"root": "some/root"})
    assert reproduce.name_of(run) == "base"  # and not that of config.toml

    changed = {
        parameter["name"]: parameter["value"]
        for parameter in reproduce.parameters(run)
        if not parameter["default"]
    }
    assert changed == {
        "example_gen.source": "a.csv",
        "trainer.rnn_units": 7,
        "evaluator.min_accuracy": 0.9,
        "evaluator.min_slice_accuracy": {"label": 0.5, "label=a b": 0.25},
    }


PLAIN = st.one_of(
    st.booleans(),
    st.integers(-(2**40), 2**40),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"])),
)


@given(
    st.recursive(
        PLAIN,
        lambda values: (
            st.lists(values, max_size=3)
            | st.dictionaries(
                st.text(st.characters(exclude_categories=["Cs"]), max_size=5), values, max_size=3
            )
        ),
        max_leaves=6,
    )
)
def test_values_as_toml(value: Any) -> None:
    recorded = {"example_gen": {"source": value}}
    run = records.Records(run_record("one", about={"config": recorded}))
    content = reproduce.config_toml(run, "some/root")
    assert content is not None
    assert tomllib.loads(content) == {"root": "some/root", **recorded}
