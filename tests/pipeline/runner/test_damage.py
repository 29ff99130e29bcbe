"""Artifacts that were damaged after they were written are found, named and made again."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from pipeline.runner.plan import Pipeline, plan
from pipeline.store.folder import Store
from seqline.component import Component, Figures
from seqline.data.span_cache import SpanCache, files_of, link
from seqline.errors import DataError, UserError
from seqline.storage import integrity
from tests.support.small_stages import (
    NumberParams,
    SourceParams,
    chain,
    content,
    describe,
    ran,
    run,
    source,
)

DAMAGES = {"flipped": "changed after it was written", "cut": "has 1 bytes and was written with 2"}


def damage(path: Path, how: str) -> None:
    if how == "flipped":
        path.write_text("99")
    elif how == "cut":
        os.truncate(path, 1)
    else:
        path.unlink()


def pretend_whole(store: Store, component: str, key: str) -> None:
    """Tells the store that the files of an artifact are as they were: damage by the disk."""
    files = store.execution(component, key).files  # type: ignore[union-attr] # it exists
    assert files
    with integrity.digest_cache(store.verified(component, key)) as cache:
        for name, file in files.items():
            status = (store.path(component, key) / name).stat()
            cache[name] = [
                status.st_size,
                status.st_mtime_ns,
                status.st_ctime_ns,
                status.st_ino,
                file.digest,
            ]


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("flipped", "value of its artifact changed after it was written"),
        ("cut", "value of its artifact has 1 bytes and was written with 2"),
        ("deleted", "value of its artifact is missing"),
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_damaged_artifact_is_made_again_and_nothing_else(
    data: Path, store: Store, how: str, reason: str, place: int
) -> None:
    before = run(chain(data), store)
    damage(before[place].artifact.uri / "value", how)

    planned = plan(chain(data), store)
    expected = ["finished"] * 3
    expected[place] = reason
    assert [stage.reason for stage in planned] == expected

    after = run(chain(data), store)
    assert ran(after) == [before[place].stage.name]
    assert after[place].reason == reason
    values = [(result.artifact.uri / "value").read_text() for result in after]
    assert values == ["40", "41", "42"]
    assert [result.artifact for result in after] == [result.artifact for result in before]
    assert ran(run(chain(data), store)) == []


@pytest.mark.parametrize("content", ["", "{", "[]", '{"component": "first"}', "\0"])
def test_a_damaged_record_is_a_reason(data: Path, store: Store, content: str) -> None:
    before = run(chain(data), store)
    (before[1].artifact.uri / "execution.json").write_text(content)
    assert plan(chain(data), store)[1].reason == "its execution.json is damaged"
    assert ran(run(chain(data), store)) == ["first"]
    assert ran(run(chain(data), store)) == []


def test_what_kept_its_times_is_found_on_request(data: Path, store: Store) -> None:
    first = run(chain(data), store)[1].artifact
    (first.uri / "value").write_text("99")
    pretend_whole(store, "first", first.key)
    assert ran(run(chain(data), store)) == []

    reason = "value of its artifact changed after it was written"
    assert plan(chain(data), store, verify=True)[1].reason == reason
    # What was found once is not forgotten.
    assert plan(chain(data), store)[1].reason == reason
    assert ran(run(chain(data), store, verify=True)) == ["first"]
    assert ran(run(chain(data), store, verify=True)) == []


def test_an_artifact_without_digests_is_taken_as_it_is(data: Path, store: Store) -> None:
    first = run(chain(data), store)[1].artifact
    path = first.uri / "execution.json"
    record = json.loads(path.read_text())
    del record["files"], record["digest"]
    path.write_text(json.dumps(record))
    (first.uri / "value").write_text("99")
    assert ran(run(chain(data), store, verify=True)) == []


def test_a_file_that_was_added_is_neither_used_nor_deleted(data: Path, store: Store) -> None:
    first = run(chain(data), store)[1].artifact
    (first.uri / "notes").write_text("mine")
    (first.uri / "value").unlink()
    with pytest.raises(DataError) as error:
        run(chain(data), store)
    assert str(error.value) == (
        f"{first.uri}/notes was added to a finished artifact of first. "
        "Move what was added to another folder and run again."
    )
    (first.uri / "notes").rename(store.root / "notes")
    assert ran(run(chain(data), store)) == ["first"]


def test_a_damaged_stage_that_is_not_selected_is_named(data: Path, store: Store) -> None:
    source = run(chain(data), store)[0].artifact
    (source.uri / "value").unlink()
    with pytest.raises(UserError) as error:
        run(chain(data), store, selected=["first", "second"])
    assert str(error.value) == (
        "source is not among the selected stages and would have to run "
        "(value of its artifact is missing). Widen --from."
    )


def test_damage_during_a_run_is_named_before_it_is_read(data: Path, store: Store) -> None:
    artifacts: list[Path] = []

    def damage_source(result: Any) -> None:
        if result.stage.name == "first":
            (artifacts[0] / "value").write_text("99")
            (result.artifact.uri / "value").write_text("98")
        artifacts.append(result.artifact.uri)

    with pytest.raises(DataError) as error:
        run(chain(data), store, on_done=damage_source)
    assert str(error.value) == (
        f"second cannot use the artifact of first in {artifacts[1]}: value of its artifact changed "
        "after it was written. Run again: first makes it again."
    )
    results = run(chain(data), store)
    assert ran(results) == ["source", "first", "second"]
    assert (results[-1].artifact.uri / "value").read_text() == "42"


def parse(*, value: Path, params: NumberParams, output: Path) -> Figures:
    return {"value": int((value / "value").read_text())}


def test_an_error_of_a_stage_whose_input_is_damaged_names_the_file(
    data: Path, store: Store
) -> None:
    """The disk returns other bytes while the size and times of the file are as they were."""
    pipe = Pipeline()
    examples = Component(
        "examples", {}, "Examples", SourceParams, source().run, describe, external_digest=content
    )
    value = pipe.add(examples, SourceParams(path=str(data)))
    pipe.add(
        Component("parser", {"value": "Examples"}, "Value", NumberParams, parse, describe),
        NumberParams(),
        value=value,
    )

    def damage_by_the_disk(result: Any) -> None:
        if result.stage.name == "examples":
            (result.artifact.uri / "value").write_text("no number")
            record = store.execution("examples", result.artifact.key)
            assert record
            (result.artifact.uri / "value").write_text("x0")
            pretend_whole(store, "examples", result.artifact.key)

    with pytest.raises(
        DataError, match=r"^parser cannot use the artifact of examples in .*: value "
    ):
        run(pipe, store, on_done=damage_by_the_disk)
    assert ran(run(pipe, store)) == ["examples", "parser"]


def keep(
    *, params: SourceParams, output: Path, span_cache: SpanCache, previous: Path | None
) -> Figures:
    """Writes the data into a part of the span cache, and links it into the artifact."""
    value = Path(params.path).read_text()
    part = span_cache.path(value=value)
    with span_cache.making({0: part}) as folders:
        for folder in folders.values():
            (folder / "value").write_text(value)
    for file in files_of(part):
        link(file, output / file.name)
    return {"made": len(folders), "previous": previous is not None}


@pytest.mark.parametrize("how", ["flipped", "cut", "deleted"])
def test_a_damaged_artifact_does_not_get_its_damaged_part_again(
    data: Path, store: Store, how: str
) -> None:
    keeper = Component("keeper", {}, "Kept", SourceParams, keep, describe, external_digest=content)

    def kept(**options: Any) -> Any:
        pipe = Pipeline()
        pipe.add(keeper, SourceParams(path=str(data)))
        return run(pipe, store, **options)[-1]

    artifact = kept().artifact
    damage(artifact.uri / "value", how)
    again = kept()
    assert (artifact.uri / "value").read_text() == "40"
    # The file that was deleted is still in the part.
    assert again.figures == {"made": 0 if how == "deleted" else 1, "previous": False}
    assert kept().cached

    # What is compared with the last artifact is not compared with a damaged one.
    data.write_text("41")
    damage(artifact.uri / "value", how)
    assert kept().figures == {"made": 1, "previous": False}
