"""Trackers are named on the command line or in the environment."""

import os
from pathlib import Path

import pytest

from pipeline import trackers
from pipeline.trackers.reach import with_defaults
from seqline.errors import UserError
from tests.support.command_line import in_this_process


def test_names_may_be_repeated_or_have_commas_between_them() -> None:
    assert trackers.chosen([]) == []
    assert trackers.chosen(["openlineage, mlflow", "mlflow"]) == ["openlineage", "mlflow"]


@pytest.mark.parametrize("command", ["run", "retrain"])
def test_an_unknown_name_is_one_line(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.toml").write_text('[example_gen]\nsource = "rows.csv"\n' + THRESHOLDS)
    code, out, errors = in_this_process(command, "my.toml", "--track", "mlfow")
    assert (code, out) == (2, "")
    assert errors == (
        "error: --track 'mlfow' is not a tracker; the trackers are mlflow, openlineage, wandb. Did"
        " you mean 'mlflow'?\n"
    )
    assert not (tmp_path / "artifacts").exists()


def test_the_environment_names_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEQLINE_TRACK", "mlflow,openlinage")
    (tmp_path / "my.toml").write_text('[example_gen]\nsource = "rows.csv"\n')
    code, _, errors = in_this_process("run", "my.toml")
    assert code == 2
    assert "--track 'openlinage' is not a tracker" in errors


def test_a_missing_package_is_one_line_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("seqline.host.packages.is_installed", lambda module: module != "wandb")
    with pytest.raises(UserError) as raised:
        trackers.chosen(["wandb"])
    assert str(raised.value).startswith("--track wandb needs wandb, which is not installed: ")
    assert str(raised.value).endswith(" install 'wandb>=0.21'")


def test_values_of_the_user_stay_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRST_OF_A_TRACKER", "set")
    monkeypatch.delenv("SECOND_OF_A_TRACKER", raising=False)
    given = {"FIRST_OF_A_TRACKER": "default", "SECOND_OF_A_TRACKER": "default"}
    with with_defaults(given):
        assert [os.environ[name] for name in given] == ["set", "default"]
    assert os.environ["FIRST_OF_A_TRACKER"] == "set"
    assert "SECOND_OF_A_TRACKER" not in os.environ


# `seqline retrain` asks for them before anything else.
THRESHOLDS = """
[evaluator]
min_accuracy = 0.5
min_macro_f1 = 0.5
max_cross_entropy = 1.0
max_ece = 0.5
min_gain_over_linear = -0.5
min_slice_accuracy = 0.1
max_loss_of_accuracy = 0.1

[infra_validator]
max_p50_seconds = 1.0
max_p99_seconds = 2.0
max_model_mb = 50.0
"""
