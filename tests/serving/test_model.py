"""What of a SavedModel is ready when."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from serving import model
from serving.model import LoadedModel
from tests.support.served import save


@tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
def double(x: Any) -> Any:
    return {"y": 2 * x}


def test_a_signature_is_optimized_when_asked_and_then_in_the_next_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "ASKED", set())
    folder = save(tmp_path / "model", serving_default=double, rare=double)
    warm_up = folder / "assets.extra" / "tf_serving_warmup_requests"
    warm_up.parent.mkdir()
    warm_up.touch()  # no request

    first = LoadedModel(folder)
    assert first.warm_up() == 0
    assert set(first.calls) == set()
    assert first.run("rare", {"x": np.array([3], np.float32)})["y"].tolist() == [6]
    assert set(first.calls) == {"rare"}

    second = LoadedModel(folder)
    assert second.warm_up() == 0
    assert set(second.calls) == {"rare"}
    for loaded in (first, second):
        loaded.close()
