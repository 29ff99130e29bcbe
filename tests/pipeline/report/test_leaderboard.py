"""The page of all runs, and what is kept for the next one."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline import report
from pipeline.report import leaderboard, records
from pipeline.store.folder import Store
from tests.support.report_comparisons import write_runs_to_compare
from tests.support.report_pages import NASTY, Page
from tests.support.report_runs import LABELS, stages_of
from tests.support.reports import invoke, write_run


def test_all_runs_the_newest_first(store: Store) -> None:
    names = write_runs_to_compare(store, [0.9, 0.92, 0.88])
    shown, _ = invoke("report", "--leaderboard", "--root", str(store.root))
    path = store.root / "index.html"
    assert shown.strip() == str(path)
    page = Page(path.read_text(encoding="utf-8"))

    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert links == [f"runs/{name}/report.html" for name in names[::-1]]
    assert "Leaderboard: 3 runs" in page.shown
    assert "trainer.rnn_units=48" in page.shown
    assert "num_epochs" not in page.shown  # all runs have the same
    scripts = [attributes for tag, attributes in page.tags if tag == "script"]
    assert scripts == [{}]


def test_a_run_is_read_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    names = write_runs_to_compare(store, [0.9, 0.92])
    read: list[str] = []
    original = records.read

    def counted(store: Store, run: str, **options: Any) -> records.Records:
        read.append(run)
        return original(store, run, **options)

    monkeypatch.setattr(records, "read", counted)
    assert leaderboard.update_leaderboard(store) == store.root / "index.html"
    assert read == names
    first = (store.root / "index.html").read_text()

    executions, files = stages_of(LABELS, [])
    going_on = write_run(store, "20270101T000000-0009", executions, files, "running")
    read.clear()
    for _ in range(2):  # a run that goes on is read again
        leaderboard.update_leaderboard(store)
    assert read == [going_on, going_on]

    # A run that is gone is on the page no more.
    (store.root / "runs" / going_on / "run.json").unlink()
    leaderboard.update_leaderboard(store)
    assert (store.root / "index.html").read_text() == first


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:50],
        lambda text: text.replace('"accuracy": 0.9,', '"accuracy": "0.9",'),
        lambda text: text.replace('"run": "2026', '"run": "../2026'),
        lambda text: text.replace('"seqline": "', '"seqline": "0.0.'),
    ],
)
def test_what_is_kept_is_read_again_where_it_is_damaged(store: Store, damage: Any) -> None:
    write_runs_to_compare(store, [0.9, 0.92])
    leaderboard.update_leaderboard(store)
    kept, page = store.root / "index.json", store.root / "index.html"
    before = (kept.read_text(), page.read_text())
    kept.write_text(damage(before[0]))
    assert kept.read_text() != before[0]
    leaderboard.update_leaderboard(store)
    assert (kept.read_text(), page.read_text()) == before


def test_the_end_of_a_run_reads_no_more_than_some(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = write_runs_to_compare(store, [0.9, 0.92, 0.88])
    monkeypatch.setattr(leaderboard, "MAX_NEW", 2)
    said: list[str] = []
    place = store.root / "runs" / names[-1]
    assert report.report_run(store, place, said.append) == place / "report.html"
    assert not (store.root / "index.html").exists()

    invoke("report", "--leaderboard", "--root", str(store.root))
    (store.root / "index.html").unlink()
    report.report_run(store, place, said.append)
    assert (store.root / "index.html").exists()
    assert said == []

    # It fails no run, and its report is written.
    (store.root / "index.html").unlink()
    (store.root / "index.html").mkdir()
    assert report.report_run(store, place, said.append) == place / "report.html"
    assert said[0].startswith("The leaderboard could not be written: IsADirectoryError")


def test_nothing_nasty_gets_out(store: Store, tmp_path: Path) -> None:
    executions, files = stages_of(LABELS, [])
    config = {"example_gen": {"source": "rows.csv"}, "transform": {"tokenizer": NASTY[0]}}
    for number, text in enumerate(NASTY):
        record = {"error": f"UserError: {text}", "config": config}
        write_run(store, f"run-{number}", executions, files, "failed", **record)
        path = store.root / "runs" / f"run-{number}" / "run.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "name": text}))
    (store.root / "runs" / "run-3" / "run.json").write_text("{")

    page = leaderboard.write_leaderboard(store).read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert "onerror=alert(2)>" not in page
    assert "\x1b" not in page
    shown = Page(page).shown
    assert "<script>alert(1)</script>" in shown
    assert "✗ damaged" in shown
