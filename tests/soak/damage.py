"""Damages every kind of artifact and every record of a finished run, and runs again.

    python -m tests.soak.damage [--only artifacts|records] [--kinds Examples,Model] [--each]
        [--keep FOLDER] [--keep-times]

A small pipeline with every stage is run once. Then, for each kind of artifact, a byte of its
largest file is flipped, the file is cut to half, or deleted (--each: each of its files), and the
artifact of a stage that reads it is removed, so that the next `seqline run` reads it for work; a
second run follows. For each kind of record, seven damages are tried on the commands that read
it, and on a run.

Wrong is: a traceback; a run that ends well with other artifacts than the undisturbed one, where it
had to read what is damaged; a damage that neither a second run gets over nor a third, for which
what the error names was removed; an error without a line, or without a way out. The last line of
the output is a JSON object with the table.
"""

import argparse
import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pipeline.cli import chosen
from pipeline.cli.options import ConfigOptions
from pipeline.retrain import decide, lock, state
from pipeline.store.folder import Store
from seqline import digests
from tests.soak import small_run
from tests.soak.damaged import (
    ARTIFACTS,
    DAMAGES,
    KINDS,
    RECORD_DAMAGES,
    RECORDS,
    SERVED,
    Kind,
    files_of,
)
from tests.support import CHECKOUT

# Commands that read records, besides `run`: the name, the arguments.
COMMANDS = {
    "plan": ["plan", "-c", small_run.CONFIG_FILE],
    "gc": ["gc", "-c", small_run.CONFIG_FILE, "--keep-runs", "1"],
    "show": ["show"],
    "report": ["report"],
    "history": ["history"],
    "versions": ["versions", "--serving-dir", SERVED],
    "compare": ["compare", "previous", "latest"],
    "retrain": ["retrain", "-c", small_run.CONFIG_FILE],
}
# One damaged record stops none of these.
PASS_OVER = ("gc", "history")
RUN = ["run", "-c", small_run.CONFIG_FILE]
# A line that tells the way out says to do something.
ADVICE = re.compile(
    r"\b(run|runs|remove|name|give|restore|delete|push|roll|seqline|--\w+|again|move|copy)\b", re.I
)
TRACEBACK = "traceback"
BUSY = 40  # of a retraining that would train: it waits, see `Place.call`
Ended = tuple[int | str, str]


@dataclass
class Row:
    """A line of the table.

    Attributes:
        kind, damage, file: What was damaged, and how.
        codes: Command -> its exit code, or "traceback".
        said: Command -> the line that names the damage.
        after: What the next runs made of it.
        wrong: What is wrong about it.
    """

    kind: str
    damage: str
    file: str
    codes: dict[str, int | str] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)
    after: str = ""
    wrong: list[str] = field(default_factory=list)


class Place:
    """A folder that is put back to a finished run before each damage.

    Always the same folder: records hold its name.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "work"
        self.whole = folder / "whole"
        self.half = folder / "half"  # killed in the trainer

        if not self.whole.exists():
            small_run.make(self.folder)
            for _ in range(2):  # `compare` takes two
                code, out = small_run.run(self.folder)
                assert code == 0, out
            self._add_records()
            self._copy(self.folder, self.whole)
            self._make_checkpoint()
        self.put_back()
        self.expected = small_run.digests(self.folder)
        self.versions = small_run.versions(self.folder)
        # `retrain` has nothing to do; its exit code says so.
        self.normal = {name: self.call(arguments)[0] for name, arguments in COMMANDS.items()}
        print(f"exit codes before any damage: {self.normal}", flush=True)

    def put_back(self, whole: bool = True) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self._copy(self.whole if whole else self.half, self.folder)

    @staticmethod
    def _copy(source: Path, target: Path) -> None:
        # cp, not shutil: hard links stay what they are.
        subprocess.run(["cp", "-a", str(source), str(target)], check=True)

    def _add_records(self) -> None:
        """Records that this run does not leave: of a rollback, and of a retraining."""
        note = {"time": "2026-01-02T03:04:05+00:00", "what": "rollback", "version": 1, "by": {}}
        (self.folder / SERVED / "history.jsonl").write_text(json.dumps(note) + "\n")
        store = Store(self.folder / ARTIFACTS)
        run, served = store.runs()[-1].name, small_run.versions(self.folder)[1]
        with contextlib.chdir(self.folder):
            config = chosen.read(ConfigOptions(config=small_run.CONFIG_FILE), "retrain")
            parts = decide.parts_of(config, store)
            spans = decide.spans_of(config.example_gen, store) or {}
        last = state.LastVerdict(
            fingerprint=digests.digest(parts),
            parts=parts,
            spans=spans,
            verdict="pushed",
            reason="every gate passed it",
            run=run,
            ends=True,
        )
        pushed = state.Push(digest=served, version=1, run=run, spans=spans, model="m")
        state.save(store, "small", state.State(last=last, pushes=[pushed]))

    def _make_checkpoint(self) -> None:
        """Kills a run in the trainer once it has a checkpoint."""
        self.remove("trainer")
        process = small_run.begin(self.folder, *RUN)
        pattern = f"{ARTIFACTS}/work/trainer-*/checkpoint-*"
        while process.poll() is None and not list(self.folder.glob(pattern)):
            time.sleep(0.005)
        process.kill()
        process.communicate()
        time.sleep(2)  # its workers end by themselves
        assert list(self.folder.glob(pattern)), "the trainer left no checkpoint"
        self._copy(self.folder, self.half)

    def remove(self, stage: str) -> None:
        for path in (self.folder / ARTIFACTS / stage).glob("*"):
            shutil.rmtree(path)

    def run(self, *more: str) -> Ended:
        return small_run.run(self.folder, *more)

    def call(self, arguments: list[str]) -> Ended:
        """Calls a light command in this process. A retraining finds that it has to wait."""
        with contextlib.ExitStack() as stack:
            if arguments[0] == "retrain":
                store = Store(self.folder / ARTIFACTS)
                stack.enter_context(lock.held(store, "small", 60))
            return command(self.folder, arguments)

    def differences(self) -> list[str]:
        """What is not as after the undisturbed run.

        A Push also says whether this run or an earlier one published the version; it counts with
        the versions.
        """
        got = small_run.digests(self.folder)
        different = [name for name in self.expected if got.get(name) != self.expected[name]]
        versions = small_run.versions(self.folder)
        if versions[max(versions)] != self.versions[max(self.versions)]:
            return [*different, f"versions {sorted(versions)}"]
        return [name for name in different if name != "pusher"]


def command(folder: Path, arguments: list[str]) -> Ended:
    """Calls `seqline ARGUMENTS` there, in this process, which has its modules."""
    from pipeline.cli import app

    out, argv = io.StringIO(), sys.argv
    code: int | str = 0
    sys.argv = ["seqline", *arguments]
    try:
        with (
            contextlib.chdir(folder),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(out),
        ):
            app.main()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 0
    except BaseException:  # what the command line would show as a traceback
        code = TRACEBACK
        out.write(traceback.format_exc())
    finally:
        sys.argv = argv
    return code, out.getvalue()


def line_of(out: str, path: Path) -> str:
    """The line that tells of the damage: of an error, else of the file, else of a stage."""
    lines = [line.strip() for line in out.splitlines() if line.strip()]
    if "Traceback" in out:
        ours = re.findall(rf'File "{CHECKOUT}/((?!\.venv)[^"]+)", line (\d+)', out) or [("", "")]
        return f"TRACEBACK {':'.join(ours[-1])} {lines[-1]}"[:300]

    for number, line in enumerate(lines):
        if line.startswith("error"):
            return " ".join(lines[number : number + 4])[:600]
    told = [line for line in lines if path.name in line or "damaged" in line or "differ" in line]
    return told[0][:300] if told else ""


def made_again(out: str) -> list[str]:
    return [line.split()[0] for line in out.splitlines() if " started, stage " in line]


def check(row: Row, name: str, ended: Ended, path: Path, normal: int | str = 0) -> None:
    """Enters how a command ended, which ends with `normal` where nothing is damaged."""
    code, out = ended
    has_traceback = code == TRACEBACK or "Traceback" in out
    row.codes[name] = TRACEBACK if has_traceback else code
    row.said[name] = line_of(out, path)
    if has_traceback:
        row.wrong.append(f"{name}: {row.said[name]}")
    elif code in (0, normal, BUSY):
        return
    elif not row.said[name]:
        row.wrong.append(f"{name}: exit code {code} without a line: {out[-200:]!r}")
    elif not ADVICE.search(row.said[name]):
        row.wrong.append(f"{name}: no way out in {row.said[name]!r}")


def damage_artifact(place: Place, kind: Kind, damage: str, number: int, keep_times: bool) -> Row:
    """Damages a file of an artifact, and runs twice."""
    place.put_back(whole=kind.name != "checkpoint")
    path = kind.path(place.folder)
    assert path is not None, f"there is no {kind.pattern}"
    file = files_of(path)[number]
    row = Row(kind.name, damage, str(file.relative_to(path)))
    times = file.stat()
    DAMAGES[damage](file)
    if keep_times and file.exists():
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    check(row, "plan", place.call(COMMANDS["plan"]), file)
    run_again(place, kind, row, file)
    return row


def damage_record(place: Place, kind: Kind, damage: str) -> Row:
    """Damages a record, and calls all commands that read records, then runs."""
    place.put_back()
    path = kind.path(place.folder)
    assert path is not None, f"there is no {kind.pattern}"
    row = Row(kind.name, damage, str(path.relative_to(place.folder)))
    RECORD_DAMAGES[damage](path)

    for name, arguments in COMMANDS.items():
        check(row, name, place.call(arguments), path, place.normal[name])
        if name in PASS_OVER and row.codes[name] not in (0, TRACEBACK):
            row.wrong.append(f"{name}: does not pass over it: {row.said[name]}")
    run_again(place, kind, row, path)
    return row


def run_again(place: Place, kind: Kind, row: Row, file: Path) -> None:
    """Runs, once more if that ended badly, then as the error says; enters what came of it."""
    if kind.reader:
        place.remove(kind.reader)

    for name in ("run", "second run", "as it says"):
        if name == "as it says":
            follow(row.said["run"], place.folder)
        ended = place.run()
        check(row, name, ended, file)
        row.after += f"; {name}: {', '.join(made_again(ended[1])) or 'nothing'}"
        if ended[0] == 0:
            break
    else:
        row.wrong.append(f"no run gets over it: {row.said[name]}")
        return

    different = place.differences()
    if not different:
        row.after += "; all is as before"
    elif kind.reader:
        row.wrong.append(f"{name}: ended well, with another {', '.join(different)}")
    else:
        row.after += f"; unnoticed, another {', '.join(different)}"


def follow(line: str, folder: Path) -> None:
    """Removes what an error says to remove."""
    named = re.findall(r"(?:[Rr]emove|[Dd]elete)\D*?(/[^\s,;]+)", line)
    if "remove it" in line:  # what the line begins with
        named += re.findall(r"/[^\s,;]+", line)[:1]
    for place in named:
        path = Path(place.rstrip("."))
        if not path.is_relative_to(folder):
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def markdown(rows: list[Row]) -> str:
    lines = ["| kind | damage | file | exit codes | said | then ran |", "|---|---|---|---|---|---|"]
    for row in rows:
        codes = ", ".join(f"{name} {code}" for name, code in row.codes.items())
        said = dict.fromkeys(
            text for name, text in row.said.items() if text and row.codes[name] != 0
        )
        told = list(said) or [text for text in row.said.values() if text][:1]
        cells = (
            row.kind,
            row.damage,
            row.file,
            codes,
            "<br>".join(told).replace("|", "\\|"),
            row.after.removeprefix("; ") + ("; **WRONG**" if row.wrong else ""),
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def measure(given: argparse.Namespace, folder: Path) -> list[Row]:
    place = Place(folder)
    rows: list[Row] = []
    names = given.kinds.split(",") if given.kinds else None

    def add(row: Row) -> None:
        rows.append(row)
        verdict = "WRONG" if row.wrong else "ok"
        print(f"{verdict:<6} {row.kind}, {row.damage}, {row.file}: {row.codes}", flush=True)
        for complaint in row.wrong:
            print(f"       {complaint}", flush=True)

    if given.only != "records":
        for kind in KINDS:
            if names and kind.name not in names:
                continue
            place.put_back(whole=kind.name != "checkpoint")
            path = kind.path(place.folder)
            count = len(files_of(path)) if path else 0
            for number in range(count if given.each else min(count, 1)):
                for damage in DAMAGES:
                    add(damage_artifact(place, kind, damage, number, given.keep_times))

    if given.only != "artifacts":
        for kind in RECORDS:
            if names and kind.name not in names:
                continue
            for damage in RECORD_DAMAGES:
                add(damage_record(place, kind, damage))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=("artifacts", "records"))
    parser.add_argument("--kinds", help="names of kinds, with commas; all if none is given")
    parser.add_argument("--each", action="store_true", help="each file of an artifact")
    parser.add_argument("--keep-times", action="store_true", help="as a disk rots: without mtime")
    parser.add_argument("--keep", type=Path, help="where to keep the run; made if missing")
    given = parser.parse_args()

    os.environ["COLUMNS"] = "250"  # of the tables of `plan`, whose reasons would be cut
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(given, given.keep or Path(folder))
    wrong = [f"{row.kind}, {row.damage}: {line}" for row in rows for line in row.wrong]
    print(markdown(rows))
    print(f"{len(rows)} damages, {sum(bool(row.wrong) for row in rows)} of them wrong")
    print(json.dumps({"rows": [asdict(row) for row in rows], "wrong": wrong}))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
