"""Runs in a store, for the tests of reports."""

import json
from typing import Any

from typer.testing import CliRunner

from pipeline import report
from pipeline.cli.app import app
from pipeline.store.folder import Store
from seqline.errors import UserError
from seqline.model.digest import MANIFEST, digest_of
from tests.support.records import execution
from tests.support.report_runs import LABELS, stages_of

MODEL = "my_reviews"


def written(store: Store, run: str) -> tuple[str, str, Any]:
    """(report.html, report.md, report.json) of a run."""
    folder = report.write_report(store, run, summary=False).parent
    page, short = (
        (folder / name).read_text(encoding="utf-8") for name in ("report.html", "report.md")
    )
    return page, short, json.loads((folder / "report.json").read_text(encoding="ascii"))


def invoke(*arguments: str) -> tuple[str, Exception | None]:
    """(output, the user's error or None) of a command."""
    done = CliRunner().invoke(app, list(arguments))
    return done.output, done.exception if isinstance(done.exception, UserError) else None


def write_three_runs(store: Store) -> None:
    """The first two runs pushed versions 1 and 2, the last was refused; version 4 is a rollback."""
    served = store.root.parent / "served"
    for number in (1, 2, 3):
        executions, files = stages_of(LABELS, [])
        executions["trainer"]["params"]["rnn_units"] = number
        executions["pusher"]["figures"] |= {"version": number, "serving_dir": str(served)}
        more: dict[str, Any] = {
            "started": f"2026-01-0{number}T00:00:00.000+00:00",
            "finished": f"2026-01-0{number}T00:01:00.000+00:00",
        }

        if number == 3:
            del executions["pusher"]
            more |= {"verdict": "failed", "error": "NotBlessedError: \x1b[31maccuracy[/] fell."}

        write_run(store, f"2026010{number}-000{number}", executions, files, **more)

    manifest = served / "4" / MANIFEST
    manifest.parent.mkdir(parents=True)
    files = {"saved_model.pb": "0" * 64}
    content = {
        "digest": digest_of(files),
        "files": files,
        "rollback_of": 1,
        "pushed": "2026-01-02T12:00:00+00:00",
    }
    manifest.write_text(json.dumps(content))


def write_run(
    store: Store,
    name: str,
    executions: dict[str, dict[str, Any]],
    files: dict[str, tuple[str, Any]],
    verdict: str = "finished",
    cached: tuple[str, ...] = (),
    **more: Any,
) -> str:
    """Writes a run and its artifacts.

    Args:
        store: where to write.
        name: the run's.
        executions: component -> parts of its record, {figures, params, ...}.
        files: component -> (the name of its file, what it holds).
        verdict: of the run's record.
        cached: components that did not have to run.
        **more: further parts of the run's record.

    Returns:
        The run's name.
    """
    stages = []
    for component, told in executions.items():
        key = f"{name}-{component}"
        folder = store.path(component, key)
        folder.mkdir(parents=True)
        parts = {
            "code": f"code of {component}",
            "libraries": {},
            "data": "digest of the data" if component == "example_gen" else None,
        }

        fields = {"key_parts": parts, "seconds": 1.25, "finished": name, **told}
        execution(component, key, **fields).write(folder / "execution.json")
        if component in files:
            (folder / files[component][0]).write_text(json.dumps(files[component][1]))
        stages.append(
            {
                "component": component,
                "key": key,
                "cached": component in cached,
                "reason": "never ran",
                "seconds": 1.25,
            }
        )

    record = {
        "run": name,
        "started": "2026-01-02T03:04:05.000+00:00",
        "verdict": verdict,
        "stages": stages,
    }
    record |= {"finished": "2026-01-02T03:05:11.500+00:00", **more}
    (store.root / "runs" / name).mkdir(parents=True)
    (store.root / "runs" / name / "run.json").write_text(json.dumps(record))
    return name
