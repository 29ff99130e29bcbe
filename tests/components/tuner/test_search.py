import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from components.trainer import BEST_FILE, TrainerParams, fit
from components.tuner import TUNER, TuningParams
from components.tuner.search import NUM_RANDOM, ask
from components.tuner.trials import TRIALS_FILE, Trial, load, save
from seqline.component import Figures
from seqline.errors import LostWorkerError, UserError
from tests.support import CHECKOUT
from tests.support.corpus import TRAINER_PARAMS
from tests.support.tuning import BASE, RANGES, make_trial, params_of, trials_by_hand, tune


@pytest.fixture(scope="module")
def uninterrupted(
    features: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Figures, list[Trial]]:
    """Two more trials after those by hand, chosen by TPE. Halving would end both."""
    folder = tmp_path_factory.mktemp("tuner")
    (folder / "work").mkdir()
    save(trials_by_hand(), folder / "work")
    return (
        folder / "whole",
        *tune(features, folder / "whole", params_of(num_trials=8, halving=False), folder / "work"),
    )


def test_a_search_continues_after_the_trials_that_exist(
    uninterrupted: tuple[Path, Figures, list[Trial]],
) -> None:
    folder, figures, trials = uninterrupted
    assert trials[:NUM_RANDOM] == trials_by_hand()
    assert [(trial.number, trial.state, trial.epochs, trial.error) for trial in trials[6:]] == [
        (6, "finished", 2, None),
        (7, "finished", 2, None),
    ]

    for trial in trials[6:]:
        assert list(trial.params) == ["batch_size", "learning_rate"]
        assert trial.params["batch_size"] in (16, 32)
        assert 1e-3 <= trial.params["learning_rate"] <= 2e-2
        assert trial.eval_accuracy == max(trial.accuracies)

    assert figures == {
        "num_trials": 8,
        "num_finished": 8,
        "num_pruned": 0,
        "num_failed": 0,
        "best_trial": 5,
        "best_params": {"batch_size": 32, "learning_rate": 0.017},
        "eval_accuracy": 1.0,
        "eval_loss": 0.0,
        "own_eval_accuracy": 0.95,
        "importances": {},
    }
    assert json.loads((folder / BEST_FILE).read_text()) == figures["best_params"]
    names = sorted(path.name for path in folder.iterdir())
    assert names == [BEST_FILE, "tensorboard", TRIALS_FILE]


KILLED_IN_AN_EPOCH = """
import json, logging, os, sys
from pathlib import Path
from components.tuner import TuningParams, run
from seqline.errors import StoppedError
features, output, params, number, message, file = sys.argv[1:]
output, work = Path(output), Path(output).parent / "work"
class Killer(logging.Handler):
    def emit(self, record):
        if record.getMessage().startswith(message) and (work / file).exists():
            os.kill(os.getpid(), int(number))
logging.getLogger("seqline").setLevel(logging.INFO)
logging.getLogger("seqline").addHandler(Killer())
output.mkdir()
params = TuningParams(**json.loads(params))
try:
    run(features=Path(features), params=params, output=output, work=work)
except StoppedError as stopped:
    sys.exit(f"stopped {stopped.where} by {stopped.by}")
"""


def kill_at(
    number: int, message: str, file: str, features: Path, output: Path, params: TuningParams
) -> tuple[int, str]:
    """Runs the tuner in another process, which signals itself.

    It does so at a log message once a file is in the work folder.

    Returns:
        (the exit code, the last line).
    """
    given = [str(features), str(output), params.model_dump_json(), str(number), message, file]
    done = subprocess.run(
        [sys.executable, "-c", KILLED_IN_AN_EPOCH, *given],
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
        env=os.environ,
    )
    return done.returncode, done.stderr.splitlines()[-1]


def test_a_search_that_was_killed_ends_with_the_same_trials(
    uninterrupted: tuple[Path, Figures, list[Trial]], features: Path, tmp_path: Path
) -> None:
    folder, figures, trials = uninterrupted
    params = params_of(num_trials=8, halving=False)
    (tmp_path / "work").mkdir()
    save(trials_by_hand(), tmp_path / "work")

    # In the second epoch of the last trial: the first one is in a checkpoint, and the second one is
    # lost.
    code, _ = kill_at(
        signal.SIGKILL, "epoch 2/2", "trial-00007", features, tmp_path / "killed", params
    )
    assert code == -signal.SIGKILL

    assert [replace(trial, seconds=0) for trial in load(tmp_path / "work")] == trials[:7]
    assert [path.name for path in (tmp_path / "work").glob("trial-*")] == ["trial-00007"]
    assert len(list((tmp_path / "work" / "trial-00007" / "checkpoints").glob("*.npz"))) == 1
    assert [path.name for path in (tmp_path / "killed").iterdir()] == ["tensorboard"]
    assert tune(features, tmp_path / "finished", params, tmp_path / "work") == (figures, trials)
    assert (tmp_path / "finished" / BEST_FILE).read_bytes() == (folder / BEST_FILE).read_bytes()


@pytest.mark.slow
def test_a_trial_that_was_stopped_has_not_failed_and_goes_on(
    uninterrupted: tuple[Path, Figures, list[Trial]], features: Path, tmp_path: Path
) -> None:
    folder, figures, trials = uninterrupted
    params = params_of(num_trials=8, halving=False)
    (tmp_path / "work").mkdir()
    save(trials_by_hand(), tmp_path / "work")

    # Noted at the end of the first epoch, obeyed after the next steps.
    code, line = kill_at(
        signal.SIGTERM, "epoch 1/2", TRIALS_FILE, features, tmp_path / "stopped", params
    )

    assert code == 1
    assert line.startswith("stopped at step ")
    assert line.endswith(" by SIGTERM")
    assert load(tmp_path / "work") == trials_by_hand()
    assert list((tmp_path / "work").glob("trial-00006/checkpoints/*.npz"))
    assert [path.name for path in (tmp_path / "stopped").iterdir()] == ["tensorboard"]
    assert tune(features, tmp_path / "finished", params, tmp_path / "work") == (figures, trials)
    assert (tmp_path / "finished" / BEST_FILE).read_bytes() == (folder / BEST_FILE).read_bytes()


@pytest.mark.parametrize("error", [UserError("no room"), LostWorkerError("gone"), OSError(28, "")])
def test_only_a_trial_that_diverges_fails(
    error: BaseException, features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(fit, "fit", fail)
    with pytest.raises(type(error)):
        tune(features, tmp_path / "new", params_of(), tmp_path / "work")
    assert load(tmp_path / "work") == []


@pytest.mark.parametrize("algorithm", ["random", "bayesian"])
def test_the_next_parameters_follow_from_the_seed_and_the_trials(algorithm: str) -> None:
    def asked(trials: list[Trial], **settings: Any) -> dict[str, Any]:
        return ask(params_of(algorithm=algorithm, **settings), trials)[1]

    trials = trials_by_hand()
    assert asked([]) == asked([], seed=1) == {"batch_size": 16, "learning_rate": 0.005}
    for number in range(1, NUM_RANDOM + 1):
        parameters = asked(trials[:number])
        assert list(parameters) == ["batch_size", "learning_rate"]
        reordered = dict(reversed(RANGES.items()))
        assert asked(trials[:number], num_trials=99, ranges=reordered) == parameters
        assert asked(trials[:number], seed=1) != parameters
        assert asked(trials[: number - 1]) != parameters

    # Only the history differs here: TPE looks at it, also at what failed; random search does not.
    worse = [replace(trial, eval_accuracy=1 - (trial.eval_accuracy or 0)) for trial in trials]
    assert (asked(worse) == asked(trials)) == (algorithm == "random")
    rates = []
    for failing in (0.002, 0.016):
        chosen = [{"batch_size": 32, "learning_rate": failing + 0.0005 * step} for step in range(6)]
        failed = [
            replace(make_trial(6 + step, "failed", None, None), params=parameters)
            for step, parameters in enumerate(chosen)
        ]
        rates.append(asked([*trials, *failed])["learning_rate"])

    assert rates[0] == rates[1] if algorithm == "random" else rates[0] > rates[1]


def test_the_trainers_own_parameters_may_lie_outside_of_the_ranges() -> None:
    own = BASE.model_copy(update={"batch_size": 50})
    trials = trials_by_hand()
    trials[0] = replace(trials[0], params={**trials[0].params, "batch_size": 50})
    for number in range(1, 7):
        assert ask(params_of(own), trials[:number])[1]["batch_size"] in (16, 32)


def test_the_first_trials_are_spared_and_are_what_others_are_compared_with(
    features: Path, model: Path, figures: dict[str, Figures], tmp_path: Path
) -> None:
    # Nothing moves at this rate. The rungs of six epochs are after the second and the fourth one.
    searched, trials = tune(
        features,
        tmp_path / "new",
        params_of(TRAINER_PARAMS, ranges={"learning_rate": {"choices": [1e-30]}}),
    )
    assert (searched["best_trial"], searched["num_finished"], searched["num_pruned"]) == (0, 2, 0)

    # It stayed as it was; patience ended it after the fifth epoch.
    assert trials[1].accuracies == [trials[1].eval_accuracy] * 5
    assert trials[1].rungs == {
        "completed_rung_0": trials[1].eval_accuracy,
        "completed_rung_1": trials[1].eval_accuracy,
    }
    assert trials[0].rungs == {
        "completed_rung_0": max(trials[0].accuracies[:2]),
        "completed_rung_1": max(trials[0].accuracies[:4]),
    }

    # The first trial is the trainer's own training.
    alone = figures["trainer"]
    assert trials[0].params == {"learning_rate": 0.005}
    assert trials[0].eval_accuracy == alone["eval_accuracy"]
    assert trials[0].eval_loss == alone["eval_loss"]
    assert trials[0].accuracies == json.loads((model / "history.json").read_text())["val_accuracy"]
    assert searched["own_eval_accuracy"] == alone["eval_accuracy"]


def test_halving_ends_what_is_not_in_the_upper_half(features: Path, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    save(trials_by_hand()[:3], tmp_path / "work")
    # The rungs of two epochs are after the first one and, too late to matter, the second.
    figures, trials = tune(features, tmp_path / "new", params_of(num_trials=4), tmp_path / "work")
    assert (trials[3].state, trials[3].epochs, len(trials[3].accuracies)) == ("pruned", 1, 1)
    assert trials[3].rungs == {"completed_rung_0": trials[3].eval_accuracy}
    assert (
        TUNER.describe(figures)
        == "4 trials (1 pruned); eval accuracy 0.970 in trial 2, 0.950 with the trainer's own"
        " parameters"
    )


DIVERGING = {"learning_rate": {"choices": [1e30]}}


def test_a_trial_that_diverges_is_recorded_and_the_search_goes_on(
    features: Path, tmp_path: Path
) -> None:
    base = BASE.model_copy(update={"clip_norm": 0.0, "schedule": "constant"})
    figures, trials = tune(
        features, tmp_path / "some", params_of(base, num_trials=2, ranges=DIVERGING)
    )

    assert [(trial.state, trial.eval_accuracy, trial.eval_loss) for trial in trials[1:]] == [
        ("failed", None, None)
    ]
    assert "training diverged at trainer.learning_rate 1e+30" in str(trials[1].error)
    assert figures["best_trial"] == 0
    assert figures["num_failed"] == 1
    assert figures["best_params"] == {"learning_rate": 0.005}
    assert (
        TUNER.describe({**figures, "eval_accuracy": 0.5})
        == "2 trials (1 failed); eval accuracy 0.500 with the trainer's own parameters; no"
        " trial was better"
    )


def test_a_search_in_which_all_failed_is_an_error(features: Path, tmp_path: Path) -> None:
    save(
        [
            replace(make_trial(number, "failed", None, None), error=f"error {number}")
            for number in range(2)
        ],
        tmp_path,
    )
    with pytest.raises(
        UserError, match=r"^All 2 trials of the tuner failed\. The first one: error 0$"
    ):
        tune(features, tmp_path / "all", params_of(), tmp_path)
    assert [path.name for path in (tmp_path / "all").iterdir()] == ["tensorboard"]


def test_no_trial_starts_after_its_minutes(features: Path, tmp_path: Path) -> None:
    save([replace(trial, seconds=10.0) for trial in trials_by_hand()], tmp_path)
    for number, settings in enumerate(
        (
            {"num_trials": 0, "max_minutes": 1.0},
            {"num_trials": 99, "max_minutes": 1.0},
            {"num_trials": 6},
        )
    ):
        figures, trials = tune(features, tmp_path / str(number), params_of(**settings), tmp_path)
        assert (figures["num_trials"], trials) == (6, trials_by_hand())


def test_trials_train_the_recurrent_part_alone(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = []

    def fail(source: Path, params: TrainerParams, *_: object, is_trial: bool) -> Figures:
        trained.append((params.wide, params.recurrent))
        raise UserError("enough")

    monkeypatch.setattr(fit, "fit", fail)
    base = BASE.with_values({"wide": True, "recurrent": False})
    with pytest.raises(UserError, match="enough"):
        tune(features, tmp_path / "whole", params_of(base), tmp_path / "work")
    assert trained == [(False, True)]
    assert params_of(base).key_fields() == params_of().key_fields()
