"""The evaluator of a training on several machines. The workers' part: test_distributed.py."""

import threading
import time
from pathlib import Path

import pytest
from pydantic import Field

from pipeline.runner import participant
from pipeline.runner.participant import wait_for_end
from pipeline.runner.plan import Pipeline
from pipeline.store.folder import Store
from pipeline.store.records import FINISHED, RUNNING, STOPPED, RunRecord
from seqline.host.clock import now
from tests.support.small_stages import NumberParams, SourceParams, adder, run, source


class PatientParams(NumberParams):
    worker_wait_seconds: float = Field(60.0, description="as of the trainer")


def pipeline(data: Path, seconds: float = 60.0) -> Pipeline:
    pipe = Pipeline("mine")
    value = pipe.add(source(), SourceParams(path=str(data)))
    pipe.add(adder(), PatientParams(worker_wait_seconds=seconds), value=value)
    return pipe


def save(store: Store, run: str, verdict: str, name: str = "mine") -> None:
    folder = store.root / "runs" / run
    folder.mkdir(parents=True, exist_ok=True)
    record = RunRecord(run=run, name=name, started=now(), verdict=verdict, stages=[])
    store.save_run(folder, record)


@pytest.mark.parametrize("verdict", [FINISHED, STOPPED])
def test_an_evaluator_waits_for_the_end_of_the_chiefs_run(
    data: Path, store: Store, monkeypatch: pytest.MonkeyPatch, verdict: str
) -> None:
    monkeypatch.setattr(participant, "LOOK_SECONDS", 0.01)
    save(store, "1", STOPPED)
    save(store, "2", RUNNING)  # of a chief that was killed: nothing will end it
    said: list[str] = []

    def live() -> None:
        while not said:
            time.sleep(0.01)
        save(store, "3", RUNNING)
        save(store, "4", FINISHED, name="another")
        time.sleep(0.1)
        said.append("ending")
        save(store, "3", verdict)

    chief = threading.Thread(target=live)
    chief.start()
    wait_for_end(pipeline(data), store, ["source", "adder"], [], said.append)
    chief.join()

    assert said == [
        "waiting for the end of the chief's run, 0 s so far",
        "ending",
        f"the chief's run 3 is over: {verdict}",
    ]


def test_an_evaluator_has_nothing_to_wait_for_once_all_is_finished(
    data: Path, store: Store
) -> None:
    pipe = pipeline(data)
    names = [stage.name for stage in pipe.stages]
    run(pipe, store)
    said: list[str] = []
    wait_for_end(pipe, store, names, [], said.append)
    assert said == ["finished, nothing to wait for"]


def test_an_evaluator_does_not_wait_for_ever_for_a_chief(
    data: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(participant, "LOOK_SECONDS", 0.01)
    message = r"No run of the chief began under '.*root' within 0 s\. Does the chief run"
    with pytest.raises(participant.UserError, match=message):
        wait_for_end(pipeline(data, seconds=0.02), store, ["source"], [], lambda line: None)
