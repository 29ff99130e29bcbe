"""The search for better parameters, as a report shows it: trials, importances, charts."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from markupsafe import Markup

from components.tuner.trials import Trial
from pipeline.report.plots import Dot, small_chart
from pipeline.report.records import Records
from pipeline.report.text import shorten
from pipeline.report.units import share

# Fields of a trial that only the search itself needs.
LEFT_OUT = ("rungs",)


def tuning(records: Records) -> dict[str, Any] | None:
    """The section on the search; None if the run had none, or its trials are gone.

    Returns:
        {the tuner's figures; importances: parameter -> importance, {} if they are not known;
        ranges: parameter -> the range that was searched; trials: all trials, as trials.json has
        them, the best first}.
    """
    trials: list[Trial] | None = records.files.get("tuner")
    if not trials:
        return None

    scored = sorted((trial for trial in trials if _has_score(trial)), key=lambda one: one.score)
    others = [trial for trial in trials if not _has_score(trial)]
    ranges = records.params("tuner").get("ranges")
    return {
        "importances": {},
        **records.figures("tuner"),
        "ranges": ranges if isinstance(ranges, dict) else {},
        "trials": [
            {name: value for name, value in asdict(trial).items() if name not in LEFT_OUT}
            for trial in [*reversed(scored), *others]
        ],
    }


def _has_score(trial: Trial) -> bool:
    return trial.eval_accuracy is not None and trial.eval_loss is not None


def drawn(tuning: dict[str, Any] | None) -> dict[str, Any] | None:
    """What the page shows of a search.

    Returns:
        {names: the tuned parameters, the most important first; own, best: the values of the
        trainer's own trial and of the best one; pictures: [(name, picture)]}; None without a
        search.
    """
    if not tuning:
        return None

    trials = tuning["trials"]
    importances = tuning["importances"]
    names = sorted(
        {name for trial in trials for name in trial["params"]},
        key=lambda name: (-importances.get(name, 0), name),
    )
    own = next((trial for trial in trials if trial["number"] == 0), trials[0])
    best = trials[0]
    return {
        "names": names,
        "own": own["params"],
        "best": best["params"],
        "best_number": best["number"],
        "pictures": [
            (name, _picture(number, name, trials, tuning["ranges"].get(name) or {}))
            for number, name in enumerate(names)
        ],
    }


def _picture(
    number: int, name: str, trials: Sequence[dict[str, Any]], searched: dict[str, Any]
) -> Markup:
    """The eval accuracy of the trials against the values of a parameter."""
    dots = [
        Dot(trial["params"][name], trial["eval_accuracy"], style(index, trial), told(trial, name))
        for index, trial in enumerate(trials)
        if trial["eval_accuracy"] is not None and name in trial["params"]
    ]
    if not dots:
        return Markup("")

    dots.reverse()  # the best one over the others
    title = f"Eval accuracy by {name}"
    choices, log = searched.get("choices"), bool(searched.get("log"))
    return small_chart(f"picture-tuned-{number}", title, dots, choices, log)


def style(place: int, trial: dict[str, Any]) -> str:
    """The CSS class of a trial: the best one, one that was pruned, or another."""
    if place == 0:
        return "s2"
    return "s1" if trial["state"] == "finished" else "hollow"


def told(trial: dict[str, Any], name: str) -> str:
    value = shorten(json.dumps(trial["params"][name], ensure_ascii=False), 40)
    accuracy = share(trial["eval_accuracy"])
    return f"trial {trial['number']}: {value}, eval accuracy {accuracy}, {trial['state']}"
