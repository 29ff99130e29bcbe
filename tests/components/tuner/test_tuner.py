import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from components.trainer import BEST_FILE, BLOG_POST, TrainerParams
from components.tuner import TUNER, TunerParams, TuningParams, run
from components.tuner.ranges import Range, kind, typed
from components.tuner.search import NUM_RANDOM, ask, distributions
from components.tuner.trials import TRIALS_FILE, Trial, best_of, load, save
from pipeline.config import load as load_config
from pipeline.definition import define
from pipeline.runner.plan import Pipeline, plan
from pipeline.store.folder import Store
from seqline.component import Figures
from seqline.errors import UserError
from tests.conftest import TRAINER_PARAMS
from tests.support import CHECKOUT

BASE = TRAINER_PARAMS.model_copy(update={"num_epochs": 2})
RANGES = {
    "learning_rate": {"low": 1e-3, "high": 2e-2, "log": True},
    "batch_size": {"choices": [16, 32]},
}


def params_of(base: TrainerParams = BASE, **settings: Any) -> TuningParams:
    return TunerParams(**{"num_trials": 2, "ranges": RANGES, **settings}).around(base)


def tune(
    features: Path, folder: Path, params: TuningParams, work: Path | None = None
) -> tuple[Figures, list[Trial]]:
    """Figures and trials, without their seconds."""
    folder.mkdir(parents=True)
    figures = run(features=features, params=params, output=folder, work=work)
    return figures, [replace(trial, seconds=0) for trial in load(folder)]


# Ranges


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        (
            {"learning_rat": {"low": 1.0, "high": 2.0}},
            "learning_rat is no parameter of the trainer (did you mean 'learning_rate'?)",
        ),
        (
            {"zzz": {"choices": [1]}},
            "zzz is no parameter of the trainer (known are pooling, embedding_dim, ",
        ),
        (
            {"seed": {"choices": [1, 2]}},
            "seed is nothing to tune: another value makes no better model; remove it",
        ),
        ({"dropout": {"low": 0.5, "high": 0.1}}, "dropout: low 0.5 is not below high 0.1"),
        ({"dropout": {"low": 0.5, "high": 0.5}}, "dropout: low 0.5 is not below high 0.5"),
        (
            {"dropout": {"low": 0.0, "high": 0.5, "log": True}},
            "dropout: low 0 has no logarithm; raise it above 0, or remove log",
        ),
        (
            {"dropout": {"low": 0.1, "high": 0.5, "log": True, "step": 0.1}},
            "dropout: log and step exclude each other; remove one of them",
        ),
        (
            {"dropout": {"low": 0.1, "high": 0.6, "step": 0.2}},
            "high 0.6 is no whole number of steps of 0.2 above low 0.1; 0.5 is",
        ),
        (
            {"dropout": {"low": 0.1, "high": 0.6, "step": 0.0}},
            "dropout.step: input should be greater than 0, not 0.0",
        ),
        ({"dropout": {"low": 0.1}}, "dropout: a range needs low and high, or choices"),
        ({"dropout": {}}, "dropout: a range needs low and high, or choices"),
        (
            {"dropout": {"low": 0.1, "choices": [0.2]}},
            "dropout: choices stand alone; remove them, or low, high, log and step",
        ),
        ({"dropout": {"choices": []}}, "dropout: choices are empty"),
        ({"dropout": {"choices": [0.1, 0.2, 0.1]}}, "dropout: 0.1 is twice among the choices"),
        ({"dropout": {"low": 0.5, "high": 1.5}}, "dropout: input should be less than 1, not 1.5"),
        ({"dropout": {"choices": [0.5, 2]}}, "dropout: input should be less than 1, not 2"),
        (
            {"learning_rate": {"low": 0.0, "high": 0.1}},
            "learning_rate: input should be greater than 0, not 0.0",
        ),
        (
            {"rnn_units": {"low": 0, "high": 8}},
            "rnn_units: input should be greater than or equal to 1, not 0",
        ),
        (
            {"rnn_units": {"low": 1.5, "high": 8}},
            "rnn_units: input should be a valid integer, not 1.5",
        ),
        (
            {"rnn_units": {"low": 1, "high": 2, "step": 0.5}},
            "rnn_units: step 0.5 is no whole number",
        ),
        ({"pooling": {"low": 1, "high": 2}}, "pooling is no number, and needs choices"),
        ({"bidirectional": {"low": 0, "high": 1}}, "bidirectional is no number, and needs choices"),
        (
            {"pooling": {"choices": ["max", "first"]}},
            "pooling: input should be 'last', 'mean', 'max' or 'mean_max', not 'first'",
        ),
        (
            {"dropout": {"lo": 0.1, "high": 0.2}},
            "tuner.ranges.dropout.lo is not a known name. Did you mean 'low'?",
        ),
        (
            {},
            (
                "tuner.ranges: there is nothing to tune; name a trainer parameter, or leave ranges"
                " out for the default ones"
            ),
        ),
    ],
)
def test_a_range_that_is_not_allowed_is_one_line(
    tmp_path: Path, ranges: dict[str, dict[str, Any]], message: str
) -> None:
    config = tmp_path / "mine.toml"
    tables = [
        f"{name} = {{{', '.join(f'{key} = {json.dumps(value)}' for key, value in each.items())}}}"
        for name, each in ranges.items()
    ]
    config.write_text("[example_gen]\nsource = 'a.csv'\n[tuner.ranges]\n" + "\n".join(tables))
    with pytest.raises(UserError) as raised:
        load_config(str(config))
    assert message in str(raised.value)
    assert "tuner.ranges" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_every_wrong_range_is_told() -> None:
    with pytest.raises(
        ValueError, match=r"dropout: .* not 2\.0; rnn_unit is no parameter .*'rnn_units'"
    ):
        TunerParams.model_validate(
            {"ranges": {"dropout": {"low": 0.1, "high": 2.0}, "rnn_unit": {"choices": [1]}}}
        )


def test_the_default_ranges_hold_the_default_parameters() -> None:
    for name, tried in TunerParams().ranges.items():
        assert tried.holds(getattr(TrainerParams(), name)), name


def test_what_a_range_holds() -> None:
    assert [value for value in (0, 1, 2, 5, 7, 8) if Range(low=1, high=7, step=3).holds(value)] == [
        1,
        7,
    ]
    assert [
        value
        for value in (0.1, 0.3, 0.4, 0.7, 0.8)
        if Range(low=0.1, high=0.7, step=0.3).holds(value)
    ] == [0.1, 0.4, 0.7]
    assert [
        value
        for value in (None, 0.05, 0.1, 0.15, 0.2, 0.3)
        if Range(low=0.1, high=0.2).holds(value)
    ] == [0.1, 0.15, 0.2]
    assert [
        value for value in ("max", "mean", "last") if Range(choices=["mean", "max"]).holds(value)
    ] == ["max", "mean"]


def test_a_range_has_the_type_of_its_parameter() -> None:
    assert [
        kind(name)
        for name in ("rnn_units", "min_epoch_steps", "dropout", "pooling", "bidirectional")
    ] == [
        int,
        int,
        float,
        object,
        object,
    ]
    assert [repr(typed("rnn_units", 32.0)), repr(typed("dropout", 0))] == ["32", "0.0"]
    ranges = {
        "rnn_units": {"low": 16.0, "high": 64.0, "step": 16.0},
        "dropout": {"low": 0, "high": 0.5, "step": 0.25},
        "learning_rate": {"low": 1e-3, "high": 1e-1, "log": True},
        "bidirectional": {"choices": [False, True]},
    }
    assert {name: str(each) for name, each in distributions(params_of(ranges=ranges)).items()} == {
        "bidirectional": "CategoricalDistribution(choices=(False, True))",
        "dropout": "FloatDistribution(high=0.5, log=False, low=0.0, step=0.25)",
        "learning_rate": "FloatDistribution(high=0.1, log=True, low=0.001, step=None)",
        "rnn_units": "IntDistribution(high=64, log=False, low=16, step=16)",
    }


def test_values_of_a_trial_leave_the_others_as_they_are() -> None:
    last = TrainerParams(dropout=0.2).with_values({"pooling": "last", "rnn_units": 7})
    assert last.model_dump() == {
        **TrainerParams(dropout=0.2).model_dump(),
        "pooling": "last",
        "rnn_units": 7,
    }
    assert last.clip_norm != BLOG_POST["clip_norm"]


# Trials


def trial(number: int, state: Any, accuracy: float | None, loss: float | None = 1.0) -> Trial:
    return Trial(
        number,
        {"dropout": number / 10},
        state,
        accuracy,
        loss,
        3,
        1.5,
        [0.5],
        {"completed_rung_0": 0.5},
        None,
    )


def test_the_best_has_the_highest_accuracy_then_the_lowest_loss_then_the_lowest_number() -> None:
    trials = [
        trial(0, "failed", None, None),
        trial(1, "finished", 0.8, 0.5),
        trial(2, "pruned", 0.9, 0.1),
    ]
    assert best_of(trials) == trials[1]
    trials += [
        trial(3, "finished", 0.8, 0.4),
        trial(4, "finished", 0.8, 0.4),
        trial(5, "finished", 0.7, 0.1),
    ]
    assert best_of(trials) == trials[3]
    assert best_of(trials[:1]) is None
    assert best_of([trials[0], trials[2]]) == trials[2]


def test_trials_are_read_as_they_were_written(tmp_path: Path) -> None:
    assert load(tmp_path) == []
    trials = [trial(0, "finished", 0.1 + 0.2), trial(1, "failed", None, None)]
    save(trials, tmp_path)
    assert load(tmp_path) == trials
    assert [path.name for path in tmp_path.iterdir()] == [TRIALS_FILE]


# Searches


def trials_by_hand() -> list[Trial]:
    """As many as TPE lets pass before it decides.

    The last one is the best, by a loss that no real trial has.
    """
    trials = []
    for number in range(NUM_RANDOM):
        chosen = {"batch_size": (16, 32)[number % 2], "learning_rate": 0.002 + 0.003 * number}
        accuracy = 0.95 + 0.01 * number
        trials.append(
            Trial(
                number,
                chosen,
                "finished",
                accuracy,
                0.0,
                1,
                0,
                [accuracy],
                {"completed_rung_0": 2.0 + number},
                None,
            )
        )
    return trials


@pytest.fixture(scope="module")
def uninterrupted(
    features: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Figures, list[Trial]]:
    """Two more trials behind those by hand, chosen by TPE. Halving would end both."""
    folder = tmp_path_factory.mktemp("tuner")
    (folder / "work").mkdir()
    save(trials_by_hand(), folder / "work")
    return (
        folder / "whole",
        *tune(features, folder / "whole", params_of(num_trials=8, halving=False), folder / "work"),
    )


def test_a_search_goes_on_behind_the_trials_that_are_there(
    uninterrupted: tuple[Path, Figures, list[Trial]],
) -> None:
    folder, figures, trials = uninterrupted
    assert trials[:NUM_RANDOM] == trials_by_hand()
    assert [(each.number, each.state, each.epochs, each.error) for each in trials[6:]] == [
        (6, "finished", 2, None),
        (7, "finished", 2, None),
    ]
    for each in trials[6:]:
        assert list(each.params) == ["batch_size", "learning_rate"]
        assert each.params["batch_size"] in (16, 32)
        assert 1e-3 <= each.params["learning_rate"] <= 2e-2
        assert each.eval_accuracy == max(each.accuracies)
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
    }
    assert json.loads((folder / BEST_FILE).read_text()) == figures["best_params"]
    assert sorted(path.name for path in folder.iterdir()) == [BEST_FILE, TRIALS_FILE]


KILLED_IN_AN_EPOCH = """
import json, logging, os, signal, sys
from pathlib import Path
from components.tuner import TuningParams, run
class Killer(logging.Handler):
    def emit(self, record):
        if record.getMessage().startswith(sys.argv[4]) and (Path(sys.argv[2]).parent / "work" / sys.argv[5]).exists():
            os.kill(os.getpid(), signal.SIGKILL)
logging.getLogger("seqline").setLevel(logging.INFO)
logging.getLogger("seqline").addHandler(Killer())
output = Path(sys.argv[2])
output.mkdir()
run(features=Path(sys.argv[1]), params=TuningParams(**json.loads(sys.argv[3])), output=output, work=output.parent / "work")
"""


def kill_at(message: str, file: str, features: Path, output: Path, params: TuningParams) -> None:
    """Runs the tuner in a process of its own, which kills itself at a log message once a file is in
    the work folder.
    """
    given = [str(features), str(output), params.model_dump_json(), message, file]
    done = subprocess.run(
        [sys.executable, "-c", KILLED_IN_AN_EPOCH, *given],
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
        env=os.environ,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr[-3000:]


def test_a_search_that_was_killed_ends_with_the_same_trials(
    uninterrupted: tuple[Path, Figures, list[Trial]], features: Path, tmp_path: Path
) -> None:
    folder, figures, trials = uninterrupted
    params = params_of(num_trials=8, halving=False)
    (tmp_path / "work").mkdir()
    save(trials_by_hand(), tmp_path / "work")
    # In the second epoch of the last trial: the first one is in a checkpoint, and the second one is
    # lost.
    kill_at("epoch 2/2", "trial-00007", features, tmp_path / "killed", params)
    assert [replace(each, seconds=0) for each in load(tmp_path / "work")] == trials[:7]
    assert [path.name for path in (tmp_path / "work").glob("trial-*")] == ["trial-00007"]
    assert len(list((tmp_path / "work" / "trial-00007" / "checkpoints").glob("*.npz"))) == 1
    assert list((tmp_path / "killed").iterdir()) == []
    assert tune(features, tmp_path / "finished", params, tmp_path / "work") == (figures, trials)
    assert (tmp_path / "finished" / BEST_FILE).read_bytes() == (folder / BEST_FILE).read_bytes()


@pytest.mark.parametrize("algorithm", ["random", "bayesian"])
def test_the_next_parameters_follow_from_the_seed_and_the_trials(algorithm: str) -> None:
    def asked(trials: list[Trial], **settings: Any) -> dict[str, Any]:
        return ask(params_of(algorithm=algorithm, **settings), trials)[1]

    trials = trials_by_hand()
    assert asked([]) == asked([], seed=1) == {"batch_size": 16, "learning_rate": 0.005}
    for number in range(1, NUM_RANDOM + 1):
        found = asked(trials[:number])
        assert list(found) == ["batch_size", "learning_rate"]
        assert asked(trials[:number], num_trials=99, ranges=dict(reversed(RANGES.items()))) == found
        assert asked(trials[:number], seed=1) != found
        assert asked(trials[: number - 1]) != found
    # Only the history differs here: TPE looks at it, also at what failed; random search does not.
    worse = [replace(each, eval_accuracy=1 - (each.eval_accuracy or 0)) for each in trials]
    assert (asked(worse) == asked(trials)) == (algorithm == "random")
    rates = []
    for failing in (0.002, 0.016):
        chosen = [{"batch_size": 32, "learning_rate": failing + 0.0005 * step} for step in range(6)]
        failed = [
            replace(trial(6 + step, "failed", None, None), params=each)
            for step, each in enumerate(chosen)
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
    found, trials = tune(
        features,
        tmp_path / "new",
        params_of(TRAINER_PARAMS, ranges={"learning_rate": {"choices": [1e-30]}}),
    )
    assert (found["best_trial"], found["num_finished"], found["num_pruned"]) == (0, 2, 0)
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
    assert (trials[0].eval_accuracy, trials[0].eval_loss) == (
        alone["eval_accuracy"],
        alone["eval_loss"],
    )
    assert trials[0].accuracies == json.loads((model / "history.json").read_text())["val_accuracy"]
    assert found["own_eval_accuracy"] == alone["eval_accuracy"]


def test_halving_ends_what_is_not_in_the_upper_half(features: Path, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    save(trials_by_hand()[:3], tmp_path / "work")
    # The rungs of two epochs are after the first one and, too late to matter, the second.
    found, trials = tune(features, tmp_path / "new", params_of(num_trials=4), tmp_path / "work")
    assert (trials[3].state, trials[3].epochs, len(trials[3].accuracies)) == ("pruned", 1, 1)
    assert trials[3].rungs == {"completed_rung_0": trials[3].eval_accuracy}
    assert (
        TUNER.describe(found)
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
    assert [(each.state, each.eval_accuracy, each.eval_loss) for each in trials[1:]] == [
        ("failed", None, None)
    ]
    assert "training diverged at trainer.learning_rate 1e+30" in str(trials[1].error)
    assert (figures["best_trial"], figures["num_failed"], figures["best_params"]) == (
        0,
        1,
        {"learning_rate": 0.005},
    )
    assert (
        TUNER.describe({**figures, "eval_accuracy": 0.5})
        == "2 trials (1 failed); eval accuracy 0.500 with the trainer's own parameters, which"
        " nothing was better than"
    )


def test_a_search_in_which_all_failed_is_an_error(features: Path, tmp_path: Path) -> None:
    save(
        [
            replace(trial(number, "failed", None, None), error=f"error {number}")
            for number in range(2)
        ],
        tmp_path,
    )
    with pytest.raises(
        UserError, match=r"^All 2 trials of the tuner failed\. The first one: error 0$"
    ):
        tune(features, tmp_path / "all", params_of(), tmp_path)
    assert list((tmp_path / "all").iterdir()) == []


def test_no_trial_starts_after_its_minutes(features: Path, tmp_path: Path) -> None:
    save([replace(each, seconds=10.0) for each in trials_by_hand()], tmp_path)
    for number, settings in enumerate(
        (
            {"num_trials": 0, "max_minutes": 1.0},
            {"num_trials": 99, "max_minutes": 1.0},
            {"num_trials": 6},
        )
    ):
        figures, trials = tune(features, tmp_path / str(number), params_of(**settings), tmp_path)
        assert (figures["num_trials"], trials) == (6, trials_by_hand())


# In the pipeline


def pipeline(tmp_path: Path, corpus: Path, *settings: str) -> tuple[Pipeline, list[str]]:
    """The pipeline of a configuration, and the arguments that give it to a command."""
    config = tmp_path / "mine.toml"
    config.write_text(
        f"[example_gen]\nsource = {json.dumps(str(corpus))}\n[tuner.ranges]\nrnn_units = {{choices"
        " = [4, 16]}\n"
    )
    given = [
        "transform.max_length=8",
        "transform.min_frequency=1",
        "trainer.embedding_dim=8",
        "trainer.rnn_units=8",
        *settings,
    ]
    given += ["trainer.skip_dim=8", "trainer.num_epochs=1"]
    pipe = Pipeline()
    define(pipe, load_config(str(config), given))
    return pipe, [
        "--config",
        str(config),
        *(part for setting in given for part in ("--set", setting)),
    ]


def test_the_tuner_is_in_the_pipeline_where_it_has_a_budget(tmp_path: Path, corpus: Path) -> None:
    for settings, there in (
        ([], False),
        (["tuner.num_trials=1"], True),
        (["tuner.max_minutes=1"], True),
    ):
        pipe, _ = pipeline(tmp_path, corpus, *settings)
        stages = {stage.name: stage for stage in pipe.stages}
        assert ("tuner" in stages) == there
        assert set(stages["trainer"].inputs) == (
            {"features", "hyperparameters"} if there else {"features"}
        )


def test_what_the_tuner_depends_on(tmp_path: Path, corpus: Path) -> None:
    def keys(*settings: str) -> dict[str, str | None]:
        pipe, _ = pipeline(tmp_path, corpus, "tuner.num_trials=2", *settings)
        return {
            each.stage.name: each.key
            for each in plan(pipe, Store(tmp_path / "root"))
            if each.stage.name in ("tuner", "trainer")
        }

    before = keys()
    assert keys("trainer.checkpoint_seconds=1") == before
    for setting in (
        "trainer.dropout=0.2",
        "tuner.seed=1",
        "tuner.num_trials=3",
        "transform.vocab_size=7",
    ):
        after = keys(setting)
        assert after["tuner"] != before["tuner"], setting
        assert after["trainer"] != before["trainer"], setting


def test_the_best_parameters_reach_the_model(tmp_path: Path, corpus: Path) -> None:
    _, arguments = pipeline(tmp_path, corpus, "tuner.num_trials=2")

    def seqline(command: str, *more: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "pipeline", command, *more],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
            **captured,
        )
        assert done.returncode == 0, done.stderr
        return str(done.stdout)

    captured: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 300}
    out = seqline("run", *arguments, "--to", "trainer", "-v")
    assert "trial 1 (2 of 2) finished: eval accuracy " in out
    record = json.loads(seqline("show", "--json"))
    tuner, trainer = (record["executions"][name] for name in ("tuner", "trainer"))
    assert trainer["inputs"]["hyperparameters"] == {"component": "tuner", "key": tuner["key"]}
    best = tuner["figures"]["best_params"]
    assert trainer["figures"]["tuned"] == best
    network = json.loads(
        (tmp_path / "artifacts" / "trainer" / trainer["key"] / "network.json").read_text()
    )
    assert network["rnn_units"] == best["rnn_units"]
    assert trainer["figures"]["eval_accuracy"] == tuner["figures"]["eval_accuracy"]
    assert not list((tmp_path / "artifacts" / "work").iterdir())
    assert [
        line.split()[1] for line in seqline("plan", *arguments, "--to", "trainer").splitlines()[1:]
    ] == ["cached"] * 7
    assert "7 stages" in seqline("run", *arguments, "--from", "tuner", "--to", "trainer")
    assert "its inputs changed" in seqline(
        "plan", *arguments, "--set", "tuner.num_trials=0", "--from", "trainer"
    )


def test_the_record_of_a_trial_is_json() -> None:
    assert json.loads(json.dumps(asdict(trial(1, "finished", 0.5)))) == asdict(
        trial(1, "finished", 0.5)
    )
