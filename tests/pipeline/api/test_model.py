"""seqline.load: places, rows of all kinds, and threads."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import seqline
from seqline.errors import UserError
from tests.support.models import fake_model

TEXTS = ["cat dog horse", "iron gold tin", "plum fig lime"]
LABELS = ["animals", "metals", "fruit"]


@pytest.fixture(scope="module")
def model(run: seqline.Run) -> seqline.Model:
    return run.model()


def test_a_model_answers_texts(model: seqline.Model) -> None:
    assert model.labels == ["animals", "fruit", "metals"]
    assert model.predict(TEXTS) == LABELS
    probabilities = model.predict_proba(TEXTS)
    assert probabilities.shape == (3, 3)
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(3), abs=1e-5)
    assert repr(model).endswith(": a text -> one of 3 labels (animals, fruit, metals)>")
    assert model.predict([]) == []
    assert model.predict_proba([]).shape == (0, 3)


@pytest.mark.parametrize("kind", [tuple, np.array, lambda texts: np.array(texts, object), iter])
def test_the_rows_may_be_any_kind_of_list(model: seqline.Model, kind: Any) -> None:
    assert model.predict(kind(TEXTS)) == LABELS


def test_many_rows_from_many_threads(model: seqline.Model) -> None:
    expected = model.predict_proba(TEXTS * 200)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: model.predict_proba(TEXTS * 200), range(8)))
    assert all((answer == expected).all() for answer in answers)


def test_places_of_a_model(run: seqline.Run, root: Path, tmp_path: Path) -> None:
    exported = run.artifacts["exporter"]
    shutil.copytree(exported / "saved_model", tmp_path / "topics" / "1")
    for place in (exported, str(exported / "saved_model"), tmp_path, tmp_path / "topics"):
        assert seqline.load(place).labels == ["animals", "fruit", "metals"]
    assert seqline.load(run.name, root=root).predict(TEXTS) == LABELS


def test_the_card_is_that_of_the_version(run: seqline.Run, tmp_path: Path) -> None:
    version = tmp_path / "1"
    shutil.copytree(run.artifacts["exporter"] / "saved_model", version)
    (version / "README.md").write_text("# Topics\n", encoding="utf-8")
    assert seqline.load(version).card == "# Topics\n"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("one text", "The rows are one text, 'one text'; give a list of rows, such as [text]."),
        (b"bytes", "The rows are one text, b'bytes'; give a list of rows"),
        (3, "The rows are a int; give a list of rows."),
        (["a", None], "Row 2 is None; this model reads a text."),
        ([["a"]], "Row 1 is ['a']; this model reads a text."),
    ],
)
def test_rows_that_are_none(model: seqline.Model, rows: Any, message: str) -> None:
    with pytest.raises(UserError) as error:
        model.predict(rows)
    assert str(error.value).startswith(message)


def test_tokens_and_sequences(tmp_path: Path) -> None:
    tokens = seqline.load(fake_model(tmp_path / "tokens", "tokens"))
    assert tokens.content == "tokens"
    assert tokens.predict([["a"], ["a", "b"]]) == tokens.predict((("a",), np.array(["a", "b"])))
    with pytest.raises(UserError, match="Row 1 is 'a b'; this model reads a list of tokens"):
        tokens.predict(["a b"])

    sequences = seqline.load(fake_model(tmp_path / "sequence", "sequence"))
    rows = np.ones((2, 3, sequences.dim))
    assert len(sequences.predict(rows)) == 2
    with pytest.raises(UserError, match=r"Row 1 is .*; this model reads a list of time steps"):
        sequences.predict([[["a"]]])


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("nowhere", "There is no folder 'nowhere'."),
        (3, "place is a int; give the path of a model"),
        (".", "No SavedModel at .*"),
    ],
)
def test_no_model(
    place: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        seqline.load(place)


def test_a_version_that_was_changed(run: seqline.Run, tmp_path: Path) -> None:
    version = tmp_path / "1"
    shutil.copytree(run.artifacts["exporter"] / "saved_model", version)
    (version / "assets.extra" / "manifest.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match=r"manifest\.json is damaged"):
        seqline.load(version)
    assert seqline.load(version, unverified=True).predict(TEXTS) == LABELS
