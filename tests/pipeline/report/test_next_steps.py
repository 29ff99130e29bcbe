"""The next steps on the page, after a refusal."""

from pipeline.report import records, units
from pipeline.report.advice import HELP, what_helps
from pipeline.report.next_steps import evidence_of
from pipeline.store.folder import Store
from tests.support.report_pages import Page
from tests.support.report_runs import BETTER, LABELS, STAGES, stages_of
from tests.support.reports import write_run, written

ANOMALY = {
    "split": "test",
    "feature": "",
    "kind": "empty_split",
    "severity": "error",
    "examples": [],
}


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
            " regression 98.5% (better)."
        ),
        "saved_model": place,
        "ask": f'seqline predict --model {place} "Your text"',
        "helps": what_helps(evidence_of(records.read(store, "one"))),
    }
    assert told["next_steps"]["helps"][-1] == (
        "If the model is good enough as it is, raise evaluator.max_ece (now 0.05) in the"
        " configuration or with --set evaluator.max_ece=..."
    )

    shown = Page(page).shown
    for sentence in (
        *told["next_steps"]["refused"],
        *told["next_steps"]["helps"],
        told["next_steps"]["ask"],
    ):
        assert sentence in shown

    assert f"`{told['next_steps']['ask']}`" in short
    assert told["verdict"]["tone"] == "bad"


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
    assert steps["helps"] == [
        *HELP["anomalies"].steps,
        "If the rows are right as they are, let them pass: --set"
        " 'example_validator.severities={empty_split = \"warning\"}'",
    ]
    assert f"- ❌ {lines[0]}" in short
