"""The report of a run: report.html for people, report.md for a pull request, report.json.

At the end of each run the leaderboard of all runs is written, too (index.html of the root).

Everything comes from the run's records and the small files of its artifacts. Nothing is measured
again, and neither TensorFlow nor Beam is imported. The report of a run that failed half-way says
what is missing. docs/reports.md describes reports.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.report.records import Records, folder_of, read
from pipeline.store.folder import Store
from pipeline.store.layout import RUN
from seqline.errors import UserError
from seqline.storage.staging import writing

HTML, MARKDOWN, JSON = "report.html", "report.md", "report.json"
# GitHub Actions shows the file of this name on the page of a job.
STEP_SUMMARY = "GITHUB_STEP_SUMMARY"


def write_report(store: Store, run: str | Path, summary: bool = True) -> Path:
    """Writes report.html, report.md, report.json and config.toml into the folder of a run.

    Args:
        store: where the run is.
        run: its name, or its folder.
        summary: whether to append the Markdown to the file that $GITHUB_STEP_SUMMARY names.

    Returns:
        The path of report.html.

    Raises:
        UserError: the run has no record, or a damaged one.
        OSError: the folder cannot be written.
    """
    from pipeline.report import html, markdown, reproduce

    records = read(store, Path(run).name)
    report = build(records, str(store.root))
    folder = folder_of(store, records.name)
    short = markdown.render(report)

    if toml := reproduce.config_toml(records, str(store.root)):
        _write(folder / reproduce.CONFIG, toml)

    # ASCII, so that no label can steer a terminal that shows the file.
    _write(folder / JSON, json.dumps(report, indent=1, allow_nan=False) + "\n")
    _write(folder / MARKDOWN, short)
    _write(folder / HTML, html.render(report))

    if summary and (place := os.environ.get(STEP_SUMMARY)):
        with open(place, "a", encoding="utf-8") as file:
            file.write(short)

    return folder / HTML


def _write(path: Path, text: str) -> None:
    """Writes a file anew. If a link has its name, that is replaced, and its target stays."""
    with writing(path) as name:
        Path(name).write_text(text, encoding="utf-8")


def report_run(store: Store, run: Path, say: Callable[[str], None]) -> Path | None:
    """Writes the report at the end of a run, whether it succeeded or failed. Never raises.

    Args:
        store: where the run is.
        run: its folder.
        say: gets a sentence if the report cannot be written.

    Returns:
        The path of report.html; None if it was not written, or the run has no record.
    """
    from pipeline.report.leaderboard import update_leaderboard

    try:
        if not (folder_of(store, run.name) / RUN).is_file():
            return None
        path = write_report(store, run)
    except UserError as error:
        say(f"The report of {run.name} could not be written: {error}")
        return None
    except Exception as error:
        say(f"The report of {run.name} could not be written: {type(error).__name__}: {error}")
        return None

    try:
        update_leaderboard(store)
    except Exception as error:
        say(f"The leaderboard could not be written: {type(error).__name__}: {error}")
    return path


def build(records: Records, root: str) -> dict[str, Any]:
    """The report as data."""
    from pipeline.report.contents import contents

    return contents(records, root)
