"""OpenLineage's events of small runs, collected by a real server and held to the specification."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.runner.execute import execute
from pipeline.runner.plan import Pipeline
from pipeline.runner.run import Options
from pipeline.store.folder import Store
from pipeline.trackers import TrackedRun, open_trackers
from pipeline.trackers.following import following
from pipeline.trackers.openlineage_datasets import place_of
from pipeline.trackers.openlineage_events import uuid_of
from seqline.errors import StoppedError, UserError
from tests.support.lineage_schema import problems
from tests.support.lineage_server import LineageServer, lineage_server
from tests.support.small_stages import NumberParams, chain


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LineageServer]:
    monkeypatch.chdir(tmp_path)  # away from anyone's openlineage.yml
    with lineage_server() as server:
        monkeypatch.setenv("OPENLINEAGE_URL", server.url)
        yield server


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "data").write_text("1")
    return Store(tmp_path / "artifacts")


def chain_of(store: Store, behaviour: str = "add", **fields: Any) -> Pipeline:
    pipe = chain(store.root.parent / "data", second=NumberParams(behaviour=behaviour), **fields)
    pipe.name = "sums"
    return pipe


def follow(store: Store, pipe: Pipeline) -> tuple[str, list[str]]:
    """Runs small stages with the tracker: (the run, the warnings). Raises what the run raises."""
    warned: list[str] = []
    folder, options = store.start_run(), Options()
    tracked = TrackedRun(folder, pipe, store, {"name": "sums"}, ["seqline", "run"])
    with following(open_trackers(["openlineage"]), tracked, options, warn=warned.append):
        execute(pipe, store, folder, options)
    return folder.name, warned


def test_each_stage_and_the_run_have_a_start_and_an_end(
    server: LineageServer, store: Store
) -> None:
    run, _ = follow(store, chain_of(store))
    assert [f"{event['job']['name']} {event['eventType']}" for event in server.events] == [
        "sums START",
        *("sums.source START", "sums.source COMPLETE"),
        *("sums.first START", "sums.first COMPLETE"),
        *("sums.second START", "sums.second COMPLETE"),
        "sums COMPLETE",
    ]
    assert [problems(event) for event in server.events] == [[]] * 8

    first = server.of("sums.first")[1]
    assert first["run"]["runId"] == uuid_of(run, "first") != uuid_of(run)
    parent = first["run"]["facets"]["parent"]
    assert parent["run"]["runId"] == server.events[0]["run"]["runId"] == uuid_of(run)
    assert (parent["job"]["namespace"], parent["job"]["name"]) == ("seqline", "sums")
    assert first["producer"].startswith("urn:seqline:")


def test_an_artifact_is_a_dataset_with_its_key(server: LineageServer, store: Store) -> None:
    follow(store, chain_of(store))
    source = server.of("sums.source")[1]["outputs"][0]
    first = server.of("sums.first")[1]["inputs"][0]
    assert (source["namespace"], source["name"]) == (first["namespace"], first["name"])
    assert source["namespace"] == "file"
    assert Path(source["name"]).parent == store.root / "source"
    assert source["facets"]["version"]["datasetVersion"] == Path(source["name"]).name
    statistics = source["outputFacets"]["outputStatistics"]
    assert (statistics["fileCount"], statistics["size"]) == (1, 1)


def test_cached_stages_are_told_of(server: LineageServer, store: Store) -> None:
    follow(store, chain_of(store))
    server.events.clear()
    follow(store, chain_of(store))
    assert server.types("sums.second") == ["START", "COMPLETE"]
    tags = server.of("sums.second")[1]["run"]["facets"]["tags"]["tags"]
    assert {tag["key"]: tag["value"] for tag in tags}["cached"] == "true"


def test_a_failed_stage_fails_with_its_run(server: LineageServer, store: Store) -> None:
    with pytest.raises(UserError):
        follow(store, chain_of(store, "user error"))
    assert server.types("sums.first") == ["START", "COMPLETE"]
    assert server.types("sums.second") == ["START", "FAIL"]
    assert server.types("sums") == ["START", "FAIL"]
    error = server.events[-1]["run"]["facets"]["errorMessage"]
    assert error["message"] == "DataError: row 3 is bad"
    assert [problems(event) for event in server.events] == [[]] * 8


def test_a_gate_that_refuses_fails_the_run_alone(server: LineageServer, store: Store) -> None:
    def refuse(output: Path, params: NumberParams) -> None:
        raise UserError("not good enough")

    with pytest.raises(UserError):
        follow(store, chain_of(store, gate=refuse))
    assert server.types("sums.second") == ["START", "COMPLETE"]
    assert server.types("sums") == ["START", "FAIL"]


def test_a_stop_aborts(server: LineageServer, store: Store) -> None:
    def stop(output: Path, params: NumberParams) -> None:
        raise StoppedError("in a gate", "SIGTERM")

    with pytest.raises(StoppedError):
        follow(store, chain_of(store, gate=stop))
    assert server.types("sums") == ["START", "ABORT"]


def test_a_server_that_refuses_ends_the_run_before_its_first_stage(
    server: LineageServer, store: Store
) -> None:
    server.status = 404
    with pytest.raises(UserError, match=r"^--track openlineage: the run could not be begun there"):
        follow(store, chain_of(store))
    assert store.runs() == []


def test_a_server_that_dies_meanwhile_is_one_warning(server: LineageServer, store: Store) -> None:
    def die(output: Path, params: NumberParams) -> None:
        server.status = 500

    _, warned = follow(store, chain_of(store, gate=die))
    assert len(warned) == 1
    assert warned[0].startswith("--track openlineage failed, and the run goes on without it: ")
    assert server.types("sums.first") == ["START", "COMPLETE"]
    assert server.types("sums") == ["START"]


def test_the_namespace_is_the_users(
    server: LineageServer, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENLINEAGE_NAMESPACE", "team")
    follow(store, chain_of(store))
    assert {event["job"]["namespace"] for event in server.events} == {"team"}


def test_the_environment_stays_as_it_is(server: LineageServer) -> None:
    before = dict(os.environ)
    open_trackers(["openlineage"])
    assert dict(os.environ) == before


def test_a_file_names_another_transport(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, store: Store
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENLINEAGE_URL", raising=False)
    (tmp_path / "openlineage.yml").write_text(
        "transport:\n  type: file\n  log_file_path: events.jsonl\n  append: true\n"
    )
    follow(store, chain_of(store))
    events = [json.loads(line) for line in Path("events.jsonl").read_text().splitlines()]
    assert len(events) == 8
    assert [problems(event) for event in events] == [[]] * 8


def test_no_place_for_events_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("OPENLINEAGE_URL", raising=False)
    with pytest.raises(UserError, match="needs a place for its events: set OPENLINEAGE_URL="):
        open_trackers(["openlineage"])


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("/data/rows.csv", ("file", "/data/rows.csv")),
        ("gs://bucket/some/rows-*.csv", ("gs://bucket", "some/rows-*.csv")),
        ("s3://bucket", ("s3://bucket", "/")),
        ("tfds:imdb_reviews", ("tfds", "imdb_reviews")),
    ],
)
def test_places_have_the_names_that_others_give_them(uri: str, expected: tuple[str, str]) -> None:
    assert place_of(uri) == expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"eventType": "DONE"}, "event$.eventType: "),
        ({"eventTime": "yesterday"}, "event$.eventTime: "),
        ({"job": {"namespace": "seqline", "facets": {}}}, "event$.job: "),
        ({"surplus": 1}, "event$: Additional properties"),
    ],
)
def test_the_check_finds_what_is_wrong(
    server: LineageServer, store: Store, change: dict[str, Any], expected: str
) -> None:
    follow(store, chain_of(store))
    wrong = problems({**server.events[0], **change})
    assert len(wrong) == 1
    assert wrong[0].startswith(expected)
