"""Mistakes of a user, as the user sees them.

Each ends in one line that says what is wrong and where, an exit code, and no partial output.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import pytest

from seqline.errors import DataError, UserError
from tests.support import CHECKOUT
from tests.support.command_line import in_this_process
from tests.support.corpus import corpus_rows, write_jsonl

BAD_CONFIGURATION = UserError.exit_code
BAD_DATA = DataError.exit_code
COMPONENTS = (
    "example_gen",
    "transform",
    "trainer",
    "exporter",
    "evaluator",
    "infra_validator",
    "pusher",
)


def configure(tmp_path: Path, source: Path | str | dict[str, str], more: str = "") -> Path:
    """A configuration of a source in a file; `more` is TOML that follows the source."""
    path = tmp_path / "mine.toml"
    table = (
        f"{{{', '.join(f'{name} = {json.dumps(file)}' for name, file in source.items())}}}"
        if isinstance(source, dict)
        else ""
    )
    path.write_text(f"[example_gen]\nsource = {table or json.dumps(str(source))}\n{more}")
    return path


def refused(
    tmp_path: Path,
    config: Path | str,
    *flags: str,
    serving_dir: Path | None = None,
    call: Callable[..., tuple[int, str, str]] | None = None,
) -> tuple[int, str]:
    """Runs a command that must fail, and checks that it left nothing.

    Args:
        tmp_path: where it runs.
        config: its configuration.
        *flags: more of them.
        serving_dir: another one than the default.
        call: how it runs; in this process unless told otherwise.

    Returns:
        The exit code and the error.
    """
    root, serving_dir = tmp_path / "root", serving_dir or tmp_path / "served"
    places = [
        "--config",
        str(config),
        "--root",
        str(root),
        "--serving-dir",
        str(serving_dir),
        "--data-dir",
        str(tmp_path / "data"),
    ]

    with chdir(tmp_path):
        code, out, errors = (call or in_this_process)("run", *places, *flags)

    assert errors.startswith("error: ")
    assert errors.count("\n") == 1
    assert errors.endswith("\n")
    assert "Traceback" not in out
    for component in COMPONENTS:
        assert not list((root / component).glob("*"))
    assert not list((root / "partial").glob("*"))
    assert not (tmp_path / "served").exists()
    for record in root.glob("runs/*/run.json"):
        assert json.loads(record.read_text())["verdict"] in ("failed", "running")

    return code, errors.removeprefix("error: ").rstrip("\n")


def as_a_process(*arguments: str) -> tuple[int, str, str]:
    """The same as `in_this_process` by a command of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stdout, done.stderr


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """A configuration that would run."""
    return configure(tmp_path, write_jsonl(tmp_path / "rows.jsonl", corpus_rows(60)))


# Seen before any stage runs


@pytest.mark.parametrize(
    ("name", "content"),
    [("rows.csv", b"texts,label\na,x\nb,y\n"), ("rows.jsonl", b'{"texts": "a", "label": "x"}\n')],
    ids=["csv", "jsonl"],
)
def test_wrong_column(tmp_path: Path, name: str, content: bytes) -> None:
    rows = write(tmp_path / name, content)
    assert refused(tmp_path, configure(tmp_path, rows)) == (
        BAD_CONFIGURATION,
        (
            f"{rows} has no column 'text' (example_gen.text); it has 'texts', 'label'. Did you mean"
            " 'texts'? Set example_gen.text to one of them."
        ),
    )


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "rows.csv",
            b"",
            "{rows} has no row. Name files with rows in example_gen.source, or put rows into them.",
        ),
        (
            "rows.jsonl",
            b"",
            "{rows} has no row. Name files with rows in example_gen.source, or put rows into them.",
        ),
        (
            "rows.csv",
            b"text,label\n",
            "{rows} has no row. Name files with rows in example_gen.source, or put rows into them.",
        ),
        (
            "rows.csv",
            b"text,label\n\n\r\n",
            "{rows} has no row. Name files with rows in example_gen.source, or put rows into them.",
        ),
        (
            "rows.jsonl",
            b"\n \n",
            "{rows} has no row. Name files with rows in example_gen.source, or put rows into them.",
        ),
    ],
    ids=["empty csv", "empty jsonl", "header only", "header and blank lines", "blank lines"],
)
def test_no_rows(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    rows = write(tmp_path / name, content)
    assert refused(tmp_path, configure(tmp_path, rows)) == (BAD_DATA, message.format(rows=rows))


def test_file_that_is_not_there(tmp_path: Path) -> None:
    code, error = refused(tmp_path, configure(tmp_path, "gone.csv"))
    assert code == BAD_CONFIGURATION
    assert error == f"example_gen.source 'gone.csv' matches no file under {tmp_path}."


def test_unknown_configuration(tmp_path: Path) -> None:
    code, error = refused(tmp_path, "bbc_nws")
    assert code == BAD_CONFIGURATION
    assert error.startswith(
        "There is no configuration 'bbc_nws': no such file, and those that ship are bbc_news"
    )
    assert not (tmp_path / "root").exists()


def test_threshold_of_two(tmp_path: Path) -> None:
    config = configure(
        tmp_path,
        write_jsonl(tmp_path / "rows.jsonl", corpus_rows(60)),
        "[evaluator]\nmin_accuracy = 2\n",
    )
    assert refused(tmp_path, config) == (
        BAD_CONFIGURATION,
        f"{config}: evaluator.min_accuracy: input should be less than or equal to 1, not 2.",
    )


def test_unknown_field(tmp_path: Path, good: Path) -> None:
    code, error = refused(tmp_path, good, "--set", "trainer.rnn_unit=8")
    assert code == BAD_CONFIGURATION
    assert error == "--set trainer.rnn_unit is not a known name. Did you mean 'rnn_units'?"


@pytest.mark.parametrize("flag", ["--from", "--to"])
def test_unknown_stage(tmp_path: Path, good: Path, flag: str) -> None:
    assert refused(tmp_path, good, flag, "trainr") == (
        BAD_CONFIGURATION,
        (
            f"{flag} 'trainr' is not a stage; the stages are example_gen, statistics_gen,"
            " schema_gen, example_validator, transform, trainer, exporter, evaluator,"
            " infra_validator, pusher. Did you mean 'trainer'?"
        ),
    )


def test_from_after_to(tmp_path: Path, good: Path) -> None:
    code, error = refused(tmp_path, good, "--from", "trainer", "--to", "transform")
    assert code == BAD_CONFIGURATION
    assert error.startswith(
        "--from trainer --to transform selects no stage; their order is example_gen,"
        " statistics_gen, "
    )


def test_serving_dir_under_a_file(tmp_path: Path, good: Path) -> None:
    file = write(tmp_path / "file", b"")
    code, error = refused(tmp_path, good, serving_dir=file / "served")
    assert code == BAD_CONFIGURATION
    assert error == f"pusher.serving_dir '{file}/served': {file} is not a folder."


@pytest.mark.skipif(
    not Path("/proc/self").exists(), reason="no /proc, a file system that nobody can write to"
)
def test_serving_dir_that_nobody_can_write(tmp_path: Path, good: Path) -> None:
    code, error = refused(tmp_path, good, serving_dir=Path("/proc/seqline"))
    assert code == BAD_CONFIGURATION
    assert error.startswith("pusher.serving_dir '/proc/seqline' cannot be written (")


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind root")
def test_serving_dir_without_permission(tmp_path: Path, good: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o555)
    code, error = refused(tmp_path, good, serving_dir=folder / "served")
    assert code == BAD_CONFIGURATION
    assert error.startswith(
        f"pusher.serving_dir '{folder}/served' cannot be written (Permission denied: {folder})"
    )


# Seen by the first stage: each of these starts a worker with TensorFlow


def test_row_that_is_not_utf8(tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.csv", b"text,label\none,x\ncaf\xe9,y\ntwo,y\nthree,x\n")
    code, error = refused(tmp_path, configure(tmp_path, rows), call=as_a_process)
    assert code == BAD_DATA
    assert error.startswith(
        "1 of 4 rows (25.00%) cannot be used; example_gen.max_bad_fraction 0.01 allows 0: "
    )
    assert f"{rows}:3: the text is not valid in the source's encoding: 'caf\\udce9'." in error


def test_labels_that_train_never_has(tmp_path: Path) -> None:
    train = write_jsonl(tmp_path / "train.jsonl", corpus_rows(60))
    test = write_jsonl(
        tmp_path / "test.jsonl", [{"text": "a", "label": "new"}, {"text": "b", "label": "new"}]
    )
    config = configure(tmp_path, {"train": str(train), "test": str(test)})
    code, error = refused(tmp_path, config, call=as_a_process)
    assert code == BAD_DATA
    assert (
        error == "The test split has no row left: train has no row of its only label ('new'). "
        "Is example_gen.label the right column in every file? Add such rows to train."
    )


def test_unknown_data_set(tmp_path: Path) -> None:
    assert refused(tmp_path, configure(tmp_path, "tfds:imdb_revews")) == (
        BAD_CONFIGURATION,
        (
            "example_gen.source 'tfds:imdb_revews': tensorflow-datasets knows no such data set. Did"
            " you mean 'tfds:imdb_reviews'?"
        ),
    )
