"""The tables that commands print."""

from io import StringIO

from rich.console import Console

from pipeline.cli.console import print_versions
from pipeline.report.reproduce import example


def test_versions_fit_a_terminal_of_80_columns() -> None:
    version = {
        "version": 3,
        "labels": ["stable"],
        "digest": "e51724cf4b472573e383d8b93f6e7270",
        "pushed": "2026-11-28T21:24:23+00:00",
        "accuracy": 0.952,
        "rollback_of": 1,
        "damaged": None,
        "problem": None,
    }
    out = StringIO()
    print_versions(Console(file=out, width=80), [version])
    assert [line.rstrip() for line in out.getvalue().splitlines()] == [
        "version  labels  digest        pushed (UTC)      accuracy",
        "      3  stable  e51724cf4b47  2026-11-28 21:24     0.952  rollback to 1",
    ]


def test_a_row_to_ask_about_has_as_many_numbers_as_the_model_reads() -> None:
    assert example("sequence", 3) == "'[[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]'"
    assert example("text") == '"Your text"'
