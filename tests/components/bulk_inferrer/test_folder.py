"""A folder of predictions continues after a kill, and refuses what is not its own."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.bulk_inferrer import (
    BulkInferrerParams,
    folder,
    job,
)
from components.bulk_inferrer.model import AnsweredChunk
from seqline.errors import DataError, UserError
from tests.support import CHECKOUT
from tests.support.bulk import contents, infer, write_texts
from tests.support.corpus import corpus_rows
from tests.support.models import fake_model


def is_of_a_chunk(path: Path) -> bool:
    """Whether a file holds a chunk's predictions, or records that they exist."""
    return re.match(r"predictions-0|[0-9]{5}-", Path(path).name) is not None


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("broken", [1, 2, 17])
def test_what_broke_anywhere_goes_on_with_the_same_bytes(
    tmp_path: Path, served: Path, monkeypatch: pytest.MonkeyPatch, broken: int
) -> None:
    source = write_texts(tmp_path / "a.jsonl", [row["text"] for row in corpus_rows(90)])
    infer(tmp_path / "whole", served, source, chunk_rows=9)
    replace, count = os.replace, 0

    def replace_or_break(*paths: Path) -> None:
        nonlocal count
        count += is_of_a_chunk(paths[1])
        if count == broken and is_of_a_chunk(paths[1]):
            raise KeyError("broken")
        replace(*paths)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace_or_break)
        with pytest.raises(Exception, match="broken"):
            infer(tmp_path / "out", served, source, chunk_rows=9)
    assert not (tmp_path / "out" / "predictions.json").exists()
    kept = {
        path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "chunks").glob("*-*.json")
    }
    assert len(kept) == (broken - 1) // 2
    predicted = {
        path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("predictions-*.jsonl")
    }
    asked: list[int] = []
    write = job.WriteChunk.process

    def note_and_write(self: job.WriteChunk, answered: AnsweredChunk) -> Iterator[None]:
        asked.append(answered.chunk.number)
        return write(self, answered)

    monkeypatch.setattr(job.WriteChunk, "process", note_and_write)
    infer(tmp_path / "out", served, source, chunk_rows=9)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert not list((tmp_path / "out").glob("*.part"))
    total = len(list((tmp_path / "out").glob("predictions-*.jsonl")))
    assert len(asked) == total - len(kept)
    untouched = [path for path, changed in predicted.items() if path.stat().st_mtime_ns == changed]
    assert len(untouched) == len(kept)


KILLED = """
import os, re, signal, sys
from pathlib import Path
from components.bulk_inferrer import folder, job, BulkInferrerParams
from seqline.rows import shards
shards.SHARD_BYTES = 2000
replace, count = os.replace, 0
def replace_or_die(*paths):
    global count
    count += bool(re.match(r"predictions-0|[0-9]{5}-", Path(paths[1]).name))
    if count == 6:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(*paths)
os.replace = replace_or_die
params = BulkInferrerParams(source=sys.argv[1])
with folder.opened(Path(sys.argv[2]), Path(sys.argv[3]), params) as task:
    job.infer(task, params, chunk_rows=9)
"""


@pytest.mark.usefixtures("small")
def test_kill_9_between_predictions_and_their_note(tmp_path: Path, served: Path) -> None:
    source = write_texts(tmp_path / "a.jsonl", [row["text"] for row in corpus_rows(60)])
    command = [sys.executable, "-c", KILLED, str(source), str(tmp_path / "out"), str(served)]
    killed = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(CHECKOUT)}, capture_output=True, timeout=400
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(list((tmp_path / "out" / "chunks").glob("*-*.json"))) == 2
    assert len(list((tmp_path / "out").glob("predictions-*.jsonl"))) == 3
    infer(tmp_path / "out", served, source, chunk_rows=9)
    infer(tmp_path / "whole", served, source, chunk_rows=9)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_what_is_finished_is_not_done_again(
    tmp_path: Path, served: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_texts(tmp_path / "a.jsonl", ["gold", "fig"])
    first = infer(tmp_path / "out", served, source)
    monkeypatch.setattr(job, "job", lambda flags: pytest.fail("nothing is to be done"))
    assert infer(tmp_path / "out", served, source) == first
    assert not (tmp_path / "out" / "chunks").exists()


def test_predictions_of_another_task_are_never_mixed(tmp_path: Path, served: Path) -> None:
    source = write_texts(tmp_path / "a.jsonl", ["gold", "fig"])
    out = tmp_path / "out"
    infer(out, served, source)
    before = contents(out)
    other = fake_model(tmp_path / "other", "tokens")

    way_out = r"Name another folder, or replace them with --force\.$"
    with pytest.raises(
        UserError,
        match=rf"out holds predictions of another model \(.{{8}}, not .{{8}}\)\. {way_out}",
    ):
        infer(out, other, source)
    with pytest.raises(UserError, match=rf"other settings \(keep \[\], not \['id'\]\)\. {way_out}"):
        infer(out, served, source, keep=["id"])

    write_texts(source, ["gold", "plum"])
    with pytest.raises(UserError, match=rf"another source \(.{{8}}, not .{{8}}\)\. {way_out}"):
        infer(out, served, source)
    assert contents(out) == before

    infer(out, served, source, force=True, format="tfrecord")
    assert [path.name for path in sorted(out.glob("predictions-*"))] == [
        "predictions-00000-of-00001-00000.tfrecord.gz"
    ]


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path, served: Path) -> None:
    source = write_texts(tmp_path / "a.jsonl", ["gold"])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")

    for force in (False, True):
        with pytest.raises(
            UserError,
            match=(
                r"out is not empty \(mine\.txt\) and holds no predictions\. Name a new or an empty"
                r" folder\."
            ),
        ):
            infer(tmp_path / "out", served, source, force)

    assert (tmp_path / "out" / "mine.txt").read_text() == "mine"
    with pytest.raises(UserError, match=r"a\.jsonl cannot be written: .* Name another folder\."):
        infer(source, served, source)


def test_two_runs_into_one_folder(tmp_path: Path, served: Path) -> None:
    source = write_texts(tmp_path / "a.jsonl", ["gold"])
    params = BulkInferrerParams(source=str(source))
    with (
        folder.opened(tmp_path / "out", served, params),
        pytest.raises(
            UserError,
            match=r"is writing predictions into .*out .*\. Wait for it, or stop it\.",
        ),
    ):
        infer(tmp_path / "out", served, source)


def test_a_file_that_changes_meanwhile(
    tmp_path: Path, served: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_texts(tmp_path / "a.jsonl", ["gold"])
    write = job.WriteChunk.process

    def change_and_write(self: job.WriteChunk, answered: AnsweredChunk) -> Iterator[None]:
        write_texts(source, ["gold", "fig"])
        return write(self, answered)

    monkeypatch.setattr(job.WriteChunk, "process", change_and_write)
    with pytest.raises(
        DataError,
        match=(
            r"a\.jsonl' changed while they were read; the predictions are not complete\. Run again"
            r" with --force"
        ),
    ):
        infer(tmp_path / "out", served, source)
    assert not (tmp_path / "out" / "predictions.json").exists()


def test_a_finished_folder_tells_again_what_was_not_read(tmp_path: Path, served: Path) -> None:
    source = write_texts(tmp_path / "a.jsonl", ["gold", "fig"])
    (tmp_path / "b.jsonl").symlink_to(source)
    (tmp_path / ".c.jsonl").write_text("")
    first, second = (infer(tmp_path / "out", served, f"{tmp_path}/*.jsonl") for _ in range(2))
    assert [record["reason"] for record in second["unused_files"]] == ["hidden", "same file"]
    assert (second["warnings"], second["num_rows"]) == (first["warnings"], 2)
