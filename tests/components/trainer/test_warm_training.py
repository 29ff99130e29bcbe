"""Trainings that start warm: interrupted, refused, and their keys."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

from components.trainer import (
    SPEC_FILE,
    START_FILE,
    TRAINER,
    TrainerParams,
    checkpoint,
    run,
)
from seqline.data.features import MODEL
from seqline.errors import UserError
from seqline.model import network
from seqline.storage import gcs, staging
from tests.support.fake_cloud.gcs import serve
from tests.support.training import KilledError, train_on_replicas
from tests.support.warm import (
    SMALL,
    STILL,
    WHOLE,
    start,
)


@pytest.mark.slow  # without a warm start: test_replicas.py
def test_two_replicas_start_as_one_device(
    earlier: Path, earlier_features: Path, tmp_path: Path
) -> None:
    params = TrainerParams(
        **{**SMALL, **STILL, **WHOLE}, implementation="keras", warm_start=str(earlier)
    )
    figures = train_on_replicas({"two": (2, params)}, earlier_features, tmp_path)["two"]
    assert figures["warm_start"]["tokens_carried"] == 10
    assert (tmp_path / "two" / MODEL).read_bytes() == (earlier / MODEL).read_bytes()


@pytest.mark.slow
def test_killed_it_goes_on_bit_for_bit_and_does_not_read_the_earlier_model_again(
    earlier: Path, earlier_features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = shutil.copytree(earlier, tmp_path / "copy")
    settings = {
        **SMALL,
        "num_epochs": 5,
        "warm_start_epochs": 2,
        "implementation": "keras",
        "checkpoint_steps": 2,
        "checkpoint_seconds": 1e9,
    }
    params = TrainerParams(**settings, warm_start=str(copy))
    for name in ("whole", "killed", "finished"):
        (tmp_path / name).mkdir()

    whole = run(features=earlier_features, params=params, output=tmp_path / "whole")
    assert whole["num_epochs"] == 2

    def save(*arguments: object) -> None:
        save_checkpoint(*arguments)  # type: ignore[arg-type]
        raise KilledError

    save_checkpoint = checkpoint.save
    monkeypatch.setattr(checkpoint, "save", save)
    with pytest.raises(KilledError):
        run(
            features=earlier_features,
            params=params,
            output=tmp_path / "killed",
            work=tmp_path / "work",
        )

    monkeypatch.setattr(checkpoint, "save", save_checkpoint)
    assert checkpoint.newest(tmp_path / "work") == 2

    shutil.rmtree(copy)
    assert (
        run(
            features=earlier_features,
            params=params,
            output=tmp_path / "finished",
            work=tmp_path / "work",
        )
        == whole
    )
    assert json.loads((tmp_path / "whole" / START_FILE).read_text()) == whole["warm_start"]
    for name in (MODEL, SPEC_FILE, START_FILE, "history.json"):
        assert (tmp_path / "finished" / name).read_bytes() == (
            tmp_path / "whole" / name
        ).read_bytes(), name


def changed(model: Path, copy: Path, change: Callable[[keras.Model], None]) -> Path:
    shutil.copytree(model, copy)
    trained, spec = network.load(model, training=True)
    change(trained)
    network.save(trained, spec, copy)
    return copy


def test_what_cannot_be_started_from_is_named_before_training(
    earlier: Path, earlier_features: Path, tmp_path: Path
) -> None:
    assert TRAINER.check is not None
    with pytest.raises(
        UserError,
        match=r"trainer\.warm_start 'nowhere' holds no model\.weights\.h5 with its network\.json",
    ):
        TRAINER.check(TrainerParams(warm_start="nowhere"))

    for name, value in {
        "rnn_units": 5,
        "embedding_dim": 5,
        "num_layers": 2,
        "bidirectional": False,
        "pooling": "mean",
        "skip_dim": 0,
    }.items():
        params = TrainerParams(**{**SMALL, name: value}, warm_start=str(earlier))
        was = getattr(TrainerParams(**SMALL), name)

        said = (
            rf"warm_start .*: its {name} is {was}, here {value}. Set trainer\.{name} ="
            rf" {json.dumps(was)}, or leave trainer\.warm_start out"
        )
        with pytest.raises(UserError, match=said):
            TRAINER.check(params)

    with pytest.raises(UserError, match=said):  # also where it was a tuner that brought the value
        start(earlier_features, tmp_path / "model", **{name: value}, warm_start=str(earlier))


def test_a_model_that_diverged_or_is_damaged_is_refused(
    earlier: Path, earlier_features: Path, tmp_path: Path
) -> None:
    def diverge(model: keras.Model) -> None:
        kernel, bias = model.get_layer("output").get_weights()
        kernel[0, 0] = np.nan
        model.get_layer("output").set_weights([kernel, bias])

    diverged = changed(earlier, tmp_path / "diverged", diverge)
    with pytest.raises(
        UserError,
        match=r"has weights that are not finite numbers \(layer output\): its training diverged",
    ):
        start(earlier_features, tmp_path / "one", warm_start=str(diverged))

    (diverged / MODEL).write_bytes((earlier / MODEL).read_bytes()[:5000])
    with pytest.raises(
        UserError, match=r"trainer\.warm_start '.*': .*model\.weights\.h5 cannot be read: .*\."
    ):
        start(earlier_features, tmp_path / "two", warm_start=str(diverged))


def test_the_key_follows_the_content_and_not_the_place(
    earlier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert TRAINER.external_digest is not None
    copy = shutil.copytree(earlier, tmp_path / "copy")
    (copy / "history.json").write_text("{}")  # nothing starts from it
    one, two = (TrainerParams(**SMALL, warm_start=str(place)) for place in (earlier, copy))
    assert one.key_fields() == two.key_fields() == TrainerParams(**SMALL).key_fields()

    key = TRAINER.external_digest(one, None)
    assert TRAINER.external_digest(two, tmp_path / "memory") == key != ""
    monkeypatch.setenv("SEQLINE_CACHE", str(tmp_path / "cache"))
    with serve() as cloud:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", cloud.url)
        cloud.buckets["bucket"] = {}
        staging.upload(earlier, staging.path_of("gs://bucket/some/model"))  # type: ignore[arg-type]
        remote = TrainerParams(**SMALL, warm_start="gs://bucket/some/model")
        TRAINER.check(remote)
        assert TRAINER.external_digest(remote, None) == key
        gcs._client_of.cache_clear()

    (copy / "vocabularies" / "tokens").write_bytes(b"other\n" * 10)
    assert TRAINER.external_digest(two, None) != key
