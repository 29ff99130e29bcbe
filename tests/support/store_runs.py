"""Commands with data, root and serving_dir in an object store, or with the last two in a folder.

The data are the same object in both: a span's key has the digest that its store gives.
"""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

from pipeline.store import open_store
from pipeline.store.layout import artifact_digest
from seqline.storage import objects
from seqline.storage.staging import path_of
from tests.support import retraining
from tests.support.command_line import environment
from tests.support.corpus import corpus_rows


def flags(data: str, place: str) -> list[str]:
    source = f"example_gen.source={json.dumps(f'{data}/data/{{SPAN}}/rows.jsonl')}"
    return ["--root", f"{place}/root", "--serving-dir", f"{place}/served/c", "--set", source]


def write_span(data: str, span: int) -> None:
    """Writes a span of the data, 240 rows of its own."""
    rows = corpus_rows(240 * span)[240 * (span - 1) :]
    content = "".join(f"{json.dumps(row)}\n" for row in rows)
    objects.write_object(f"{data}/data/{span}/rows.jsonl", content.encode())


def begin(folder: Path, name: str, data: str, place: str, *more: str) -> "subprocess.Popen[str]":
    """Starts `seqline NAME` in a folder of its own; its standard error is in its output.

    Args:
        folder: where it starts, with a cache of its own.
        name: the command.
        data: the place of the spans.
        place: the place of root and serving_dir, in a store or a folder.
        more: flags.
    """
    folder.mkdir(exist_ok=True)
    (folder / "c.toml").write_text(retraining.CONFIG)
    return subprocess.Popen(
        retraining.command(*flags(data, place), *more, name=name),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment() | {"SEQLINE_CACHE": str(folder / "cache")},
    )


def seqline(folder: Path, name: str, data: str, place: str, *more: str) -> tuple[int, str]:
    """Runs `seqline NAME` as `begin` does; returns (exit code, output and errors)."""
    process = begin(folder, name, data, place, *more)
    try:
        out, _ = process.communicate(timeout=500)
    finally:
        process.kill()  # where the tests are interrupted, before their store is
    assert "Traceback" not in out, out
    return process.returncode, out


def last_run(place: str) -> dict[str, Any]:
    store = open_store(f"{place}/root")
    return json.loads((store.runs()[-1] / "run.json").read_text())


def digests(place: str) -> dict[str, str]:
    """Component -> the digest of the artifact that the last run made or used, but for the push.

    A push names the place that it was pushed to.
    """
    store = open_store(f"{place}/root")
    return {
        stage["component"]: artifact_digest(store.path(stage["component"], stage["key"]))
        for stage in last_run(place)["stages"]
        if stage["component"] != "pusher"
    }


def served(place: str) -> dict[str, bytes]:
    """The files of the versions that are served, by their names; of a manifest but its time."""
    base = f"{place}/served/c/"
    files = {}
    for path in path_of(base.rstrip("/")).glob("**/*"):
        name = str(path).removeprefix(base)
        if path.is_file() and name[0].isdigit():
            files[name] = re.sub(rb'"pushed": "[^"]*"', b'"pushed": ""', path.read_bytes())
    return files
