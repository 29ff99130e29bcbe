"""What a program sees of the API: its types, its examples, its names; with and without a guard."""

import doctest
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import seqline
from pipeline.api import estimator, model
from pipeline.api import run as run_module
from tests.support import CHECKOUT

SCRIPT = """\
from pathlib import Path

import seqline
from seqline.errors import UserError
from seqline.sklearn import SequenceClassifier


def train(source: str) -> list[str]:
    try:
        run = seqline.run({"example_gen": {"source": source}}, root="artifacts", to="evaluator")
    except UserError as error:
        raise SystemExit(str(error)) from None
    verdict: str = run.verdict
    report: Path = run.report
    accuracy = run.evaluation["accuracy"] if run.evaluation else None
    print(verdict, report, accuracy, run.artifacts["exporter"] / "saved_model")
    model: seqline.Model = seqline.load("serving_dir")
    labels: list[str] = model.predict(["a text"])
    config = seqline.Config(example_gen={"source": source}, name="reviews")
    print(seqline.plan(config, root="artifacts").to_run)
    fitted = SequenceClassifier(num_epochs=2).fit(["a", "b"], ["x", "y"])
    print(fitted.predict_proba(["a"]).shape, seqline.__version__, model.card)
    return labels
"""


WRONG = """\
import seqline

card: int = seqline.load("serving_dir").card
seqline.run("reviews.toml", epochs=3)
print(seqline.open_run().nothing)
"""


@pytest.mark.slow  # mypy reads all of the rooms
def test_a_script_is_strictly_typed(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT, encoding="utf-8")
    (tmp_path / "wrong.py").write_text(WRONG, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", "script.py", "wrong.py"],
        cwd=tmp_path,
        env={"MYPYPATH": str(CHECKOUT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    of_script = [line for line in done.stdout.splitlines() if line.startswith("script.py")]
    assert of_script == [], done.stderr
    refused = [line for line in done.stdout.splitlines() if line.startswith("wrong.py")]
    errors = [line.partition(": error: ")[0] for line in refused if ": error: " in line]
    assert errors == ["wrong.py:3", "wrong.py:4", "wrong.py:5"], done.stdout


def test_the_packages_say_that_they_are_typed() -> None:
    # All of them: the API is in pipeline, and its types come from the others.
    for room in ("components", "pipeline", "seqline", "serving"):
        assert (CHECKOUT / room / "py.typed").is_file()


def test_names_of_the_api() -> None:
    for name in seqline.__all__:
        assert getattr(seqline, name) is not None
    assert {"run", "plan", "load", "sklearn"} <= set(dir(seqline))
    with pytest.raises(AttributeError, match="has no attribute 'fit'"):
        seqline.fit  # noqa: B018  # the look-up is what raises


@pytest.fixture(scope="module")
def reviews() -> tuple[list[str], list[str]]:
    words = {"pos": ("good", "fine", "happy"), "neg": ("bad", "sad", "awful")}
    texts, labels = [], []
    for number in range(300):
        label = "pos" if number % 2 else "neg"
        word = words[label][number % 3]
        texts.append(f"{'what ' * (number % 5 == 0)}a {word} film number {number % 37}")
        labels.append(label)
    return texts, labels


@pytest.mark.slow
def test_the_examples_of_the_docstrings(
    reviews: tuple[list[str], list[str]], tmp_path: Path
) -> None:
    import pyarrow as pa

    texts, labels = reviews
    names: dict[str, Any] = {
        "rows": pa.table({"text": texts, "label": labels}),
        "folder": tmp_path / "artifacts",
        "texts": texts,
        "labels": labels,
    }
    # In the order in which they need each other: the model is the run's.
    finder, runner = doctest.DocTestFinder(recurse=True), doctest.DocTestRunner()
    runs = [test for test in finder.find(run_module, globs=names) if test.examples]
    for test in runs:
        test.globs = names
        runner.run(test, clear_globs=False)
    names["model"] = names["run"].model()
    names["serving_dir"] = names["run"].artifacts["exporter"]
    for module in (model, estimator):
        for test in finder.find(module, globs=names):
            test.globs = dict(names)
            runner.run(test)
    assert runner.summarize(verbose=False).failed == 0
    assert runner.summarize(verbose=False).attempted >= 9


UNGUARDED = """\
import pathlib, sys
counter = pathlib.Path(sys.argv[1])
counter.write_text(counter.read_text() + "x" if counter.exists() else "x")
import seqline
run = seqline.run(
    {"example_gen": {"source": sys.argv[2]}}, root=sys.argv[3], to="example_gen"
)
print(run.verdict)
"""


@pytest.mark.parametrize("way", ["script", "-c", "-"])
def test_a_program_without_a_guard_is_run_once(way: str, corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(UNGUARDED, encoding="utf-8")
    first = {"script": ["script.py"], "-c": ["-c", UNGUARDED], "-": ["-"]}[way]
    done = subprocess.run(
        [sys.executable, *first, "count", str(corpus), "artifacts"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(CHECKOUT), "PATH": "/usr/bin:/bin", "SEQLINE_CACHE": "cache"},
        input=UNGUARDED,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "finished\n", done.stderr
    assert (tmp_path / "count").read_text() == "x"
