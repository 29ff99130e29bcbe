"""Runs for the tests of reports: records in a store, and the small files of their artifacts."""

import copy
import json
import random
from html.parser import HTMLParser
from typing import Any

from hypothesis import strategies as st
from typer.testing import CliRunner

from components.evaluator import EvaluatorParams
from components.evaluator.gates import judge
from components.evaluator.metrics import classification, of_slice
from components.evaluator.paired import compare_with_served
from components.evaluator.tally import Tally, confusion
from components.infra_validator import InfraValidatorParams
from components.infra_validator import gates as server_gates
from pipeline import report
from pipeline.cli.app import app
from pipeline.store.folder import Store
from seqline.errors import UserError
from seqline.gates import Gate, refusals
from seqline.intervals import wilson_interval
from seqline.model.digest import MANIFEST
from tests.support.records import execution

STAGES = (
    *("example_gen", "statistics_gen", "schema_gen", "example_validator", "transform"),
    *("trainer", "exporter", "evaluator", "infra_validator", "pusher"),
)
LABELS = ["animals", "fruit", "metals"]
# Elements of HTML that have no end tag.
VOID = {"meta", "link", "br"}
# What a page, a terminal or Markdown must show and not do.
NASTY = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "</style></title></textarea><svg onload=alert(3)>",
    "{{ 7 * 7 }}{% raw %}",
    "a|b`c` *d* [e](javascript:alert(4)) @octocat #1 <!-- -->",
    "\x1b[31mred\x1b]0;title\x07\x9b2J",
    "\u202egnp.exe\u202c \u2066x\u2069 \u05e9\u05dc\u05d5\u05dd",
    "W" * 300,
    " leading\nand\r\nlines\tand \0 nothing",
    "\U0001f469\u200d\U0001f680 \ud800 end",
]


TEXTS = st.one_of(
    st.sampled_from(NASTY),
    st.text(max_size=60),
    st.text("\\`*_{}[]()#+-!|~>:.<&;@/wW \x1b\u202e\n", max_size=30),
)


class Page(HTMLParser):
    """Collects the texts and tags of a page, and checks it.

    What is opened is closed, every id is unique, and what refers to an id finds it.
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

    @property
    def shown(self) -> str:
        """The texts, with one space in place of any white space."""
        return " ".join("".join(self.text).split())


def written(store: Store, run: str) -> tuple[str, str, Any]:
    """(report.html, report.md, report.json) of a run."""
    folder = report.write_report(store, run, summary=False).parent
    page, short = (
        (folder / name).read_text(encoding="utf-8") for name in ("report.html", "report.md")
    )
    return page, short, json.loads((folder / "report.json").read_text(encoding="ascii"))


def invoke(*arguments: str) -> tuple[str, Exception | None]:
    """(output, the user's error or None) of a command."""
    done = CliRunner().invoke(app, list(arguments))
    return done.output, done.exception if isinstance(done.exception, UserError) else None


def write_three_runs(store: Store) -> None:
    """The first two runs pushed versions 1 and 2, the last was refused; version 4 is a rollback."""
    served = store.root.parent / "served"
    for number in (1, 2, 3):
        executions, files = stages_of(LABELS, [])
        executions["trainer"]["params"]["rnn_units"] = number
        executions["pusher"]["figures"] |= {"version": number, "serving_dir": str(served)}
        more: dict[str, Any] = {
            "started": f"2026-01-0{number}T00:00:00.000+00:00",
            "finished": f"2026-01-0{number}T00:01:00.000+00:00",
        }

        if number == 3:
            del executions["pusher"]
            more |= {"verdict": "failed", "error": "NotBlessedError: \x1b[31maccuracy[/] fell."}

        write_run(store, f"2026010{number}-000{number}", executions, files, **more)

    manifest = served / "4" / MANIFEST
    manifest.parent.mkdir(parents=True)
    manifest.write_text(
        json.dumps(
            {"digest": "x", "files": {}, "rollback_of": 1, "pushed": "2026-01-02T12:00:00+00:00"}
        )
    )


def write_run(
    store: Store,
    name: str,
    executions: dict[str, dict[str, Any]],
    files: dict[str, tuple[str, Any]],
    verdict: str = "finished",
    cached: tuple[str, ...] = (),
    **more: Any,
) -> str:
    """Writes a run and its artifacts.

    Args:
        store: where to write.
        name: the run's.
        executions: component -> parts of its record, {figures, params, ...}.
        files: component -> (the name of its file, what it holds).
        verdict: of the run's record.
        cached: components that did not have to run.
        **more: further parts of the run's record.

    Returns:
        The run's name.
    """
    stages = []
    for component, told in executions.items():
        key = f"{name}-{component}"
        folder = store.path(component, key)
        folder.mkdir(parents=True)
        parts = {
            "code": f"code of {component}",
            "libraries": {},
            "data": "digest of the data" if component == "example_gen" else None,
        }

        fields = {"key_parts": parts, "seconds": 1.25, "finished": name, **told}
        execution(component, key, **fields).write(folder / "execution.json")
        if component in files:
            (folder / files[component][0]).write_text(json.dumps(files[component][1]))
        stages.append(
            {
                "component": component,
                "key": key,
                "cached": component in cached,
                "reason": "never ran",
                "seconds": 1.25,
            }
        )

    record = {
        "run": name,
        "started": "2026-01-02T03:04:05.000+00:00",
        "verdict": verdict,
        "stages": stages,
    }
    record |= {"finished": "2026-01-02T03:05:11.500+00:00", **more}
    (store.root / "runs" / name).mkdir(parents=True)
    (store.root / "runs" / name / "run.json").write_text(json.dumps(record))
    return name


# Accuracy of a linear model that is better than the SimpleRNN, whose accuracy is a little over 0.9.
BETTER = 0.985
MODEL = "my_reviews"


def evaluation_of(
    labels: list[str],
    texts: list[str],
    num_rows: int = 2000,
    with_served: bool = True,
    linear: float = 0.85,
    **thresholds: Any,
) -> dict[str, Any]:
    """An evaluation as the evaluator makes it, of random rows.

    Args:
        labels: of the rows.
        texts: of the rows that are listed as examples.
        num_rows: how many rows.
        with_served: whether a served version is compared with.
        linear: the linear model's accuracy.
        **thresholds: of the evaluator's params.
    """
    chance = random.Random(0)
    tally, slices = Tally(), {label: Tally() for label in labels}
    for number in range(num_rows):
        truth = number % len(labels)
        predicted, served_before = (
            truth if chance.random() < share else chance.randrange(len(labels))
            for share in (0.9, 0.85)
        )

        for counts in (tally, slices[labels[truth]]):
            counts.cells[truth, predicted] += 1
            counts.served_cells[truth, served_before] += 1
            counts.lost += served_before == truth != predicted
            counts.gained += predicted == truth != served_before

    matrix = confusion(tally.cells, len(labels))
    metric = classification(labels, matrix, 0.5)
    served = {
        "digest": "d" * 64,
        **compare_with_served(tally, 0.0),
        "level": 0.04,
        "slice_level": 0.001,
        "new_labels": labels[:1],
        "lost_labels": [],
    }

    shown = [
        {
            "feature": "label",
            "value": label,
            **of_slice(counts, 5),
            "served": compare_with_served(counts, 0.0),
        }
        for label, counts in slices.items()
    ]

    if not with_served:
        shown = [{**slice_, "served": None} for slice_ in shown]
    sure, unsure = (
        [_example(labels, number, text, is_sure) for number, text in enumerate(texts)]
        for is_sure in (True, False)
    )
    curve = [
        {
            "low": 0.4,
            "high": 0.5,
            "num_rows": 500,
            "confidence": 0.45,
            "accuracy": 0.5,
            "accuracy_interval": wilson_interval(0.5, 500),
        },
        {
            "low": 0.9,
            "high": 1.0,
            "num_rows": 1500,
            "confidence": 0.97,
            "accuracy": 0.9,
            "accuracy_interval": wilson_interval(0.9, 1500),
        },
    ]

    metric |= {
        "roc_auc": 0.98,
        "ece": 0.06,
        "served": served if with_served else None,
        "slices": shown,
        "calibration": curve,
    }

    compared = {"majority class": 1 / len(labels), "tf-idf + logistic regression": linear}
    gates = judge(
        metric, compared, EvaluatorParams(**{"min_accuracy": 0.5, "max_ece": 0.05, **thresholds})
    )
    evaluation = {
        **metric,
        "hardest": unsure,
        "confidently_wrong": sure,
        "baselines": compared,
        "gates": [gate.to_json() for gate in gates],
    }

    return {**evaluation, "blessed": not refusals(gates), "refusals": refusals(gates)}


def _example(labels: list[str], number: int, text: str, is_sure: bool) -> dict[str, Any]:
    """A listed row, from a line of a file, a row of one, a whole file, or unknown: by turns."""
    places: list[dict[str, Any]] = [
        {"source": {"file": "data/reviews.csv", "line": 12 + number}},
        {"source": {"file": "data/reviews.parquet", "row": 1012 + number}},
        {"source": {"file": f"texts/{labels[0]}/{number}.txt"}},
        {},
    ]

    row = {
        "shard": "data_tfrecord-00000-00000-00000.gz",
        "row": 2 * number + is_sure,
        "label": labels[0],
        **places[number % 4],
    }

    answer = labels[-1] if is_sure or number % 2 else labels[0]
    given, other = (0.99, 0.001) if is_sure else (0.45, 0.44)
    row |= {
        "predicted": answer,
        "probability": given,
        "probability_of_label": given if answer == labels[0] else other,
    }

    return {
        **row,
        "runner_up": labels[0] if answer == labels[-1] else labels[-1],
        "probability_of_runner_up": other,
        "text": text,
    }


def stages_of(
    labels: list[str],
    texts: list[str],
    content: str = "text",
    with_served: bool = True,
    **given: Any,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """(executions, files) of a whole run over rows with these labels.

    **given goes to `evaluation_of`.
    """
    rows = {split: dict.fromkeys(labels, 20) for split in ("train", "eval", "test")}
    evaluation = evaluation_of(labels, texts, with_served=with_served, **given)
    oov = {
        "rate": 0.071,
        "expected": 0.07,
        "num": 5,
        "num_distinct": 4,
        "overlap": 1.0,
        "top": [{"value": text, "count": 2} for text in texts],
    }

    length = {"min": 1, "max": 9, "mean": 4.5, "quantiles": {"0.01": 1, "0.5": 4, "0.99": 9}}
    tokens = {"num": 100, "num_distinct": 50, "num_once": 20}
    splits = {
        split: {
            "tokens": (
                None
                if content == "sequence"
                else {**tokens, "oov": None if split == "train" else oov}
            ),
            "lengths": {"num_tokens": length},
        }
        for split in rows
    }

    anomalies = [
        {
            "split": "test",
            "feature": "label",
            "kind": "label_skew",
            "severity": "warning",
            "line": f"test: {text}",
            "examples": texts,
        }
        for text in texts
    ]

    drift = {"num_new": 3, "num_gone": 2, "new_token_rate": 0.01}
    transform = {
        "num_tokens": 40,
        "num_distinct_tokens": 50,
        "oov_rate": 0.02,
        "num_at_max_length": 0,
        "num_rows": {},
        "vocabulary_drift": drift,
    }

    spans = [
        {
            "number": number,
            "key": f"span {number}",
            "num_read": 60,
            "num_rows": rows,
            "num_bad": {"text": 1},
        }
        for number in (0, 1)
    ]

    newest = {
        "span": 1,
        "earlier": [0],
        "repeated": {"num_rows": 3, "examples": texts},
        "tokens": oov,
        "chars": oov,
    }

    history = {
        "loss": [1.0, 0.5],
        "accuracy": [0.5, 0.8],
        "val_loss": [0.9, float("nan")],
        "val_accuracy": [0.6, 0.7],
    }

    trainer = {
        "num_parameters": 1234,
        "num_epochs": 2,
        "best_epoch": 2,
        "train_accuracy": 0.8,
        "eval_accuracy": 0.7,
        "eval_loss": 0.5,
    }

    measured = {"p50_seconds": 0.003, "p99_seconds": 0.011, "rss_mb": 800.5, "load_seconds": 7.1}
    asked = Gate("server", 1e-8, 1e-6, True, "64 rows answered as the evaluator had")
    limits = server_gates.limits(measured, InfraValidatorParams(max_p99_seconds=0.5))
    infra = {
        "blessed": True,
        "refusals": [],
        "server": "embedded",
        "asked": True,
        "digest": "m" * 64,
        "num_rows": 64,
        "num_warmup": 2,
        "difference": 1e-8,
        **measured,
        "gates": [gate.to_json() for gate in (asked, *limits)],
    }

    served = {"served": {**evaluation["served"], "version": 1}} if with_served else {}
    figures: dict[str, dict[str, Any]] = {
        "example_gen": {"num_rows": rows, "num_read": 123, "num_bad_rows": 2},
        "statistics_gen": {"num_duplicates": {"test in train": 4}, "num_ambiguous_texts": 1},
        "schema_gen": {"num_features": 4},
        "example_validator": {
            "num_errors": 0,
            "num_warnings": len(texts),
            "kinds": ["label_skew"],
            "lines": texts,
        },
        "transform": {"content": content} if content == "sequence" else transform,
        "trainer": trainer,
        "exporter": {
            "num_bytes": 1000,
            "max_difference": 2e-7,
            "difference": 8e-7,
            "tolerance": 1e-5,
            "table_dtype": "float32",
            "num_rows": 10,
        },
        "evaluator": {
            **{
                name: evaluation[name]
                for name in ("accuracy", "accuracy_interval", "baselines", "gates", "blessed")
            },
            **served,
        },
        "infra_validator": infra,
        "pusher": {
            "version": 2,
            "digest": "m" * 64,
            "pushed": True,
            "rolled_back": False,
            "serving_dir": "/served here",
        },
    }

    params: dict[str, dict[str, Any]] = {
        "example_gen": {"source": texts[0] if texts else "rows.csv", "content": content},
        "trainer": {"num_epochs": 2, "rnn_units": 64},
        "exporter": {"parity_tolerance": None},
        "infra_validator": {"max_difference": 1e-6, "max_p99_seconds": 0.5},
    }

    executions = {
        name: {"figures": figures[name], "params": params.get(name, {})} for name in STAGES
    }
    files = {
        "example_gen": ("examples.json", {"content": content, "spans": spans}),
        "statistics_gen": (
            "statistics.json",
            {"content": content, "splits": splits, "newest": newest},
        ),
        "example_validator": ("anomalies.json", anomalies),
        "trainer": ("history.json", history),
        "evaluator": ("evaluation.json", evaluation),
    }

    return copy.deepcopy(executions), files
