"""The search of the tuner in a report."""

from pipeline.report import tuning
from pipeline.report.plots import Dot, small_chart
from pipeline.store.folder import Store
from tests.support.report_curves import tuner_of
from tests.support.report_pages import NASTY, Page
from tests.support.report_runs import LABELS, stages_of
from tests.support.reports import write_run, written


def test_trials_and_importances(store: Store) -> None:
    executions, files = stages_of(LABELS, [])
    tuner, trials = tuner_of()
    run = write_run(store, "one", {"tuner": tuner, **executions}, {"tuner": trials, **files})
    page, _, told = written(store, run)

    assert told["tuning"]["importances"] == tuner["figures"]["importances"]
    numbers = [trial["number"] for trial in told["tuning"]["trials"]]
    assert sorted(numbers) == list(range(24))
    # The best first, then pruned ones, and one that failed last.
    assert (numbers[0], numbers[-1]) == (tuner["figures"]["best_trial"], 5)
    states = [trial["state"] for trial in told["tuning"]["trials"]]
    assert states == [*["finished"] * 17, *["pruned"] * 6, "failed"]
    assert set(told["tuning"]["trials"][0]) == {
        *("number", "params", "state", "eval_accuracy", "eval_loss", "epochs", "seconds"),
        *("accuracies", "error"),
    }

    shown = Page(page).shown
    assert "24 trials, 6 of them pruned, 1 failed. The best is trial 2, with an eval" in shown
    assert "learning_rate0.0010.0057487.5%" in shown
    assert page.count('class="dot s2"') >= 3  # the best trial, in each picture
    assert "trial 2: 0.25, eval accuracy 89.6%, finished" in shown


def test_a_run_without_a_tuner_lacks_nothing(store: Store) -> None:
    executions, files = stages_of(LABELS, [])
    page, _, told = written(store, write_run(store, "one", executions, files))
    assert told["tuning"] is None
    assert "Tuning" not in Page(page).shown

    tuner, _ = tuner_of()
    run = write_run(store, "gone", {"tuner": tuner, **executions}, files)
    page, _, told = written(store, run)
    assert told["tuning"] is None
    assert "Tuning: need the result of tuner, which has none." in Page(page).shown


def test_few_trials_of_an_earlier_version_and_hostile_values(store: Store) -> None:
    executions, files = stages_of(LABELS, [])
    tuner, (name, trials) = tuner_of(6)
    del tuner["figures"]["importances"]
    del tuner["params"]["ranges"]
    trials = [
        {**trial, "params": {"pooling": NASTY[number]}} for number, trial in enumerate(trials)
    ]
    files["tuner"] = (name, trials)
    page, _, told = written(store, write_run(store, "one", {"tuner": tuner, **executions}, files))
    assert told["tuning"]["importances"] == {}
    assert "Importances are not known" in Page(page).shown
    assert "<script" not in page


def test_places_of_values() -> None:
    def places(*values: object, **axis: object) -> list[float]:
        dots = [Dot(value, 0.5, "s1", "") for value in values]
        picture = small_chart("name", "title", dots, **axis)  # type: ignore[arg-type]  # by name
        return [float(part.split('"')[0]) for part in picture.split(' cx="')[1:]]

    assert places(1, 2, 3) == [56, 137, 218]
    assert places(1, 10, 100, log=True) == [56, 137, 218]
    assert places(0, 10, 100, log=True) == [56, 72.2, 218]  # 0 has no logarithm
    assert places("b", None, choices=["a", "b"]) == [137, 191]  # b is the second of three
    assert places(7, 7) == [137, 137]
    assert tuning.drawn(None) is None
