"""A damaged Model to start from is one line, before any stage runs."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from components.trainer import TrainerParams, check
from components.trainer.earlier import HDF5, started
from seqline.errors import UserError
from seqline.model.spec import Spec
from seqline.storage.integrity import digests_of

SPEC = Spec(
    num_tokens=2,
    num_classes=2,
    max_length=8,
    embedding_dim=64,
    rnn_units=64,
    bidirectional=True,
    pooling="max",
    masking=True,
    recurrent_gain=0.5,
    embedding_scale=0.05,
    word_dropout=0.1,
    dropout=0.1,
    skip_dim=0,
    skip_gain=3.0,
    skip_dropout=0.1,
    branch_dropout=0.5,
    seed=0,
)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A Model with the shape that the parameters have by default."""
    folder = tmp_path / "model"
    (folder / "vocabularies").mkdir(parents=True)
    (folder / "network.json").write_text(json.dumps(asdict(SPEC)))
    (folder / "model.weights.h5").write_bytes(HDF5 + b"...")
    (folder / "vocabularies" / "tokens").write_text("the\nfilm\n")
    (folder / "vocabularies" / "labels").write_text("bad\ngood\n")
    (folder / "start.json").write_text('{"in_a_row": 2}')
    return folder


def replaced(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(content)


def a_folder(name: str) -> Callable[[Path], object]:
    def put(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).mkdir()

    return put


def field(**values: object) -> Callable[[Path], object]:
    return replaced("network.json", json.dumps({**asdict(SPEC), **values}).encode())


DAMAGES: list[tuple[Callable[[Path], object], str]] = [
    (lambda folder: (folder / "network.json").unlink(), r"holds no model\.weights\.h5 with its"),
    (a_folder("network.json"), r"holds no model\.weights\.h5 with its network\.json"),
    (replaced("network.json", b""), "network.json is damaged: it is not JSON"),
    (replaced("network.json", b'{"num_tokens": 2'), "network.json is damaged: it is not JSON"),
    (replaced("network.json", b"\xff{}"), "network.json is damaged: it is not JSON"),
    (replaced("network.json", b"[1]"), r"it holds \[1\], not the fields of a network"),
    (replaced("network.json", b"{}"), "network.json is damaged: it has no num_tokens"),
    (field(rnn_units="64"), 'rnn_units is "64"'),
    (field(rnn_units=0), "rnn_units is 0"),
    (field(rnn_units=None), "rnn_units is null"),
    (field(bidirectional=1), "bidirectional is 1"),
    (field(num_classes=True), "num_classes is true"),
    (field(dropout=float("nan")), "dropout is NaN"),
    (field(pooling="least"), 'pooling is "least"'),
    (field(other=1), 'no network has a field "other"'),
    (field(rnn_units=5), r"its rnn_units is 5, here 64\. Set trainer\.rnn_units = 5"),
    (replaced("model.weights.h5", b""), "model.weights.h5 is damaged: it is not an HDF5 file"),
    (a_folder("model.weights.h5"), r"holds no model\.weights\.h5 with its network\.json"),
    (lambda folder: shutil.rmtree(folder / "vocabularies"), "vocabularies/labels is missing"),
    (
        lambda folder: (folder / "vocabularies" / "tokens").unlink(),
        "vocabularies/tokens is missing beside its network",
    ),
    (a_folder("vocabularies/tokens"), "vocabularies/tokens cannot be read: Is a directory"),
    (
        replaced("vocabularies/tokens", b""),
        "vocabularies/tokens has 0 whole lines, and its network 2 tokens",
    ),
    (replaced("vocabularies/tokens", b"the\nfil"), "tokens has 1 whole lines, and its network 2"),
    (replaced("vocabularies/labels", b"bad\n"), "labels has 1 whole lines, and its network 2"),
    (replaced("start.json", b"{"), "start.json is damaged: it is not JSON"),
    (replaced("start.json", b"[]"), "start.json is damaged: it has no number in_a_row"),
    (replaced("start.json", b'{"in_a_row": "2"}'), "it has no number in_a_row"),
    (a_folder("start.json"), "start.json cannot be read: Is a directory"),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGES)
def test_a_damaged_model_is_refused_in_one_line(
    model: Path, damage: Callable[[Path], object], message: str
) -> None:
    params = TrainerParams(warm_start=str(model))
    check(params)
    damage(model)
    with pytest.raises(UserError, match=message) as caught:
        check(params)
    assert str(caught.value).startswith(f"trainer.warm_start {str(model)!r}")
    assert "\n" not in str(caught.value)


def test_a_model_of_sequences_has_no_tokens(model: Path) -> None:
    field(dim=3, num_tokens=0, skip_dim=64)(model)
    (model / "vocabularies" / "tokens").unlink()
    check(TrainerParams(warm_start=str(model)))


def test_a_cold_start_has_no_record(model: Path) -> None:
    assert started("model", model) == {"in_a_row": 2}
    (model / "start.json").unlink()
    assert started("model", model) == {}


def test_weights_that_changed_after_their_run_are_refused(model: Path) -> None:
    """A file of weights has no checksums of its own."""
    digests = digests_of(model)
    record = {"files": {name: asdict(file) for name, file in digests.items()}}
    (model / "execution.json").write_text(json.dumps(record))
    (model / "notes").write_text("mine")
    params = TrainerParams(warm_start=str(model))
    check(params)
    (model / "model.weights.h5").write_bytes(HDF5 + b"..!")
    with pytest.raises(UserError) as error:
        check(params)
    assert str(error.value) == (
        f"trainer.warm_start {str(model)!r}: model.weights.h5 changed after it was written. "
        "Name another Model, or copy it again with all its files."
    )
