from pathlib import Path

import numpy as np
import pytest

from components.trainer import checkpoint
from components.trainer.checkpoint import TrainingProgress
from seqline.errors import UserError


def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path) -> None:
    assert checkpoint.newest(tmp_path) is None

    for step in (1, 2, 3):
        checkpoint.save(
            tmp_path,
            TrainingProgress(step=step, best=(0.5, -1.0)),
            [np.full(2, step)],
            [np.zeros(1)],
        )

    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "checkpoint-000000002.npz",
        "checkpoint-000000003.npz",
    ]
    newest = tmp_path / "checkpoint-000000003.npz"
    newest.write_bytes(newest.read_bytes()[:100])
    assert checkpoint.newest(tmp_path) == 2
    progress, state, best_weights = checkpoint.load(tmp_path, 2)
    with pytest.raises(UserError, match=r"checkpoint-000000003\.npz cannot be read"):
        checkpoint.load(tmp_path, 3)
    assert (progress.step, progress.best) == (2, (0.5, -1.0))
    assert (state[0].tolist(), best_weights[0].tolist()) == ([2, 2], [0])
