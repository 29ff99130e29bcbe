"""Models of a wide and a recurrent part, of one of them, and of what has no wide part."""

import os
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from pydantic import ValidationError

from components.trainer import TRAINER, TrainerParams, check, run, wide
from components.trainer.cut import cut
from components.trainer.fit import _Wide
from components.trainer.input import dataset
from components.trainer.wide_batches import paths_of
from seqline.data.features import EVAL, MODEL, TRAIN
from seqline.data.ngrams import Rows
from seqline.data.transform_summary import read_summary
from seqline.errors import StoppedError, UserError
from seqline.model.network import load
from seqline.model.spec import read_spec, write_spec
from seqline.model.wide import WIDE, Wide, pooled
from tests.support.corpus import TRAINER_PARAMS
from tests.support.networks import SPEC

ALONE = TRAINER_PARAMS.with_values({"wide": True, "recurrent": False})


def train(features: Path, output: Path, params: TrainerParams, **arguments: Path) -> dict:
    output.mkdir()
    return run(features=features, params=params, output=output, **arguments)


def go_on() -> None:
    """What is called to ask whether to stop."""


def test_both_parts_are_pooled_and_judged_as_a_whole(features: Path, tmp_path: Path) -> None:
    params = TRAINER_PARAMS.with_values({"wide": True, "num_epochs": 2})
    figures = train(features, tmp_path / "model", params)
    model, spec = load(tmp_path / "model")
    assert (spec.wide, spec.recurrent) == (True, True)

    served = Wide.read(tmp_path / "model" / WIDE)
    assert served.pool.tolist() == figures["pool"]
    assert len(served.features) == figures["num_wide_features"]

    # The figures are of a fit to train alone; what is served learned from eval, too.
    ones = np.ones(3, np.float32)
    part = cut(wide.Fit(features, params, ones, tmp_path / "train").run(go_on), features)
    part = replace(part, pool=served.pool)
    arguments = {"splits": (TRAIN, EVAL), "kept": part.features}
    again = wide.Fit(features, params, ones, tmp_path / "both", **arguments)
    assert again.run(go_on).weights.tobytes() == served.weights.tobytes()
    assert again.num_rows == sum(
        read_summary(features)["num_rows"][split] for split in arguments["splits"]
    )
    assert part.features.tolist() == served.features.tolist()
    assert part.weights.tobytes() != served.weights.tobytes()

    # One shard, and one batch in the order of its rows.
    (path,) = paths_of(features, EVAL)
    rows = Rows.read(path)
    summary = read_summary(features)
    num_rows, length = summary["num_rows"][EVAL], summary["max_length"]
    (batch,) = dataset(
        features, EVAL, num_rows, num_classes=3, batch_size=num_rows, pad_to=length
    ).as_numpy_iterator()
    longest = int((batch[0] > 0).sum(axis=1).max())
    network = np.asarray(model(batch[0][:, :longest]))
    assert batch[1].argmax(axis=1).tolist() == rows.labels.tolist()
    logs = pooled(part.log_probabilities(rows), np.log(network), part.pool)
    right = logs.argmax(axis=1) == rows.labels
    assert figures["eval_accuracy"] == pytest.approx(right.mean())
    loss = -logs[np.arange(len(rows)), rows.labels].mean()
    assert figures["eval_loss"] == pytest.approx(loss, rel=1e-4)
    recurrent = network.argmax(axis=1) == rows.labels
    assert figures["eval_accuracy_recurrent"] == pytest.approx(recurrent.mean())

    text = TRAINER.describe(figures)
    assert f"wide part of {len(served.features):,} n-grams" in text
    assert f"recurrent part {figures['eval_accuracy_recurrent']:.3f}" in text


def test_the_wide_part_alone_goes_on_after_a_signal(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = train(features, tmp_path / "whole", ALONE)
    assert figures["pool"] == [1.0, 0.0]
    assert figures["eval_accuracy"] > 0.9
    assert "n-grams" in TRAINER.describe(figures)
    assert not (tmp_path / "whole" / MODEL).exists()
    spec = read_spec(tmp_path / "whole")
    assert (spec.wide, spec.recurrent) == (True, False)

    step, steps = wide.Fit._step, []

    def step_and_signal(self: wide.Fit, batch: object) -> None:
        steps.append(self.state.step)
        if len(steps) == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        step(self, batch)  # type: ignore[arg-type] - a Batch

    monkeypatch.setattr(wide.Fit, "_step", step_and_signal)
    monkeypatch.setattr(wide, "ASK_SECONDS", 0)
    with pytest.raises(StoppedError, match="while fitting the wide part"):
        train(features, tmp_path / "stopped", ALONE, work=tmp_path / "work")
    assert steps == [0, 1, 2, 3, 4]

    again = train(features, tmp_path / "again", ALONE, work=tmp_path / "work")
    assert again == figures
    assert steps[5] == 5
    whole, again_bytes = ((tmp_path / name / WIDE).read_bytes() for name in ("whole", "again"))
    assert whole == again_bytes


def test_nothing_starts_from_a_wide_part_alone(tmp_path: Path) -> None:
    for name in ("warm_start", "embeddings"):
        with pytest.raises(UserError, match=f"{name} is for the recurrent part, and"):
            check(ALONE.with_values({name: str(tmp_path)}))

    write_spec(replace(SPEC, wide=True, recurrent=False), tmp_path)
    with pytest.raises(UserError, match="is a wide part alone: no weights can be carried over"):
        check(TRAINER_PARAMS.with_values({"warm_start": str(tmp_path)}))


def test_sequences_have_no_wide_part(sequences: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Sequences have no wide part, and"):
        train(sequences, tmp_path / "alone", ALONE)

    params = TRAINER_PARAMS.with_values({"wide": True, "num_epochs": 1, "min_epoch_steps": 1})
    figures = train(sequences, tmp_path / "model", params)
    assert "pool" not in figures
    assert not (tmp_path / "model" / WIDE).exists()
    assert not read_spec(tmp_path / "model").wide


def test_features_without_ngrams_are_named(earlier_features: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no ngrams.arrow: transform.ngrams is 0"):
        train(earlier_features, tmp_path / "model", ALONE)


def test_a_model_has_at_least_one_part() -> None:
    with pytest.raises(ValidationError, match="are both false: set one to true"):
        TrainerParams(wide=False, recurrent=False)


def test_other_workers_wait_for_the_chief() -> None:
    answers = [("", 0.0), ("", 0.0), ("", 0.5), ("SIGTERM to worker 1", 0.0)]
    team = SimpleNamespace(is_chief=False, sync_stop=lambda done: answers.pop(0))
    spec = SimpleNamespace(num_classes=2)
    # Spec and team have as much as is used.
    part = _Wide(Path(), ALONE, spec, None, team, Path())  # type: ignore[arg-type]
    assert part.run(None, Path()) == {}
    assert len(answers) == 1
    with pytest.raises(StoppedError, match="SIGTERM to worker 1"):
        part.run(None, Path())
