import json
from pathlib import Path

import pytest

from components.trainer import TrainerParams, checkpoint, run
from components.trainer.training import passes_per_epoch
from seqline.component import Figures
from seqline.errors import UserError
from tests.support.corpus import TRAINER_PARAMS
from tests.support.training import SMALL, KilledError


def test_what_is_kept_is_the_average(model: Path, features: Path, tmp_path: Path) -> None:
    """The averages lag behind, with a decay near 1 that (1 + step) / (10 + step) limits."""
    run(
        features=features,
        params=TRAINER_PARAMS.model_copy(update={"average_decay": 0.9}),
        output=tmp_path,
    )

    plain, averaged = (
        json.loads((folder / "history.json").read_text()) for folder in (model, tmp_path)
    )

    assert plain["loss"] == averaged["loss"], (
        "training goes on from the weights, not from their average"
    )
    assert plain["val_loss"] != averaged["val_loss"]
    assert averaged["val_accuracy"][-1] >= 0.9


def test_patience_ends_training(features: Path, tmp_path: Path) -> None:
    # Nothing moves at this rate: the first epoch stays the best, and the second is the one that
    # patience allows.
    params = TrainerParams(
        **{**SMALL, "num_epochs": 9}, learning_rate=1e-30, schedule="constant", patience=1
    )
    assert run(features=features, params=params, output=tmp_path)["num_epochs"] == 2


def test_a_loss_that_is_no_number_names_the_learning_rate(features: Path, tmp_path: Path) -> None:
    params = TrainerParams(**SMALL, learning_rate=1e30, schedule="constant", clip_norm=0.0)
    with pytest.raises(
        UserError,
        match=(
            r"The loss of step 2 .*diverged at trainer\.learning_rate 1e\+30 .*Lower it, or set"
            r" trainer\.clip_norm"
        ),
    ):
        run(features=features, params=params, output=tmp_path)
    assert not (tmp_path / "model.weights.h5").exists()


def test_weights_that_the_last_step_ruined_are_not_kept(features: Path, tmp_path: Path) -> None:
    # One step in all: its loss is still a number, and only the eval split shows the damage.
    params = TrainerParams(
        **{**SMALL, "batch_size": 1000, "num_epochs": 1},
        learning_rate=1e30,
        schedule="constant",
        clip_norm=0.0,
    )
    with pytest.raises(UserError, match=r"diverged at trainer\.learning_rate 1e\+30"):
        run(features=features, params=params, output=tmp_path)
    assert not (tmp_path / "model.weights.h5").exists()


@pytest.mark.parametrize(
    ("given", "num_steps", "dim", "expected"),
    [
        (None, 5, 0, 1),
        (None, 5, 2, 7),
        (None, 32, 2, 1),
        (None, 31, 2, 2),
        (1, 5, 2, 1),
        (25, 10, 0, 3),
        (25, 1000, 0, 1),
    ],
)
def test_an_epoch_over_few_rows_goes_over_them_several_times(
    given: int | None, num_steps: int, dim: int, expected: int
) -> None:
    assert passes_per_epoch(TrainerParams(min_epoch_steps=given), num_steps, dim) == expected


@pytest.mark.parametrize("killed_at", [2, 9])
def test_a_run_that_was_killed_ends_with_the_same_bits(
    killed_at: int,
    model: Path,
    features: Path,
    figures: dict[str, Figures],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    params = TRAINER_PARAMS.model_copy(update={"checkpoint_seconds": 1e-9, "checkpoint_steps": 4})
    num_saved = 0

    def save(*arguments: object) -> None:
        nonlocal num_saved
        num_saved += 1
        if num_saved == killed_at:
            raise KilledError
        save_checkpoint(*arguments)  # type: ignore[arg-type]

    save_checkpoint = checkpoint.save
    monkeypatch.setattr(checkpoint, "save", save)
    work = tmp_path / "work"
    for name in ("killed", "finished"):
        (tmp_path / name).mkdir()
    with pytest.raises(KilledError):
        run(features=features, params=params, output=tmp_path / "killed", work=work)
    assert len(list(work.glob("*.npz"))) == min(killed_at - 1, checkpoint.NUM_KEPT)

    again = run(features=features, params=params, output=tmp_path / "finished", work=work)
    assert again == figures["trainer"]
    for name in ("model.weights.h5", "network.json", "history.json"):
        assert (tmp_path / "finished" / name).read_bytes() == (model / name).read_bytes(), name
