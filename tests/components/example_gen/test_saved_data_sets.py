import shutil
from pathlib import Path

import pytest

from components.example_gen import ExampleGenParams, sources
from seqline.errors import DataError, UserError
from seqline.rows.row import BadRow, Row
from tests.components.example_gen.support import make, read_all
from tests.support.hugging_face import prepare, save_dataset, save_dict

CLASSES = ["neg", "pos"]
ROWS = [{"text": f"t{n}", "label": n % 2} for n in range(4)]


def shards(source: object) -> tuple[list[str | None], list[str]]:
    """(split of each shard, the names of the splits that are not used)."""
    params = ExampleGenParams(source=source if isinstance(source, dict) else str(source))
    sources.check(params)
    found, unused = sources.shards(sources.window(params)[0], params)
    return [shard.split for shard in found], unused


def rows(source: object) -> list[tuple[bytes, bytes]]:
    return [(row.content, row.label) for row in read_all(source) if isinstance(row, Row)]


def test_a_saved_data_set_is_split_by_the_digest(tmp_path: Path) -> None:
    folder = save_dataset(tmp_path / "a", [*ROWS, {"text": "t4", "label": -1}], CLASSES, 2)
    assert shards(folder) == ([None], [])
    assert rows(folder) == [(b"t0", b"neg"), (b"t1", b"pos"), (b"t2", b"neg"), (b"t3", b"pos")]
    # -1 marks a row without a label.
    assert [row.problem for row in read_all(folder) if isinstance(row, BadRow)] == ["missing label"]
    assert shards(f"{folder}/*.arrow") == ([None], [])


def test_a_saved_data_set_has_its_own_splits(tmp_path: Path) -> None:
    splits = {"unsupervised": ROWS, "train": ROWS, "validation": ROWS[:1], "test": []}
    folder = save_dict(tmp_path / "a", splits, CLASSES)
    assert shards(folder) == (["train", "eval"], ["unsupervised"])
    assert len(rows(folder)) == 5

    alone = save_dict(tmp_path / "b", {"train": ROWS}, CLASSES)
    assert shards(alone) == ([None], [])
    by_split = {"train": str(alone), "test": f"{folder}/train"}
    assert shards(by_split) == (["train", "test"], [])
    assert len(rows(by_split)) == 8


def test_a_data_set_in_the_cache_has_its_own_splits(tmp_path: Path) -> None:
    folder = prepare(tmp_path, "imdb", {"train": [ROWS[:2], ROWS[2:]], "test": [ROWS]}, CLASSES)
    assert shards(folder) == (["train", "test"], [])
    assert len(rows(folder)) == 8


def test_other_data_files_beside_a_data_set_are_counted(tmp_path: Path) -> None:
    folder = prepare(tmp_path, "imdb", {"train": [ROWS], "test": [ROWS]}, CLASSES)
    (folder / "cache-0123456789abcdef.arrow").write_bytes(b"what map gave")
    for source in (str(folder), {"train": str(save_dataset(folder / "a", ROWS, CLASSES))}):
        (span,) = sources.window(ExampleGenParams(source=source))
        counted = [(record.reason, record.count) for record in span.unused]
        assert counted == ([("not of the data set", 1)] if source == str(folder) else [])
    assert len(rows(folder)) == 8


def test_saved_data_sets_as_spans(tmp_path: Path) -> None:
    for span in (1, 2):
        splits = {"train": ROWS[:span], "test": ROWS[:1]}
        save_dict(tmp_path / "spans" / str(span), splits, CLASSES)
    params = ExampleGenParams(source=f"{tmp_path}/spans/{{SPAN}}")
    window = sources.window(params)
    assert [span.number for span in window] == [1, 2]
    assert [(part.split, part.kind) for part in window[1].parts] == [
        ("train", "arrow"),
        ("test", "arrow"),
    ]
    assert window[0].digest != window[1].digest
    assert len(rows(params.source)) == 5


def test_the_digest_of_a_saved_data_set_follows_its_content(tmp_path: Path) -> None:
    folder = save_dataset(tmp_path / "a", ROWS, CLASSES)
    before = sources.digest(ExampleGenParams(source=str(folder)))
    shutil.copytree(folder, tmp_path / "b")
    assert sources.digest(ExampleGenParams(source=str(tmp_path / "b"))) == before
    save_dataset(folder, ROWS[1:], CLASSES)
    assert sources.digest(ExampleGenParams(source=str(folder))) != before


def test_saved_data_sets_that_cannot_be_used(tmp_path: Path) -> None:
    folder = save_dict(tmp_path / "a", {"train": ROWS, "test": ROWS}, CLASSES)
    with pytest.raises(UserError, match=r"for test, which has splits of its own; name the folder"):
        shards({"train": f"{folder}/train", "test": str(folder)})

    folder = save_dict(tmp_path / "b", {"train": ROWS, "dev": ROWS, "validation": ROWS}, CLASSES)
    with pytest.raises(UserError, match=r"one split under two names, among 'train', 'dev'"):
        shards(folder)

    folder = save_dict(tmp_path / "c", {"test": ROWS}, CLASSES)
    with pytest.raises(DataError, match=r"has the splits 'test' and no train; name the folder"):
        shards(folder)

    folder = save_dict(tmp_path / "d", {"train": [], "test": []}, CLASSES)
    with pytest.raises(DataError, match=r"is a data set without rows\. Add some"):
        shards(folder)

    save_dataset(tmp_path / "e", ROWS, CLASSES)
    with pytest.raises(UserError, match=r"data sets with splits and one without; name one kind"):
        shards(f"{tmp_path}/*")


def test_an_empty_split_of_a_data_set_is_its_own(tmp_path: Path) -> None:
    rows = [{"text": f"t{number}", "label": number % 2} for number in range(60)]
    folder = save_dict(tmp_path / "a", {"train": rows, "test": []}, CLASSES)
    with pytest.raises(DataError) as raised:
        make(ExampleGenParams(source=str(folder)), tmp_path / "examples")
    assert str(raised.value) == (
        "The test split has no row (60 rows were read). Add rows to it: it is a split of the"
        " source's own."
    )
