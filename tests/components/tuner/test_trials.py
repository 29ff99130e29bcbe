import json
from dataclasses import asdict
from pathlib import Path

from components.tuner.trials import TRIALS_FILE, best_of, load, save
from tests.support.tuning import make_trial


def test_the_best_has_the_highest_accuracy_then_the_lowest_loss_then_the_lowest_number() -> None:
    trials = [
        make_trial(0, "failed", None, None),
        make_trial(1, "finished", 0.8, 0.5),
        make_trial(2, "pruned", 0.9, 0.1),
    ]
    assert best_of(trials) == trials[1]

    trials += [
        make_trial(3, "finished", 0.8, 0.4),
        make_trial(4, "finished", 0.8, 0.4),
        make_trial(5, "finished", 0.7, 0.1),
    ]

    assert best_of(trials) == trials[3]
    assert best_of(trials[:1]) is None
    assert best_of([trials[0], trials[2]]) == trials[2]


def test_trials_are_read_as_they_were_written(tmp_path: Path) -> None:
    assert load(tmp_path) == []
    trials = [make_trial(0, "finished", 0.1 + 0.2), make_trial(1, "failed", None, None)]
    save(trials, tmp_path)
    assert load(tmp_path) == trials
    assert [path.name for path in tmp_path.iterdir()] == [TRIALS_FILE]


def test_the_record_of_a_trial_is_json() -> None:
    assert json.loads(json.dumps(asdict(make_trial(1, "finished", 0.5)))) == asdict(
        make_trial(1, "finished", 0.5)
    )
