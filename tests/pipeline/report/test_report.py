"""A run's report.

The figures are the records', whatever the run came to, and whatever the texts hold, they are shown
and do nothing.
"""

import json
import os
import re
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from typer.testing import CliRunner

from components.pusher import versions
from pipeline import config, report
from pipeline.cli.app import app
from pipeline.report import (
    advice,
    charts,
    html,
    markdown,
    model,
    records,
    reference,
    reproduce,
    text,
    units,
)
from pipeline.report.history import history
from pipeline.retrain import thresholds
from pipeline.store.folder import Store
from seqline.component import Figures
from seqline.errors import UserError
from seqline.intervals import wilson_interval
from seqline.model.digest import MANIFEST
from tests.support.records import run_record
from tests.support.reports import BETTER, MODEL, NASTY, STAGES, stages_of, write_run

LABELS = ["animals", "fruit", "metals"]
VOID = {"meta", "link", "br"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "root")


def written(store: Store, run: str) -> tuple[str, str, Any]:
    folder = report.write_report(store, run, summary=False).parent
    page, short = (
        (folder / name).read_text(encoding="utf-8") for name in ("report.html", "report.md")
    )
    return page, short, json.loads((folder / "report.json").read_text(encoding="ascii"))


class Page(HTMLParser):
    """Checks that what is opened is closed, that ids are there once and what refers to them finds
    them; collects texts and tags.
    """

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []
        ids = [attributes["id"] for _, attributes in self.tags if "id" in attributes]
        assert len(ids) == len(set(ids))
        for _, attributes in self.tags:
            for name in (attributes.get("aria-labelledby") or "").split():
                assert name in ids
            if (target := attributes.get("href") or "").startswith("#"):
                assert target[1:] in ids
        assert all("scope" in attributes for tag, attributes in self.tags if tag == "th")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


# The figures.


def test_the_figures_are_those_of_the_evaluation(
    store: Store, evaluation: Path, model: Path, figures: dict[str, Figures]
) -> None:
    """Of a model that was really trained and measured."""
    found = json.loads((evaluation / "evaluation.json").read_text())
    executions, files = stages_of(LABELS, [], with_served=False)
    executions["evaluator"]["figures"], executions["trainer"]["figures"] = (
        figures["evaluator"],
        figures["trainer"],
    )
    files |= {
        "evaluator": ("evaluation.json", found),
        "trainer": ("history.json", json.loads((model / "history.json").read_text())),
    }
    page, short, told = written(store, write_run(store, "one", executions, files))
    assert told["classes"] == [{"label": label, **each} for label, each in found["classes"].items()]
    assert told["confusion"]["matrix"] == found["confusion_matrix"]
    assert told["slices"] == found["slices"]
    assert told["calibration"] == {"ece": found["ece"], "curve": found["calibration"]}
    assert told["examples"] == {name: found[name] for name in ("hardest", "confidently_wrong")}
    assert [gate for gate in told["gates"] if gate["stage"] == "evaluator"] == [
        {"stage": "evaluator", **gate} for gate in found["gates"]
    ]
    assert told["training"]["history"] == json.loads((model / "history.json").read_text())
    candidate, majority, linear = told["compared"]
    assert {
        name: candidate[name]
        for name in ("accuracy", "accuracy_interval", "macro_f1_interval", "cross_entropy")
    } == {
        name: found[name]
        for name in ("accuracy", "accuracy_interval", "macro_f1_interval", "cross_entropy")
    }
    assert {each["name"]: each["accuracy"] for each in (majority, linear)} == found["baselines"]
    num = found["num_rows"]
    assert linear["accuracy_interval"] == pytest.approx(
        wilson_interval(linear["accuracy"], num), abs=1e-15
    )
    shown = "".join(Page(page).text)
    for value in (candidate["accuracy"], *(each["f1"] for each in told["classes"])):
        assert units.share(value) in shown
    assert f"{candidate['cross_entropy']:.3f} nats" in shown
    assert f"| **this model** | {units.share(candidate['accuracy'])} |" in short


def test_against_the_served_version(store: Store) -> None:
    executions, files = stages_of(LABELS, ["a text"])
    page, short, told = written(store, write_run(store, "one", executions, files, seqline="1.2.3"))
    served = files["evaluator"][1]["served"]
    assert told["verdict"] | {"sentences": []} == {
        "name": "pushed",
        "tone": "good",
        "headline": "Pushed as version 2",
        "cautions": [],
        "sentences": [],
        "error": None,
        "trace": None,
        "exit_code": None,
        "bootstrap": None,
        "start": None,
        "changed": [],
    }
    assert (
        told["compared"][1]
        | {
            "role": "served",
            "name": "served, version 1",
            "accuracy": served["accuracy"],
        }
        == told["compared"][1]
    )
    gain = f"{-100 * served['loss_of_accuracy']:+.1f} points"
    assert (
        f"Against the served version 1 on the same rows: {gain} ("
        in told["verdict"]["sentences"][1]
    )
    assert gain in "".join(Page(page).text)
    assert gain in short
    assert told["next_steps"] is None
    assert told["commands"]["rollback"] == "seqline rollback --serving-dir '/served here' --to 1"
    assert told["seconds"] == 66.5
    assert told["digests"]["data"] == "digest of the data"
    assert told["digests"]["code"] == {stage: f"code of {stage}" for stage in STAGES}
    assert told["training"]["history"]["val_loss"] == [0.9, None]  # NaN is no JSON
    assert told["seqline"] == "1.2.3"


def test_a_better_linear_model_makes_the_verdict_a_cautious_one(store: Store) -> None:
    executions, files = stages_of(LABELS, [], linear=BETTER)
    page, short, told = written(
        store, write_run(store, "one", executions, files, config={"name": MODEL})
    )
    accuracy = files["evaluator"][1]["accuracy"]
    better = f"{100 * (BETTER - accuracy):.1f} points: 98.5% against {accuracy:.1%}."
    assert (told["verdict"]["name"], told["verdict"]["tone"]) == ("pushed", "caution")
    assert told["verdict"]["cautions"] == [
        f"The linear model (tf-idf + logistic regression) is better by {better}"
    ]
    shown = " ".join("".join(Page(page).text).split())
    assert shown.startswith(f"{MODEL}: Pushed as version 2 · one")
    assert f"is better by {better}" in shown
    assert "linear model: 98.5%" in shown  # beside the accuracy
    assert '<header class="verdict caution">' in page
    assert short.splitlines()[1:4] == [
        "## ⚠️ my\\_reviews: Pushed as version 2",
        "",
        f"⚠️ **{told['verdict']['cautions'][0]}**",
    ]
    assert "| tf-idf + logistic regression | 98.5% ⚠️ |" in short


@pytest.mark.parametrize(
    ("linear", "is_told", "is_chance"),
    [(0.9, False, False), (0.901, True, True), (0.97, True, False)],
)
def test_a_linear_model_is_better_where_its_accuracy_is_higher(
    linear: float, is_told: bool, is_chance: bool
) -> None:
    told = advice.linear_is_better(
        0.9, {"majority class": 0.99, "tf-idf + logistic regression": linear}, (0.85, 0.93)
    )
    assert (told is not None, "may be chance" in (told or "")) == (is_told, is_chance)
    assert (
        advice.linear_is_better(0.9, {"majority class": 0.99})
        is advice.linear_is_better(None, {"linear": 0.9})
        is None
    )


def test_after_a_refusal_the_next_steps(store: Store) -> None:
    executions, files = stages_of(
        LABELS, [], linear=BETTER, min_accuracy=0.95, max_ece=0.05, with_served=False
    )
    del executions["pusher"]
    page, short, told = written(
        store, write_run(store, "one", executions, files, "failed", error="NotBlessedError: no.")
    )
    accuracy = units.share(files["evaluator"][1]["accuracy"])
    place = f"{store.root}/exporter/one-exporter/saved_model"
    assert told["next_steps"] == {
        "refused": [
            f"Gate accuracy: {accuracy}, where evaluator.min_accuracy asks for 95.0%.",
            "Gate calibration: 6.0 points, where evaluator.max_ece asks for 5.0 points.",
        ],
        "beside": (
            f"On the same test rows: this model {accuracy}, majority class 33.3%, tf-idf + logistic"
            " regression 98.5%."
        ),
        "saved_model": place,
        "ask": f"seqline predict --model {place} 'Your text'",
        "helps": [
            advice.TRAIN_LONGER,
            (
                "If the model is good enough for you as it is, lower evaluator.min_accuracy (now"
                " 0.95) in the configuration."
            ),
            advice.CALIBRATION,
            (
                "If the model is good enough for you as it is, raise evaluator.max_ece (now 0.05)"
                " in the configuration."
            ),
            (
                "The linear model is better here, smaller and faster: where its accuracy is enough,"
                " use it instead."
            ),
        ],
    }
    shown = " ".join("".join(Page(page).text).split())
    for sentence in (
        *told["next_steps"]["refused"],
        *told["next_steps"]["helps"],
        told["next_steps"]["ask"],
    ):
        assert sentence in shown
    assert f"`{told['next_steps']['ask']}`" in short
    assert told["verdict"]["tone"] == "bad"


def test_every_gate_has_advice_and_a_unit() -> None:
    names = {rule.name for rule in thresholds.RULES}
    assert names <= set(advice.HELP)
    assert names <= {*units.GATES, *units.COUNTS}
    for name in advice.HELP:
        gate = {"name": name, "value": 0.5, "threshold": 0.25, "passed": False, "reason": "why"}
        helps = advice.what_helps([gate], {})
        assert helps
        assert not re.search(r"[{}]", " ".join([*helps, *advice.refused([gate])]))
        field = advice.HELP[name][0]
        assert not field or re.search(
            rf"lower|raise {field} \(now 0.25\)|report it|right columns", " ".join(helps)
        )
        assert (
            advice.what_helps([{**gate, "passed": None}], {})
            == advice.refused([{**gate, "passed": True}])
            == []
        )


def test_settings_that_are_advised_are_there() -> None:
    """Whatever looks like section.field is a field of that section."""
    told = (
        " ".join(
            sentence
            for field, sentences in advice.HELP.values()
            for sentence in (field, *sentences)
        )
        + advice.TRAIN_LONGER
    )
    fields = {
        f"{section}.{name}"
        for section in ("trainer", "evaluator", "exporter")
        for name in reproduce._fields(section)
    }
    found = set(re.findall(r"\b((?:trainer|evaluator|exporter)\.[a-z_0-9]+)", told))
    assert len(found) > 10
    assert found <= fields


def test_what_the_data_gate_refused_is_told_line_by_line(store: Store) -> None:
    executions, files = stages_of(LABELS, [])
    lines = [f"test: what is wrong, number {number}" for number in range(7)]
    files["example_validator"] = ("anomalies.json", [{**ANOMALY, "line": line} for line in lines])
    executions["example_validator"]["figures"] |= {
        "num_errors": 7,
        "kinds": ["empty_split"],
        "lines": lines,
    }
    reached = {stage: executions[stage] for stage in STAGES[:4]}
    _, short, told = written(
        store, write_run(store, "one", reached, files, "failed", error="DataError: what is wrong.")
    )
    steps = told["next_steps"]
    assert steps["refused"] == [
        *(f"{line}." for line in lines[:5]),
        "2 more errors are under Anomalies.",
    ]
    assert (steps["beside"], steps["saved_model"], steps["ask"]) == (None, None, None)
    assert steps["helps"] == list(advice.HELP["anomalies"][1])
    assert f"- ❌ {lines[0]}" in short


ANOMALY = {
    "split": "test",
    "feature": "",
    "kind": "empty_split",
    "severity": "error",
    "examples": [],
}


def test_warnings_about_the_data_are_told_near_the_top(store: Store) -> None:
    executions, files = stages_of(LABELS, ["the lengths differ"])
    page, short, told = written(store, write_run(store, "one", executions, files))
    skipped = (
        "2 of 123 rows could not be used and were skipped: text (2). bad_rows in the Examples has"
        " the file and line of each."
    )
    assert told["warnings"] == [skipped, "test: the lengths differ."]
    assert page.index('id="warnings"') < page.index('id="compared"')
    shown = " ".join("".join(Page(page).text).split())
    assert f"2 warnings about the data {skipped} test: the lengths differ." in shown
    assert "- ⚠️ test: the lengths differ." in short


def test_warnings_of_other_versions_of_the_stages(store: Store) -> None:
    """What a stage has to say itself goes before what follows from its file."""
    executions, files = stages_of(LABELS, ["a text"])
    executions["example_gen"]["figures"] |= {
        "num_bad_rows": 0,
        "warnings": ["The class 'x' has one row."],
    }
    executions["example_validator"]["figures"]["warnings"] = ["The splits differ"]
    _, _, told = written(store, write_run(store, "one", executions, files))
    assert told["warnings"] == ["The class 'x' has one row.", "The splits differ."]


def test_listed_rows_are_said_to_be_where_the_user_has_them(store: Store) -> None:
    page, short, told = written(
        store, write_run(store, "one", *stages_of(LABELS, ["one", "two", "three", "four"]))
    )
    places = [
        "data/reviews.csv:12",
        "data/reviews.parquet, row 1,013",
        "texts/animals/2.txt",
        "row 8 of data_tfrecord-00000-00000-00000.gz",
    ]
    shown = "".join(Page(page).text)
    for place, each in zip(places, told["examples"]["confidently_wrong"], strict=True):
        assert model.place(each).startswith(place)
        assert place in shown
    assert "- data/reviews.csv:12: animals, answered metals (99.0%)" in short
    rows = [(each["shard"], each["row"]) for listed in told["examples"].values() for each in listed]
    assert len(set(rows)) == len(rows) == 8


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.963, "96.3%"),
        (1.0, "100.0%"),
        (0.99961, "99.96%"),
        (0.9999999, ">99.9999%"),
        (0.0, "0.0%"),
        (0.0004, "0.04%"),
        (1e-9, "<0.0001%"),
    ],
)
def test_a_share_is_not_rounded_to_all_or_nothing(value: float, shown: str) -> None:
    assert units.share(value) == shown


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        (units.points(0.007), "+0.7 points"),
        (units.points(-0.0004), "0.0 points"),
        (units.points(-0.0123), "-1.2 points"),
        (units.points_interval((-0.012, 0.025)), "-1.2 to +2.5 points"),
        (units.share_interval((0.94, 0.977)), "94.0% to 97.7%"),
        (units.nats(0.1324), "0.132 nats"),
        (units.rows(1), "1 row"),
        (units.rows(2225), "2,225 rows"),
        (units.of_gate("served_accuracy", 0.02), "-2.0 points"),
        (units.of_gate("size", 12.34), "12.3 MB"),
        (units.of_gate("latency", 0.011), "11 ms"),
        (units.of_gate("parity", 2e-7), "2.0e-07 log-odds"),
        (units.of_gate("anomalies", 2), "2 errors"),
        (units.of_gate("accuracy", None), "-"),
        (units.of_gate("of another version", 0.5), "0.500"),
    ],
)
def test_units(told: str, shown: str) -> None:
    assert told == shown


# Runs that did not get far.


@pytest.mark.parametrize("num", range(len(STAGES)))
def test_a_run_that_ended_half_way_says_what_is_missing(store: Store, num: int) -> None:
    executions, files = stages_of(LABELS, ["a text"])
    reached = {stage: executions[stage] for stage in STAGES[:num]}
    page, short, told = written(
        store, write_run(store, "half", reached, files, "failed", error="UserError: it broke.")
    )
    missing = list(STAGES[num:])
    assert [
        each["component"] for each in told["stages"] if each["state"] == "not reached"
    ] == missing
    shown = " ".join("".join(Page(page).text).split())
    assert (
        "Learning curves: from the result of trainer, which the run did not reach." in shown
    ) == ("trainer" in missing)
    of_evaluator = (
        "Comparison, classes, confusion matrix, slices, calibration, wrong and uncertain answers:"
        " from the result of evaluator, which the run"
    )
    assert (of_evaluator in shown) == ("evaluator" in missing)
    assert ('id="confusion"' in page) != ("evaluator" in missing)
    assert told["verdict"]["headline"] == "Failed"
    assert "**it broke.**" in short


@pytest.mark.parametrize(
    ("more", "name", "headline", "error"),
    [
        (
            {"verdict": "failed", "error": "NotBlessedError: accuracy 0.1."},
            "refused",
            "Refused, not pushed",
            "accuracy 0.1.",
        ),
        (
            {"verdict": "failed", "error": "DataError: an empty span."},
            "data rejected",
            "Data rejected",
            "an empty span.",
        ),
        (
            {"verdict": "stopped", "error": "StoppedError: at step 3"},
            "interrupted",
            "Interrupted: the same command goes on",
            "at step 3",
        ),
        (
            {"verdict": "failed", "error": "StageError: Traceback\n  File x\nKeyError: 'y'\n"},
            "failed",
            "Failed",
            "KeyError: 'y'",
        ),
        ({"verdict": "running"}, "running", "Running, or killed: no end was recorded", None),
        ({"verdict": "failed", "error": ""}, "failed", "Failed", None),
        (
            {"retrain": {"verdict": "busy", "exit_code": 40, "reason": "host:1 has the lock"}},
            "busy",
            "Busy: another run was at it",
            None,
        ),
        (
            {
                "retrain": {
                    "verdict": "pushed",
                    "exit_code": 0,
                    "reason": "one new span",
                    "pushed": {"version": 7},
                }
            },
            "pushed",
            "Pushed as version 7",
            None,
        ),
    ],
)
def test_verdicts(
    store: Store, more: dict[str, Any], name: str, headline: str, error: str | None
) -> None:
    executions, files = stages_of(LABELS, [])
    _, _, told = written(
        store, write_run(store, "one", {"example_gen": executions["example_gen"]}, files, **more)
    )
    verdict = told["verdict"]
    assert (verdict["name"], verdict["headline"], verdict["error"]) == (name, headline, error)
    assert (verdict["trace"] is not None) == ("\n" in more.get("error", ""))
    assert verdict["exit_code"] == more.get("retrain", {}).get("exit_code")


def test_the_record_of_a_retraining(store: Store) -> None:
    gates = [
        {
            "stage": stage,
            "name": name,
            "value": 0.5,
            "threshold": 0.1,
            "passed": passed,
            "reason": f"why {name}",
        }
        for stage, name, passed in (
            ("span_validator", "label_noise", False),
            ("evaluator", "finite", None),
            ("evaluator", "accuracy", None),
        )
    ]
    retrain = {
        "verdict": "data rejected",
        "exit_code": 20,
        "reason": "labels contradict.",
        "bootstrap": False,
        "gates": gates,
        "start": "warm",
    }
    executions, files = stages_of(LABELS, [])
    run = {"example_gen": executions["example_gen"]}
    name = write_run(
        store,
        "one",
        run,
        files,
        "failed",
        error="DataError: labels contradict.",
        retrain={**retrain, "changed": ["span 2 is new"]},
    )
    page, short, told = written(store, name)
    assert told["gates"] == gates
    assert (told["verdict"]["error"], told["verdict"]["sentences"]) == (
        "labels contradict.",
        [],
    )  # once is enough
    assert (told["verdict"]["exit_code"], told["verdict"]["start"], told["verdict"]["changed"]) == (
        20,
        "warm",
        ["span 2 is new"],
    )
    shown = " ".join("".join(Page(page).text).split())
    assert "Changed: span 2 is new. Began warm." in shown
    assert "label noise ✗ refused 50.0 points 10.0 points why label_noise" in shown
    assert "0 of 1 gates passed, 2 were not judged." in short


def test_a_second_run_is_nothing_new(store: Store) -> None:
    executions, files = stages_of(LABELS, [])
    _, short, told = written(store, write_run(store, "one", executions, files, cached=STAGES))
    assert told["verdict"]["name"] == "nothing new"
    assert {each["state"] for each in told["stages"]} == {"cached"}
    assert "No stage had to run." in short


def test_artifacts_that_are_gone_or_damaged(store: Store) -> None:
    executions, files = stages_of(LABELS, [])
    name = write_run(store, "one", executions, files)
    (store.path("trainer", "one-trainer") / "execution.json").unlink()
    (store.path("evaluator", "one-evaluator") / "evaluation.json").write_text("{")
    page, _, told = written(store, name)
    assert [
        each["state"] for each in told["stages"] if each["component"] in ("trainer", "evaluator")
    ] == ["gone", "made"]
    shown = " ".join("".join(Page(page).text).split())
    assert "Learning curves: from the result of trainer, whose artifact is gone." in shown
    assert "wrong and uncertain answers: from the result of evaluator, which has none." in shown


def test_a_report_that_fails_says_so_and_fails_no_run(store: Store) -> None:
    said: list[str] = []
    folder = store.root / "runs" / "one"
    assert report.report_run(store, folder, said.append) is None  # no record: the run did not begin
    assert said == []
    folder.mkdir(parents=True)
    (folder / "run.json").write_text("{")
    assert report.report_run(store, folder, said.append) is None
    assert len(said) == 1
    assert re.match(
        r"The report of one could not be written: UserError: .*run\.json is damaged", said[0]
    )


def test_the_summary_is_appended_to_the_step_summary(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    executions, files = stages_of(LABELS, [])
    path = report.write_report(
        store, store.root / "runs" / write_run(store, "one", executions, files)
    )
    assert summary.read_text() == "before\n" + (path.parent / "report.md").read_text()
    assert summary.read_text().splitlines()[1] == markdown.WATERMARK
    report.write_report(store, "one", summary=False)
    assert summary.read_text().count(markdown.WATERMARK) == 1


def test_many_classes_and_content_of_every_kind(store: Store) -> None:
    labels = [f"class {number:03}" for number in range(100)]
    page, _, told = written(store, write_run(store, "many", *stages_of(labels, ["a text"])))
    shown = " ".join("".join(Page(page).text).split())
    assert "Of 100 classes the 24 with the most errors; the other 76 are put together." in shown
    assert "The other 80 classes" in shown
    assert len(told["confusion"]["matrix"]) == 100
    assert len(page) < 400_000
    for number, content in enumerate(("tokens", "sequence")):
        page, _, told = written(
            store, write_run(store, str(number), *stages_of(LABELS, [], content))
        )
        Page(page)
        assert (told["data"]["content"], bool(told["data"]["tokens"])) == (
            content,
            content == "tokens",
        )


@given(
    st.integers(2, 12).flatmap(
        lambda num: st.lists(
            st.lists(st.integers(0, 9), min_size=num, max_size=num), min_size=num, max_size=num
        )
    )
)
def test_putting_classes_together_loses_no_row(matrix: list[list[int]]) -> None:
    labels, small = html.worst([str(number) for number in range(len(matrix))], matrix, 1)
    assert labels[1] == html.OTHERS
    assert sum(map(sum, small)) == sum(map(sum, matrix))
    chosen = int(labels[0])
    assert sum(small[0]) == sum(matrix[chosen])
    assert small[0][0] == matrix[chosen][chosen]


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6))
def test_ticks_are_round_and_within(low: float, span: float) -> None:
    found = charts.ticks(low, low + span)
    assert len(found) <= 12
    assert all(low - span * 1e-6 - 1e-9 <= tick <= low + span * (1 + 1e-6) + 1e-9 for tick in found)


# Texts.

TEXTS = st.one_of(
    st.sampled_from(NASTY),
    st.text(max_size=60),
    st.text("\\`*_{}[]()#+-!|~>:.<&;@/wW \x1b\u202e\n", max_size=30),
)


@given(TEXTS)
def test_a_clean_text_is_visible(value: str) -> None:
    shown = text.clean(value)
    assert not re.search(
        "[\x00-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]", shown
    )
    assert text.clean(shown) == shown
    shown.encode()


@given(TEXTS)
@settings(max_examples=300)
def test_markdown_shows_a_text_as_it_is(value: str) -> None:
    """By an independent parser, within a table and by itself.

    Nothing but text comes out, and it is the text.
    """
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    expected = text.shorten(value, 200)
    for source, place in (
        (f"| a |\n| --- |\n| {text.markdown(value)} |", 5),
        (f"a {text.markdown(value)}", 1),
    ):
        inline = [token for token in parser.parse(source) if token.type == "inline"]
        if place == 1:
            assert len(inline) == 1
        pieces = inline[-1].children or []
        assert {piece.type for piece in pieces} <= {"text", "text_special"}
        shown = "".join(piece.content for piece in pieces)
        assert not re.search(
            r"@\w|#\d|www|://", shown
        )  # what GitHub would make a mention, a reference or a link of
        assert " ".join(shown.replace("\u200b", "").split()) == " ".join(
            f"{'a ' if place == 1 else ''}{expected}".split()
        )


@given(TEXTS)
def test_code_in_markdown_is_one_piece_of_code(value: str) -> None:
    inline = [
        token
        for token in MarkdownIt("commonmark").parse(f"a {text.code(value)} b")
        if token.type == "inline"
    ]
    pieces = inline[0].children or []
    expected = text.shorten(value, 400).replace("|", "\\|")
    if expected.strip():
        assert [piece.type for piece in pieces] == ["text", "code_inline", "text"]
        assert pieces[1].content.strip() == expected.strip()


@given(TEXTS)
@settings(deadline=None)
def test_html_shows_a_text_as_it_is(value: str) -> None:
    template = html._environment().from_string('<p title="{{ value }}">{{ value }}</p>')
    page = Page(template.render(value=value))
    assert "".join(page.text) == text.clean(value)
    assert page.tags == [("p", {"title": text.clean(value)})]


def test_nothing_nasty_gets_out(store: Store) -> None:
    executions, files = stages_of(NASTY, NASTY)
    name = write_run(
        store, "one", executions, files, "failed", error=f"NotBlessedError: {NASTY[0]} {NASTY[5]}"
    )
    page, short, told = written(store, name)
    tags = {tag for tag, _ in Page(page).tags}
    assert tags.isdisjoint({"script", "img", "iframe", "object", "form", "base"})
    for content in (page, short, json.dumps(told)):
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", content)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script" not in short.replace("&lt;", "")
    assert [
        each["label"] for each in told["classes"]
    ] == NASTY  # for machines they are what they are
    assert re.findall(r'(?:src|href)="(?!#|data:,)', page) == []
    assert 'http-equiv="Content-Security-Policy" content="default-src \'none\'' in page


# Reproducing.


def test_the_configuration_of_a_run_is_read_back(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text(
        'example_gen.source = "a.csv"\nevaluator.min_accuracy = 0.9\n'
    )
    settings = [
        "trainer.rnn_units=7",
        "evaluator.min_slice_accuracy={label = 0.5, 'label=a b' = 0.25}",
    ]
    loaded = config.load(str(tmp_path / "base.toml"), settings)
    found = records.Records(run_record("one", about={"config": loaded.model_dump(mode="json")}))
    path = tmp_path / "config.toml"
    path.write_text(str(reproduce.config_toml(found, "some/root")))
    assert config.load(str(path)) == loaded.model_copy(update={"root": "some/root"})
    assert reproduce.name_of(found) == "base"  # and not that of config.toml
    changed = {
        each["name"]: each["value"] for each in reproduce.parameters(found) if not each["default"]
    }
    assert changed == {
        "example_gen.source": "a.csv",
        "trainer.rnn_units": 7,
        "evaluator.min_accuracy": 0.9,
        "evaluator.min_slice_accuracy": {"label": 0.5, "label=a b": 0.25},
    }


PLAIN = st.one_of(
    st.booleans(),
    st.integers(-(2**40), 2**40),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"])),
)


@given(
    st.recursive(
        PLAIN,
        lambda each: (
            st.lists(each, max_size=3)
            | st.dictionaries(
                st.text(st.characters(exclude_categories=["Cs"]), max_size=5), each, max_size=3
            )
        ),
        max_leaves=6,
    )
)
def test_values_as_toml(value: Any) -> None:
    assert tomllib.loads(f"value = {reproduce._toml(value)}") == {"value": value}


# The commands.


def invoke(*arguments: str) -> tuple[str, Exception | None]:
    done = CliRunner().invoke(app, list(arguments))
    return done.output, done.exception if isinstance(done.exception, UserError) else None


@pytest.fixture
def two(store: Store) -> Store:
    """The last but one pushed version 2, the last was refused."""
    for number in (1, 2, 3):
        executions, files = stages_of(LABELS, [])
        executions["trainer"]["params"]["rnn_units"] = number
        executions["pusher"]["figures"] |= {
            "version": number,
            "serving_dir": str(store.root.parent / "served"),
        }
        more: dict[str, Any] = {
            "started": f"2026-01-0{number}T00:00:00.000+00:00",
            "finished": f"2026-01-0{number}T00:01:00.000+00:00",
        }
        if number == 3:
            del executions["pusher"]
            more |= {"verdict": "failed", "error": "NotBlessedError: \x1b[31maccuracy[/] fell."}
        write_run(store, f"2026010{number}-000{number}", executions, files, **more)
    manifest = store.root.parent / "served" / "4" / MANIFEST
    manifest.parent.mkdir(parents=True)
    manifest.write_text(
        json.dumps(
            {"digest": "x", "files": {}, "rollback_of": 1, "pushed": "2026-01-02T12:00:00+00:00"}
        )
    )
    return store


def test_history(two: Store) -> None:
    by = {"host": "[b]here[/b]", "pid": 7, "user": "ann"}
    noted = {
        "time": "2026-01-01T12:00:00+00:00",
        "what": "promote",
        "version": 1,
        "instead_of": 3,
        "by": by,
    }
    (two.root.parent / "served" / versions.HISTORY).write_text(f"{json.dumps(noted)}\nbroken\n")
    found = history(two)
    assert [(each["verdict"], each["version"]) for each in found] == [
        *(("pushed", 1), ("promote", 1), ("pushed", 2), ("rollback", 4), ("refused", None))
    ]
    assert [each["verdict"] for each in history(two, 2)] == ["rollback", "refused"]
    shown, _ = invoke("history", "--root", str(two.root))
    lines = shown.splitlines()
    assert lines[1].split()[:4] == ["2026-01-01", "00:00", "0001", "pushed"]
    assert lines[4] == "    by hand instead of 3 by process 7 on [b]here[/b] (ann)"
    assert lines[8] == "    by hand to version 1"
    assert lines[10].strip() == "\\x1b[31maccuracy[/] fell."
    assert (
        json.loads(invoke("history", "--root", str(two.root), "--json", "-n", "1")[0])[0]["run"]
        == "20260103-0003"
    )


def test_one_damaged_run_hides_no_other(two: Store) -> None:
    (two.root / "runs" / "20260102-0002" / "run.json").write_text("{")
    assert sorted(each["verdict"] for each in history(two)) == [
        "damaged",
        "pushed",
        "refused",
        "rollback",
    ]


@pytest.mark.parametrize(
    ("name", "run"),
    [
        ("latest", 3),
        ("previous", 2),
        ("served", 1),
        ("2", 2),
        ("20260101", 1),
        ("-0003", 3),
        ("20260102-0002", 2),
    ],
)
def test_references(two: Store, name: str, run: int) -> None:
    assert reference.find(two, name) == f"2026010{run}-000{run}"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("2026", "There is no run '2026' under .*; 3 runs are called so: "),
        ("gone", "There is no run 'gone' under .*; the last ones are 20260101-0001, "),
        ("", "There is no run ''"),
        ("9", "There is no run '9' under "),
    ],
)
def test_references_to_none_or_several(two: Store, name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        reference.find(two, name)


def test_compare(two: Store) -> None:
    found = json.loads(invoke("compare", "1", "latest", "--root", str(two.root), "--json")[0])
    assert [each["run"] for each in found["runs"]] == ["20260101-0001", "20260103-0003"]
    assert found["parameters"] == [{"name": "trainer.rnn_units", "values": [1, 3]}]
    assert found["comparable"] is False  # the keys of the fixture's Examples differ
    accuracy = next(each for each in found["figures"] if each["name"] == "accuracy")
    assert (accuracy["difference"], accuracy["better"]) == (0, None)
    shown, _ = invoke("compare", "1", "latest", "--root", str(two.root))
    assert "Measured on different data: the figures of the models cannot be compared." in shown
    assert re.search(r"trainer\.rnn_units +1 +3", shown)
    assert re.search(r"epoch +val_accuracy A", shown)


def test_report_command(two: Store) -> None:
    shown, _ = invoke("report", "2", "--root", str(two.root))
    assert shown.strip() == str(two.root / "runs" / "20260102-0002" / "report.html")
    assert (
        json.loads(invoke("report", "--json", "--root", str(two.root))[0])["run"] == "20260103-0003"
    )


def test_errors_of_the_commands(
    tmp_path: Path, two: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    for name in ("report", "history"):
        _, error = invoke(name, "--root", str(tmp_path / "none"))
        assert str(error).startswith("There is no folder ")
    (tmp_path / "empty").mkdir()
    assert str(invoke("history", "--root", str(tmp_path / "empty"))[1]).startswith(
        "No run has been recorded under "
    )
    assert str(invoke("report", "--summary", "--root", str(two.root))[1]).startswith(
        "--summary needs GITHUB_STEP_SUMMARY"
    )


def test_neither_tensorflow_nor_beam_nor_numpy(store: Store) -> None:
    write_run(store, "one", *stages_of(LABELS, ["a text"]))
    code = f"""
import sys
from pipeline import report
from pipeline.store import Store
report.write_report(Store({str(store.root)!r}), "one", summary=False)
print(sorted({{"tensorflow", "apache_beam", "numpy", "google.protobuf"}} & set(sys.modules)))
"""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**kept, "PYTHONPATH": os.getcwd()},
    )
    assert done.stdout.strip() == "[]"
