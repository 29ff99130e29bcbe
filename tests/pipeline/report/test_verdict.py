"""The end of a run, in a word and in sentences."""

from typing import Any

import pytest

from pipeline.store.folder import Store
from tests.support.report_pages import Page
from tests.support.report_runs import BETTER, LABELS, STAGES, stages_of
from tests.support.reports import MODEL, write_run, written


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
            "Interrupted: run the same command to continue",
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
            "Busy: another run was in progress",
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

    shown = Page(page).shown
    assert shown.startswith(f"{MODEL}: Pushed as version 2 · one")
    assert f"is better by {better}" in shown
    assert "linear model: 98.5%" in shown  # next to the accuracy
    assert '<header class="verdict caution">' in page
    assert short.splitlines()[1:4] == [
        "## ⚠️ my\\_reviews: Pushed as version 2",
        "",
        f"⚠️ **{told['verdict']['cautions'][0]}**",
    ]
    assert "| tf-idf + logistic regression | 98.5% ⚠️ |" in short


def test_a_refusal_is_told_where_nothing_was_to_be_pushed(store: Store) -> None:
    executions, files = stages_of(LABELS, [])
    executions["evaluator"]["figures"] |= {"blessed": False, "refusals": ["accuracy is low"]}
    refused = "The model is not blessed, so pusher would refuse it: accuracy is low."
    for name, expected in (("one", []), ("two", [refused])):
        _, short, told = written(store, write_run(store, name, executions, files))
        assert told["verdict"]["cautions"] == expected
        assert (refused in short) == bool(expected)
        executions.pop("pusher", None)
    assert (told["verdict"]["name"], told["verdict"]["tone"]) == ("finished", "caution")


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
    assert told["verdict"]["error"] == "labels contradict."
    assert told["verdict"]["sentences"] == []  # once is enough
    assert told["verdict"]["exit_code"] == 20
    assert told["verdict"]["start"] == "warm"
    assert told["verdict"]["changed"] == ["span 2 is new"]

    shown = Page(page).shown
    assert "Changed: span 2 is new. Training started warm." in shown
    assert "label noise ✗ refused 50.0 points 10.0 points why label_noise" in shown
    assert "0 of 1 gates passed, 2 were not judged." in short


def test_a_second_run_is_nothing_new(store: Store) -> None:
    executions, files = stages_of(LABELS, [])
    _, short, told = written(store, write_run(store, "one", executions, files, cached=STAGES))
    assert told["verdict"]["name"] == "nothing new"
    assert {stage["state"] for stage in told["stages"]} == {"cached"}
    assert "No stage had to run." in short
