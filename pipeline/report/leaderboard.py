"""The leaderboard: all runs of a root on one page, which sorts and filters them.

<root>/index.html is for people. It has one script, which its policy allows by digest, and makes no
request. <root>/index.json keeps what was read of the runs that have ended, so that a new page reads
the new runs only.
"""

import base64
import hashlib
import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup
from pydantic import ConfigDict, FiniteFloat, with_config
from typing_extensions import TypedDict

from pipeline.report import html, records
from pipeline.report.history import entry_of
from pipeline.report.text import shorten
from pipeline.store.folder import Store
from seqline import __version__
from seqline.errors import UserError
from seqline.storage import records as json_records
from seqline.storage.staging import writing

PAGE, KNOWN = "index.html", "index.json"
# A page lists so many runs, the newest: a browser sorts as many at once.
MAX_RUNS = 2000
# The most runs that are read for the page at the end of a run.
MAX_NEW = 50
# Verdicts of runs that may still go on.
OPEN = ("running", "damaged")
# Settings that name data and not a way to train.
SOURCE = "example_gen."
MAX_CHARS = 160


@with_config(ConfigDict(extra="forbid"))
class Entry(TypedDict):
    """A run on the leaderboard."""

    when: str | None
    model: str
    run: str
    verdict: str
    tone: str
    why: str
    accuracy: FiniteFloat | None
    macro_f1: FiniteFloat | None
    cross_entropy: FiniteFloat | None
    gain: FiniteFloat | None
    version: int | None
    seconds: FiniteFloat | None
    changed: dict[str, Any]


class KnownRuns(TypedDict):
    """index.json: the seqline that wrote it, and the runs that have ended."""

    seqline: str
    runs: dict[str, Entry]


def write_leaderboard(store: Store) -> Path:
    """Writes the page of all runs, which it reads again, and returns its path.

    Raises:
        OSError: it cannot be written.
    """
    return _write_page(store, {}, records.names(store))


def update_leaderboard(store: Store) -> Path | None:
    """Writes the page again at the end of a run.

    Returns:
        Its path; None if it was not written because too many runs have not been read before: in a
        bucket that would take minutes. `write_leaderboard` reads them.

    Raises:
        OSError: it cannot be written.
    """
    known, names = _known(store), records.names(store)
    num_new = sum(name not in known for name in names[-MAX_RUNS:])
    return _write_page(store, known, names) if num_new <= MAX_NEW else None


def _write_page(store: Store, known: dict[str, Entry], names: Sequence[str]) -> Path:
    entries = [known.get(name) or _entry(store, name) for name in names[-MAX_RUNS:]]
    ended = {entry["run"]: entry for entry in entries if entry["verdict"] not in OPEN}
    if ended != known:
        content = {"seqline": __version__, "runs": ended}
        _write(store.root / KNOWN, json.dumps(content) + "\n")

    _write(store.root / PAGE, render(entries, str(store.root), len(names)))
    return store.root / PAGE


def _write(path: Path, text: str) -> None:
    with writing(path) as name:
        Path(name).write_text(text, encoding="utf-8")


def _known(store: Store) -> dict[str, Entry]:
    """Run -> its entry, as index.json has it; {} where that is damaged or of another version."""
    try:
        content = json_records.read(KnownRuns, store.root / KNOWN, "It is written again.")
    except (UserError, FileNotFoundError):
        return {}
    if content["seqline"] != __version__:
        return {}
    # What an entry says is not trusted to be a folder.
    return {name: entry for name, entry in content["runs"].items() if entry["run"] == name}


def _entry(store: Store, name: str) -> Entry:
    try:
        run: records.Records | UserError = records.read(store, name, files=False)
    except UserError as error:
        run = error
    entry = entry_of(name, run)
    # mypy knows no keys of a comprehension; these are all of Entry's.
    return {field: entry[field] for field in Entry.__annotations__}  # type: ignore[return-value]


def render(entries: Sequence[Entry], root: str, num_runs: int) -> str:
    """The page of some runs, the newest first.

    Args:
        entries: the runs, oldest first.
        root: where they are, as it is shown.
        num_runs: how many runs there are, listed or not.
    """
    script = html.read_template("leaderboard.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    varied = _varied(entries)
    page = (
        html.environment()
        .get_template("leaderboard.html.jinja")
        .render(
            entries=[
                {
                    **entry,
                    "settings": _settings(entry, varied),
                    "page": f"runs/{quote(entry['run'])}/report.html",
                }
                for entry in reversed(entries)
            ],
            best=max((entry["accuracy"] or 0.0 for entry in entries), default=0.0),
            has_models=any(entry["model"] for entry in entries),
            root=root,
            command_end=f" --root {shlex.quote(root)}",
            num_runs=num_runs,
            style=Markup(
                html.read_template("style.css") + html.read_template("leaderboard.css")
            ),  # ours
            script=Markup(script),  # ours
            digest=digest,
            version=__version__,
        )
    )
    return page.encode("utf-8", "replace").decode()


def _varied(entries: Sequence[Entry]) -> set[str]:
    """The names of the settings that are not the same in all runs."""
    values: dict[str, set[str]] = {}
    for entry in entries:
        for name, value in entry["changed"].items():
            values.setdefault(name, set()).add(json.dumps(value, sort_keys=True))
    num_runs = {name: sum(name in entry["changed"] for entry in entries) for name in values}
    return {
        name for name, given in values.items() if len(given) > 1 or num_runs[name] < len(entries)
    }


def _settings(entry: Entry, varied: set[str]) -> str:
    """The settings of a run that are not the defaults, as `--set` takes them."""
    given = []
    for name, value in entry["changed"].items():
        if name in varied and not name.startswith(SOURCE):
            shown = value if isinstance(value, str) else json.dumps(value)
            given.append(f"{name}={shown}")
    return shorten("  ".join(given), MAX_CHARS)
