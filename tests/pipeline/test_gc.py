"""`seqline gc` deletes what is neither served nor referenced, in a folder and in buckets.

It may be killed at any moment. The law is in test_gc_law.py, real runs in test_gc_runs.py.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from components.example_gen import EXAMPLE_GEN
from components.transform import TRANSFORM, TransformParams, part_path
from pipeline import gc
from pipeline.root_contents import read
from pipeline.store import open_store
from pipeline.store.folder import Store
from pipeline.store.layout import DISCARDED
from seqline.data.manifest import Manifest, Span, write_manifest
from tests.support import CHECKOUT, s3
from tests.support.fake_cloud import gcs
from tests.support.gc_roots import RUN, Root, key
from tests.support.records import execution, run_record


@pytest.fixture(scope="module")
def cloud() -> Iterator[gcs.FakeGcs]:
    with gcs.serve() as store:
        store.buckets["bucket"] = {}
        store.page_size = 7
        yield store


@pytest.fixture(scope="module")
def amazon() -> Iterator[str]:
    with s3.serve() as url:
        yield url


@pytest.fixture(params=["folder", "gs", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Root:
    if request.param == "folder":
        return Root(str(tmp_path / "root"), tmp_path / "serving_dir")
    if request.param == "s3":
        request.getfixturevalue("amazon")
        return Root(f"s3://bucket/{tmp_path.name}", tmp_path / "serving_dir")
    cloud = request.getfixturevalue("cloud")
    cloud.buckets["bucket"] = {}
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", cloud.url)
    return Root("gs://bucket/root", tmp_path / "serving_dir")


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
        f"span_cache/example_gen/{key(5)}/file",
        f"span_cache/example_gen/{key(6)}/file",
        f"span_cache/example_gen/{key(6)}/whole",
    ]
    for name in (*stay, *go):
        root.write_file(store.root / name, b"x")
    root.collect(keep_runs=1)

    assert [name for name in stay if not (store.root / name).is_file()] == []

    # Under gs:// a job may still be writing a piece for the run that was killed.
    left = [name for name in go if (store.root / name).exists()]
    assert left == (
        []
        if isinstance(store.root, Path)
        else ["span_cache/transform/partial-host-1-x/file", f"span_cache/example_gen/{key(5)}/file"]
    )
    assert root.artifacts() == {done}


def test_the_parts_of_spans_of_an_earlier_release_go_when_no_run_is_alive(root: Root) -> None:
    for name in ("pieces/transform/abc/file", "pieces/example_gen/digests.json", "pieces/mine/a"):
        root.write_file(root.store.root / name, b"x")
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
    root.write_file(store.root / "trainer" / key(1) / "half", b"half")
    root.write_file(store.root / "work" / f"trainer-{key(1)}" / "checkpoint", b"step 5")
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
        "os.rename"
        if isinstance(root.store.root, Path)
        else "seqline.storage.objects.delete_object"
    )

    for when in (1, 4, 7):
        code = (
            "import os, threading, seqline.storage.objects, pipeline.gc\nfrom pipeline.store import"
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


def test_the_transforms_pieces_are_found_by_what_analysed_them(tmp_path: Path) -> None:
    span_cache = Store(tmp_path).span_cache(TRANSFORM)
    assert TRANSFORM.span_parts is not None
    given = TRANSFORM.span_parts(span_cache, "k", "text", TransformParams(tokens="char"))
    assert given == [part_path(span_cache, "k", "text", TransformParams(tokens="char"))]

    # By script, the words of a span are counted before its characters may be.
    by_script = TRANSFORM.span_parts(span_cache, "k", "text", TransformParams())
    assert by_script == [
        part_path(span_cache, "k", "text", TransformParams(tokens="word")),
        part_path(span_cache, "k", "text", TransformParams(tokens="char")),
    ]
    assert len(TRANSFORM.span_parts(span_cache, "k", "tokens", TransformParams())) == 1


def test_a_span_that_was_read_several_times_has_several_parts(tmp_path: Path) -> None:
    store = Store(tmp_path)
    folder = store.path("example_gen", key(1))
    folder.mkdir(parents=True)
    record = execution("example_gen", key(1), type="Examples", params={"source": "a.csv"})
    record.write(folder / "execution.json")
    span = Span(0, "as used", key_as_read="as read", key_as_split="as split")
    write_manifest(Manifest("text", None, (span,)), folder)

    span_cache = store.span_cache(EXAMPLE_GEN)
    assert set(gc._parts_of_window(("example_gen", key(1)), read(store))) == {
        span_cache.path(span=name) for name in ("as used", "as read", "as split")
    }
