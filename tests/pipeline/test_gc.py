"""`seqline gc` never deletes what is served or referenced, and deletes everything else.

That holds whatever runs at the same time, and wherever it is killed.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.transform import TRANSFORM, TransformParams, part_path
from pipeline import gc
from pipeline.runner.execute import execute
from pipeline.runner.plan import Pipeline, plan
from pipeline.runner.run import Options
from pipeline.store import layout, open_store
from pipeline.store.folder import Store
from pipeline.store.layout import DISCARDED
from pipeline.store.records import Source, StageRecord
from seqline.component import Component, Figures, Params
from seqline.model.digest import MANIFEST
from tests.support import CHECKOUT
from tests.support.fake_cloud import gcs
from tests.support.records import execution, run_record

# One of the future is young, whatever the day.
RUN = "20200101T00000{:07d}-abcd"
ARTIFACT = re.compile(r"(\w+)/([0-9a-f]{20})")


def key(number: int) -> str:
    return blake2b(str(number).encode(), digest_size=10).hexdigest()


class Root:
    """A root in a folder or under gs://, with artifacts, runs and versions that a test makes."""

    def __init__(self, root: str, serving_dir: Path) -> None:
        self.store = open_store(root)
        self.serving_dir = serving_dir

    def artifact(
        self, component: str, number: int, inputs: Sequence[tuple[str, int]] = (), **figures: Any
    ) -> tuple[str, str]:
        folder = self.store.path(component, key(number))
        self._write(folder / "Split-train" / "data", b"data")
        record = execution(
            component,
            key(number),
            type="Push" if component == "pusher" else "Value",
            inputs={
                f"input{place}": Source(name, key(other))
                for place, (name, other) in enumerate(inputs)
            },
            figures=figures,
            finished=f"2026-01-01T00:00:{number:02d}",
        )

        record.write(folder / "execution.json")
        return component, key(number)

    def run(
        self,
        number: int,
        stages: list[tuple[str, str]],
        verdict: str = "finished",
        uses: Sequence[tuple[str, str]] = (),
    ) -> str:
        name = RUN.format(number)
        self._write(self.store.root / "runs" / name / "log.txt", b"said")
        record = run_record(
            name,
            verdict=verdict,
            uses={component: [used] for component, used in uses},
            stages=[
                StageRecord(component, made, False, "never ran", 1.0) for component, made in stages
            ],
        )
        record.write(self.store.root / "runs" / name / "run.json")
        return name

    def serve(self, version: int, digest: str, **labels: int) -> None:
        folder = self.serving_dir / str(version)
        (folder / MANIFEST).parent.mkdir(parents=True)
        (folder / MANIFEST).write_text(json.dumps({"digest": digest, "files": {}}))
        (folder / "saved_model.pb").write_text("model")

    def _write(self, path: Path, content: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def artifacts(self) -> set[tuple[str, str]]:
        entries = map(ARTIFACT.fullmatch, self.store.entries())
        return {(entry[1], entry[2]) for entry in entries if entry}

    def collect(self, keep_runs: int, **more: Any) -> gc.Plan:
        return gc.collect(self.store, str(self.serving_dir), keep_runs, **more)


@pytest.fixture(scope="module")
def cloud() -> Iterator[gcs.FakeGcs]:
    with gcs.serve() as store:
        store.buckets["bucket"] = {}
        store.page_size = 7
        yield store


@pytest.fixture(params=["folder", "gs"])
def root(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Root:
    if request.param == "folder":
        return Root(str(tmp_path / "root"), tmp_path / "serving_dir")
    cloud = request.getfixturevalue("cloud")
    cloud.buckets["bucket"] = {}
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", cloud.url)
    return Root("gs://bucket/root", tmp_path / "serving_dir")


# The law

ARTIFACTS = st.lists(
    st.tuples(
        st.sampled_from(["example_gen", "transform", "trainer", "pusher"]),
        st.lists(st.integers(0, 30), max_size=3),
    ),
    max_size=16,
)
RUNS = st.lists(
    st.tuples(
        st.lists(st.integers(0, 30), max_size=4),
        st.sampled_from(["finished", "failed", "running", "alive"]),
        st.lists(st.integers(0, 30), max_size=2),
    ),
    max_size=5,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    artifacts=ARTIFACTS,
    runs=RUNS,
    versions=st.lists(st.integers(0, 30), max_size=3),
    keep_runs=st.integers(0, 3),
)
def test_nothing_served_or_referenced_goes_and_everything_else_does(
    artifacts: list[Any], runs: list[Any], versions: list[int], keep_runs: int
) -> None:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as alive:
        root = Root(f"{folder}/root", Path(folder, "serving_dir"))
        served_from = str(Path(folder, "serving_dir").absolute())
        made: list[tuple[str, str]] = []

        inputs: dict[tuple[str, str], list[tuple[str, str]]] = {}
        for number, (component, read) in enumerate(artifacts):
            chosen = sorted({other % number for other in read}) if number else []
            figures = (
                {"digest": f"digest{number}", "serving_dir": served_from}
                if component == "pusher"
                else {}
            )
            made.append(
                root.artifact(
                    component, number, [(artifacts[each][0], each) for each in chosen], **figures
                )
            )
            inputs[made[-1]] = [made[each] for each in chosen]

        roots = set()
        pushes = [
            number for number, (component, _) in enumerate(artifacts) if component == "pusher"
        ]
        for version, number in enumerate(
            sorted({pushes[pick % len(pushes)] for pick in versions}) if pushes else [], start=1
        ):
            root.serve(version, f"digest{number}")
            roots.add(made[number])

        if pushes and not roots:
            roots.add(made[max(pushes)])  # serving_dir is empty: of what was pushed there, the last

        kept = set()
        for number, (stages, verdict, uses) in enumerate(runs):
            of_it = {made[each % len(made)] for each in stages} if made else set()
            used = {made[each % len(made)] for each in uses} if made else set()
            name = root.run(
                number,
                sorted(of_it),
                "running" if verdict == "alive" else verdict,
                list(dict(used).items()),
            )
            if verdict == "alive":
                alive.enter_context(root.store.running(name))
            if (
                verdict == "alive"
                or number >= len(runs) - keep_runs
                or of_it & roots & {made[push] for push in pushes}
            ):
                kept.add(name)

        for name in kept:
            record = json.loads((root.store.root / "runs" / name / "run.json").read_text())
            roots |= {(stage["component"], stage["key"]) for stage in record["stages"]}
            roots |= {
                (component, used_key)
                for component, keys in record["uses"].items()
                for used_key in keys
                if record["verdict"] != "finished"
            }

        lineage: set[tuple[str, str]] = set()
        while roots:
            name_ = roots.pop()
            lineage.add(name_)
            roots |= set(inputs[name_]) - lineage
        (root.store.root / "notes").mkdir(parents=True, exist_ok=True)
        (root.store.root / "notes" / "mine.txt").write_text("not the store's")
        before = sorted(path for path in root.serving_dir.rglob("*"))

        root.collect(keep_runs)

        assert root.artifacts() == lineage
        assert {path.name for path in root.store.runs()} == kept
        assert (root.store.root / "notes" / "mine.txt").read_text() == "not the store's"
        assert sorted(path for path in root.serving_dir.rglob("*")) == before
        assert list((root.store.root / "partial").glob("*")) == []
        assert root.collect(keep_runs).items == []


# Piece by piece, in a folder and under gs://


def test_left_overs_of_the_dead_go_and_what_goes_on_stays(root: Root) -> None:
    done, going = root.artifact("trainer", 1), ("trainer", key(2))
    root.artifact("trainer", 3)
    root.run(1, [done], verdict="running", uses=[done, going])
    store = root.store
    stay = [
        f"work/trainer-{key(2)}/checkpoint",
        f"runs/{RUN.format(1)}/more.txt",
        f"retrain/{key(9)}.json",
        "span_cache/transform/digests.json",
    ]

    go = [
        f"work/trainer-{key(1)}/checkpoint",
        f"work/trainer-{key(3)}/checkpoint",
        f"partial/trainer-{key(2)}-0123abcd/model",
    ]

    go += [
        f"partial/{DISCARDED}0123abcd/0/file",
        f"trainer/{key(4)}/half",
        "span_cache/transform/partial-host-1-x/file",
        f"span_cache/transform/{key(5)}/file",
    ]
    for name in (*stay, *go):
        root._write(store.root / name, b"x")
    root.collect(keep_runs=1)

    assert [name for name in stay if not (store.root / name).is_file()] == []

    # Under gs:// a job may still be writing a piece for the run that was killed.
    left = [name for name in go if (store.root / name).exists()]
    assert left == (
        [] if isinstance(store.root, Path) else ["span_cache/transform/partial-host-1-x/file"]
    )
    assert root.artifacts() == {done}


def test_the_parts_of_spans_of_an_earlier_release_go_when_no_run_is_alive(root: Root) -> None:
    for name in ("pieces/transform/abc/file", "pieces/example_gen/digests.json", "pieces/mine/a"):
        root._write(root.store.root / name, b"x")
    run = root.run(1, [])
    with root.store.running(run):
        assert root.collect(keep_runs=1).items == []
    removed = root.collect(keep_runs=1).items
    assert sorted((item.kind, item.name, item.about) for item in removed) == [
        ("part of a span", "pieces/example_gen", "of an earlier release"),
        ("part of a span", "pieces/transform", "of an earlier release"),
    ]
    assert not (root.store.root / "pieces/transform/abc/file").exists()
    assert (root.store.root / "pieces/mine/a").is_file()


def test_an_artifact_in_the_making_is_left_alone(root: Root) -> None:
    store = root.store
    root._write(store.root / "trainer" / key(1) / "half", b"half")
    root._write(store.root / "work" / f"trainer-{key(1)}" / "checkpoint", b"step 5")
    with store.lock("trainer", key(1)):
        assert root.collect(keep_runs=0).items == []
    assert sorted(item.kind for item in root.collect(keep_runs=0).items if item.kind != "lock") == [
        "artifact",
        "checkpoints",
    ]


def test_a_clean_up_that_died_keeps_no_run_from_beginning(
    root: Root, cloud: gcs.FakeGcs, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "import os; from pipeline.store import open_store\nwith"
        f" open_store({str(root.store.root)!r}).cleaning(): os._exit(9)"
    )
    environment = {**os.environ, "STORAGE_EMULATOR_HOST": cloud.url, "PYTHONPATH": str(CHECKOUT)}
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == 9
    folder = root.store.start_run()
    root.store.announce(folder, run_record(folder.name))
    assert [path.name for path in root.store.runs()] == [folder.name]


def test_a_clean_up_that_is_killed_leaves_nothing_half(root: Root, cloud: gcs.FakeGcs) -> None:
    kept = root.artifact("trainer", 0)
    root.run(1, [kept])
    for number in range(1, 6):
        root.artifact("trainer", number, [("trainer", number - 1)])
    dies_at = (
        "os.rename" if isinstance(root.store.root, Path) else "seqline.storage.gcs.delete_object"
    )

    for when in (1, 4, 7):
        code = (
            "import os, threading, seqline.storage.gcs, pipeline.gc\nfrom pipeline.store import"
            f" open_store\nnumber, lock, whole = 0, threading.Lock(), {dies_at}\ndef"
            " dies(*given):\n    global number\n    with lock:\n        number += 1\n        if"
            f" number >= {when}: os._exit(9)\n    return whole(*given)\n{dies_at} ="
            f" dies\npipeline.gc.collect(open_store({str(root.store.root)!r}),"
            f" {str(root.serving_dir)!r}, 1)\n"
        )
        environment = {
            **os.environ,
            "STORAGE_EMULATOR_HOST": cloud.url,
            "PYTHONPATH": str(CHECKOUT),
        }

        ended = subprocess.run([sys.executable, "-c", code], env=environment, timeout=100)
        assert ended.returncode in (0, 9)

        store = open_store(str(root.store.root))
        for component, made in root.artifacts():
            if store.execution(component, made):
                assert (store.path(component, made) / "Split-train" / "data").is_file()
        assert store.execution(*kept) is not None

    root.collect(keep_runs=1)
    assert root.artifacts() == {kept}
    assert [name for name in root.store.entries() if name.startswith("partial/")] == []


def test_a_disk_without_room_for_a_name_is_cleaned_up_all_the_same(tmp_path: Path) -> None:
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "nr_inodes=64", "none", str(tmp_path)],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        pytest.skip(f"this user may not mount: {done.stderr.strip()}")

    try:
        root = Root(str(tmp_path / "root"), tmp_path / "serving_dir")
        root.artifact("trainer", 1)
        kept = root.artifact("trainer", 2)
        root.run(1, [kept])
        with root.store.cleaning():
            pass

        with suppress(OSError):
            for number in range(64):
                (tmp_path / str(number)).touch()

        assert root.collect(keep_runs=1).items != []
        assert root.artifacts() == {kept}
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_old_versions_go_but_never_one_with_a_label(tmp_path: Path) -> None:
    root = Root(str(tmp_path / "root"), tmp_path / "serving_dir")
    for number in range(1, 6):
        root.artifact(
            "pusher",
            number,
            [("trainer", number + 10)],
            digest=f"d{number}",
            serving_dir=str(tmp_path / "serving_dir"),
        )

        root.artifact("trainer", number + 10)
        root.serve(number, f"d{number}")

    config = (
        'model_config_list { config { name: "m" base_path: "/m" version_labels { key: "stable"'
        " value: 2 } } }"
    )
    (root.serving_dir / "models.config").write_text(config)

    shown, _ = gc.preview(root.store, str(root.serving_dir), 0, keep_versions=1)
    assert [item.name.rpartition("/")[2] for item in shown.items if item.kind == "version"] == [
        "1",
        "3",
        "4",
    ]
    assert sorted(path.name for path in root.serving_dir.glob("[0-9]")) == ["1", "2", "3", "4", "5"]

    # A push before the user agrees makes one more version old, which was not shown.
    root.serve(6, "d6")
    root.collect(keep_runs=0, keep_versions=1, agreed=shown)
    assert sorted(path.name for path in root.serving_dir.glob("[0-9]")) == ["2", "5", "6"]
    assert root.artifacts() == {
        (name, key(number + plus))
        for number in (2, 5)
        for name, plus in (("pusher", 0), ("trainer", 10))
    }


def test_what_its_record_no_longer_names_its_card_does(tmp_path: Path) -> None:
    root = Root(str(tmp_path / "root"), tmp_path / "serving_dir")
    root.artifact("example_gen", 1)
    model = root.artifact("trainer", 2, [("example_gen", 1)])
    root.artifact("trainer", 3, [("example_gen", 1)])
    root.serve(1, "of another push")
    (root.serving_dir / "1" / "assets.extra" / "model.json").write_text(
        json.dumps({"keys": {"examples": key(1), "model": key(2)}})
    )
    root.collect(keep_runs=0)
    assert root.artifacts() == {("example_gen", key(1)), model}


# With real runs


class SourceParams(Params):
    path: str = "data"


class NumberParams(Params):
    number: int = 1
    seconds: float = 0.0


def read(*, params: SourceParams, output: Path) -> Figures:
    (output / "value").write_text(Path(params.path).read_text())
    return {}


def content(params: SourceParams, memory: Path | None = None) -> str:
    return Path(params.path).read_text()


def add(*, value: Path, params: NumberParams, output: Path) -> Figures:
    import time

    for _ in range(10):  # reads its input until the end, as a training does
        number = int((value / "value").read_text())
        time.sleep(params.seconds / 10)
    (output / "value").write_text(str(number + params.number))
    return {}


def chain(data: Path, number: int, seconds: float = 0.0) -> Pipeline:
    pipe = Pipeline()
    value = pipe.add(
        Component("source", {}, "Value", SourceParams, read, str, external_digest=content),
        SourceParams(path=str(data)),
    )
    value = pipe.add(
        Component("first", {"value": "Value"}, "Value", NumberParams, add, str),
        NumberParams(number=1),
        value=value,
    )

    pipe.add(
        Component("second", {"value": "Value"}, "Value", NumberParams, add, str),
        NumberParams(number=number, seconds=seconds),
        value=value,
    )

    return pipe


def test_a_run_that_goes_on_loses_nothing_and_one_that_is_kept_has_nothing_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "code_digest", lambda module: "code")
    data = tmp_path / "data"
    data.write_text("40")
    store = Store(tmp_path / "root")
    ended = threading.Event()
    trouble: list[BaseException] = []
    plans: list[gc.Plan] = []

    def clean() -> None:
        try:
            while not ended.is_set():
                plans.append(gc.collect(Store(tmp_path / "root"), str(tmp_path / "serving_dir"), 0))
        except BaseException as error:
            trouble.append(error)

    execute(chain(data, 1), store, store.start_run(), Options())
    cleaner = threading.Thread(target=clean)
    cleaner.start()
    try:
        for number in range(2, 6):
            done = execute(chain(data, number, seconds=0.5), store, store.start_run(), Options())
            assert done[-1].figures == {}
    finally:
        ended.set()
        cleaner.join()

    assert trouble == []
    assert len(plans) > 1, "it was never asked meanwhile"

    # With nothing kept, the end of each run is the end of its artifacts, and no sooner.
    assert {"artifact", "run"} <= {item.kind for collected in plans for item in collected.items}
    for number in (1, 2):
        execute(chain(data, number), store, store.start_run(), Options())
    gc.collect(store, str(tmp_path / "serving_dir"), 1)
    assert [step.runs for step in plan(chain(data, 2), store)] == [False, False, False]
    assert [step.runs for step in plan(chain(data, 1), store)] == [False, False, True]


def test_a_run_says_what_it_relies_on_before_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "code_digest", lambda module: "code")
    data = tmp_path / "data"
    data.write_text("40")
    store = Store(tmp_path / "root")
    execute(chain(data, 1), store, store.start_run(), Options())
    finished = {step.stage.name: step.key for step in plan(chain(data, 1), store)}

    folder = store.start_run()
    with store.cleaning():  # the run below waits before it looks at any artifact
        thread = threading.Thread(target=execute, args=(chain(data, 1), store, folder, Options()))
        thread.start()
        thread.join(1.0)
        assert thread.is_alive()
        store.discard([f"first/{finished['first']}"])()

    thread.join()
    record = json.loads((folder / "run.json").read_text())
    assert record["uses"] == {name: [made] for name, made in finished.items()}
    assert [(stage["component"], stage["cached"]) for stage in record["stages"]] == [
        ("source", True),
        ("first", False),
        ("second", True),
    ]


def seqline(folder: Path, *arguments: str, code: int = 0) -> str:
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
        "PYTHONPATH": str(CHECKOUT),
    }
    command = [sys.executable, "-m", "pipeline", *arguments]
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        stdin=subprocess.DEVNULL,
    )

    assert done.returncode == code, done.stdout + done.stderr

    return done.stdout + done.stderr


def test_pieces_of_kept_windows_are_used_again_and_the_others_go(tmp_path: Path) -> None:
    for span in (1, 2, 3):
        (tmp_path / f"span-{span}").mkdir()
        rows = [
            {"text": f"text {number} of {span}", "label": "ab"[number % 2]} for number in range(40)
        ]
        (tmp_path / f"span-{span}" / "rows.jsonl").write_text(
            "".join(json.dumps(row) + "\n" for row in rows)
        )

    (tmp_path / "my.toml").write_text('[example_gen]\nsource = "span-{SPAN}/*.jsonl"\nwindow = 2\n')
    run = ["run", "--config", "my.toml", "--to", "statistics_gen"]
    seqline(tmp_path, *run, "--set", "example_gen.span=2")
    seqline(tmp_path, *run, "--set", "example_gen.span=3")

    def span_cache() -> list[int]:
        return [
            len(
                [
                    path
                    for path in (tmp_path / "artifacts" / "span_cache" / name).iterdir()
                    if path.is_dir()
                ]
            )
            for name in ("example_gen", "statistics_gen")
        ]

    assert span_cache() == [3, 3]
    shown = seqline(tmp_path, "gc", "--config", "my.toml", "--keep-runs", "1")
    assert shown.splitlines()[-1] == "nothing was deleted; --yes deletes"
    assert "2 artifacts, 2 locks, 2 parts of spans, 1 run can be deleted" in shown
    assert span_cache() == [3, 3]
    assert "deleted 7\n" in seqline(
        tmp_path, "gc", "--config", "my.toml", "--keep-runs", "1", "--yes"
    )
    assert span_cache() == [2, 2]
    assert "0 of 2 stages ran" in seqline(tmp_path, *run, "--set", "example_gen.span=3")
    assert json.loads(seqline(tmp_path, "gc", "--config", "my.toml", "--json"))["items"] == []
    assert seqline(tmp_path, "gc", "--root", "nowhere", code=2).startswith(
        "error: No run has been recorded under 'nowhere'"
    )


def test_the_transforms_pieces_are_found_by_what_analysed_them(tmp_path: Path) -> None:
    span_cache = Store(tmp_path).span_cache(TRANSFORM)
    assert TRANSFORM.span_part is not None
    given = TRANSFORM.span_part(span_cache, "k", "text", TransformParams())
    assert given == part_path(span_cache, "k", "text", TransformParams())
