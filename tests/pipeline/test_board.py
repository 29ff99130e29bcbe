"""The folder that TensorBoard reads."""

from pathlib import Path

import pytest

from pipeline import board
from pipeline.board import Board
from pipeline.store import open_store
from pipeline.store.folder import Store
from pipeline.store.records import Source
from seqline.errors import UserError
from tests.support.records import execution, run_record

MODEL, EXPORT, SEARCH, OTHER = ("1" * 20, "2" * 20, "3" * 20, "4" * 20)
# 2026-01-31 12:34:56 UTC.
EVENTS = "events.out.tfevents.1769862896.host.1.0.v2"
LATER = "events.out.tfevents.1769900000.host.1.0.v2"
TRAINING = "news 2026-01-31 12.34 111111"


def write(path: Path, text: str = "events") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def artifact(
    store: Store, component: str, key: str, inputs: dict[str, tuple[str, str]], *files: str
) -> None:
    folder = store.path(component, key)
    for file in files:
        write(folder / "tensorboard" / file, f"{component} {file}")
    sources = {name: Source(*source) for name, source in inputs.items()}
    folder.mkdir(parents=True, exist_ok=True)
    record = execution(component, key, name="news", inputs=sources)
    record.write(folder / "execution.json")


def run_under_way(store: Store, **uses: list[str]) -> None:
    name = "20260131T120000000000-abcd"
    record = run_record(name, name="news", uses=uses)
    write(store.root / "runs" / name / "run.json", "")
    record.write(store.root / "runs" / name / "run.json")


def content(folder: Path) -> dict[str, str]:
    """Path -> text of each file, through links."""
    return {
        str(path.relative_to(folder)): path.read_text()
        for top in folder.iterdir()
        for path in [*top.glob("*"), *top.glob("*/*")]
        if path.is_file()
    }


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A training with an evaluation, and a search of two trials."""
    store = Store(tmp_path / "root")
    files = (EVENTS, f"train/{LATER}", "train/projector_config.pbtxt")
    artifact(store, "trainer", MODEL, {}, *files)
    artifact(store, "exporter", EXPORT, {"model": ("trainer", MODEL)})
    artifact(store, "evaluator", "5" * 20, {"saved_model": ("exporter", EXPORT)}, LATER)
    artifact(store, "tuner", SEARCH, {}, f"trial-000/{EVENTS}", f"trial-010/{LATER}")
    return store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "view").mkdir()
    return tmp_path / "view"


EXPECTED = {
    f"{TRAINING}/{EVENTS}": f"trainer {EVENTS}",
    f"{TRAINING}/{LATER}": f"evaluator {LATER}",
    f"{TRAINING}/train/{LATER}": f"trainer train/{LATER}",
    f"{TRAINING}/train/projector_config.pbtxt": "trainer train/projector_config.pbtxt",
    f"news trial 0 of 2026-01-31 12.34 333333/{EVENTS}": f"tuner trial-000/{EVENTS}",
    f"news trial 10 of 2026-01-31 12.34 333333/{LATER}": f"tuner trial-010/{LATER}",
}


def test_names_are_of_model_time_and_key(store: Store, folder: Path) -> None:
    names = Board(store, folder).refresh()
    assert names == [
        TRAINING,
        "news trial 0 of 2026-01-31 12.34 333333",
        "news trial 10 of 2026-01-31 12.34 333333",
    ]
    assert content(folder) == EXPECTED
    # The projector refuses files that lie, links followed, outside the folder of its settings.
    assert (folder / TRAINING / "train").is_symlink()


def test_what_is_gone_or_new_is_gone_or_there_after_a_refresh(store: Store, folder: Path) -> None:
    view = Board(store, folder)
    view.refresh()
    (store.path("tuner", SEARCH) / "execution.json").unlink()
    artifact(store, "trainer", OTHER, {}, LATER)
    assert view.refresh() == [TRAINING, "news 2026-01-31 22.53 444444"]
    assert sorted(path.name for path in folder.iterdir()) == sorted(view.refresh())


def test_the_newest_evaluation_takes_the_place_of_the_one_before(
    store: Store, folder: Path
) -> None:
    view = Board(store, folder)
    view.refresh()
    key, newest = "6" * 20, "events.out.tfevents.1769999999.host.1.0.v2"
    artifact(store, "evaluator", key, {"saved_model": ("exporter", EXPORT)}, newest)
    record = execution(
        "evaluator",
        key,
        inputs={"saved_model": Source("exporter", EXPORT)},
        finished="2026-02-01T00:00:00.000+00:00",
    )
    record.write(store.path("evaluator", key) / "execution.json")
    view.refresh()
    assert {path.name for path in (folder / TRAINING).iterdir()} == {EVENTS, newest, "train"}


def test_a_training_under_way_keeps_its_name_when_it_ends(store: Store, folder: Path) -> None:
    partial = store.root / "partial" / f"trainer-{OTHER}-0123abcd"
    write(partial / "tensorboard" / "train" / EVENTS)
    run_under_way(store, trainer=[OTHER])
    view = Board(store, folder)

    name = "news 2026-01-31 12.34 444444"
    assert name in view.refresh()
    assert (folder / name / "train" / EVENTS).read_text() == "events"

    partial.rename(store.path("trainer", OTHER))
    execution("trainer", OTHER, name="news").write(store.path("trainer", OTHER) / "execution.json")
    assert name in view.refresh()
    assert (folder / name / "train" / EVENTS).read_text() == "events"


def test_a_model_without_event_files_is_not_shown(store: Store, folder: Path) -> None:
    artifact(store, "trainer", OTHER, {})
    (store.path("trainer", "6" * 20)).mkdir()
    write(store.path("trainer", "6" * 20) / "execution.json", "damaged")
    assert [name for name in Board(store, folder).refresh() if "trial" not in name] == [TRAINING]


def test_an_export_has_files_in_place_of_links(store: Store, tmp_path: Path) -> None:
    board.export(store, tmp_path / "copy")
    assert content(tmp_path / "copy") == EXPECTED
    assert not [path for path in (tmp_path / "copy").rglob("*") if path.is_symlink()]

    with pytest.raises(UserError, match=r"copy' is not an empty folder\. Name another one\."):
        board.export(store, tmp_path / "copy")


def test_a_bucket_is_read_into_the_cache(store: Store, folder: Path, place: Path) -> None:
    for path in store.root.rglob("*"):
        if path.is_file():
            (place / str(path.relative_to(store.root))).write_bytes(path.read_bytes())
    assert len(Board(open_store(str(place)), folder).refresh()) == 3
    assert content(folder) == EXPECTED
