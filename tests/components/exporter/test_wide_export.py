"""Exports of Models with a wide part: parity, explanations, and planted defects."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from components.exporter import ExporterParams, comparison, export, parity, run
from components.exporter.comparison import ParityError
from components.exporter.parity_rows import choose_rows
from components.exporter.serving import load_parts
from components.trainer import run as run_trainer
from components.transform import run as run_transform
from seqline.component import Figures
from seqline.data.ngrams import Rows, folder_of
from seqline.model.spec import read_spec
from seqline.model.wide import WIDE, Wide
from tests.support.corpus import TRAINER_PARAMS, TRANSFORM_PARAMS

PARAMS = ExporterParams(top_k=2, parity_rows=20)
LONG = "The dog and apple, dog unheardof banana! " * 40


@pytest.fixture(scope="module")
def both(features: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Model of both parts."""
    output = tmp_path_factory.mktemp("model")
    params = TRAINER_PARAMS.model_copy(update={"wide": True, "num_epochs": 2})
    run_trainer(features=features, params=params, output=output)
    return output


@pytest.fixture(scope="module")
def exported(
    examples: Path, features: Path, both: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Figures]:
    output = tmp_path_factory.mktemp("exported")
    figures = run(examples=examples, features=features, model=both, params=PARAMS, output=output)
    return output / "saved_model", figures


def prove(saved_model: Path, examples: Path, features: Path, model: Path) -> None:
    with parity.ParityCheck() as check:
        rows = choose_rows(examples, features, PARAMS)
        check.run(saved_model, rows, features, model, PARAMS)


def test_it_answers_as_both_parts_pooled(exported: tuple[Path, Figures]) -> None:
    saved_model, figures = exported
    assert figures["table_dtype"] == "int16"
    assert 0 < figures["noise"] < 1e-4
    assert figures["difference"] < figures["tolerance"] / 5

    signatures = tf.saved_model.load(str(saved_model)).signatures
    assert sorted(signatures) == [
        "classify",
        "serving_default",
        "serving_examples",
        "serving_explain",
        "serving_fast",
        "serving_top_k",
        "transform_features",
    ]
    # What the network does not read counts, too: the first eight tokens are the same.
    ask = signatures["serving_default"]
    texts = ["the dog the dog the dog the dog", "the dog the dog the dog the dog apple pear plum"]
    [short, long] = ask(text=tf.constant(texts))["probabilities"].numpy()
    assert np.abs(short - long).max() > 0.01
    assert ask(text=tf.constant([], tf.string))["probabilities"].shape == (0, 3)


@pytest.mark.parametrize("text", ["the dog and apple, unheard", "", "zzzz", LONG])
def test_an_explanation_adds_up(exported: tuple[Path, Figures], text: str) -> None:
    loaded = tf.saved_model.load(str(exported[0]))
    texts = tf.constant([text, "gold"])
    every = loaded.signatures["serving_default"](text=texts)["probabilities"].numpy()
    got = loaded.signatures["serving_explain"](text=texts)
    got = {name: value.numpy() for name, value in got.items()}
    top = loaded.signatures["serving_top_k"](text=texts)
    np.testing.assert_array_equal(got["top_labels"], top["top_labels"])
    np.testing.assert_allclose(got["top_probabilities"], top["top_probabilities"], rtol=1e-5)

    log_odds = np.log(np.sort(every)[:, ::-1][:, :2]) - np.log(every).mean(axis=1, keepdims=True)
    added = got["scores"].sum(axis=1) + got["others"] + got["prior"] + got["recurrent"]
    np.testing.assert_allclose(added, log_odds, atol=1e-5)

    assert got["ngrams"].shape == got["counts"].shape == got["scores"].shape[:2]
    assert got["ngrams"].shape[1] <= 50
    assert (got["counts"][1] > 0).sum() == (got["ngrams"][1] != b"").sum() > 0
    assert got["ngrams"][1, 0] == b"gold"
    size = np.abs(got["scores"][0, :, 0])
    assert (np.diff(size) <= 0).all()
    assert got["wide_probabilities"].max() <= 1
    if text == LONG:
        counts = dict(zip(got["ngrams"][0].tolist(), got["counts"][0].tolist(), strict=True))
        assert counts[b"dog"] == 80
        assert counts[b"dog and"] == 40


def planted(wide: Wide, defect: str) -> Wide:
    """A wide part with a defect."""
    if defect == "swapped pool":
        return replace(wide, pool=wide.pool[::-1].copy())
    if defect == "another key":
        return replace(wide, sequence_keys=wide.sequence_keys + np.uint64(2))
    if defect == "another token":
        return replace(wide, codes=wide.codes[::-1].copy())
    if defect == "dropped feature":
        last = -len(wide.prior)
        return replace(
            wide,
            features=wide.features[:-1],
            character_keys=wide.character_keys[:-1],
            idf=wide.idf[:-1],
            weights=wide.weights[:last],
        )
    matrix = wide.matrix.copy()
    matrix[:, 0] *= 1.03
    return replace(wide, weights=matrix.reshape(-1))


@pytest.mark.parametrize(
    ("defect", "match"),
    [
        ("swapped pool", r"wide/pool\[\d\] of the export: it holds"),
        (
            "another key",
            r"wide/sequence_keys/displacements of the export: \d+ of \d+ integers",
        ),
        ("another token", "wide/codes of the export: .* of 201 integers are not the Model's"),
        ("wrong row", r"wide/characters/rows\[\d+, \d\] of the export: it holds"),
        ("dropped feature", r"wide/character_keys/\w+ of the export: .* integers"),
    ],
)
def test_tables_that_are_not_the_models_are_refused(
    features: Path, both: Path, tmp_path: Path, defect: str, match: str
) -> None:
    other = Path(shutil.copytree(both, tmp_path / "model"))
    planted(Wide.read(both / WIDE), defect).write(other / WIDE)
    parts = load_parts(features, other, "float32")
    checkpoint = tf.train.Checkpoint(served=parts.network, wide=parts.wide)
    checkpoint.write(str(tmp_path / "variables" / "variables"))
    with pytest.raises(ParityError, match=f"^Parity fails at {match}"):
        parity.compare_weights(tmp_path, features, both, PARAMS)


@pytest.mark.slow
@pytest.mark.parametrize("defect", ["swapped pool", "wrong row"])
def test_another_wide_part_answers_otherwise(
    examples: Path,
    features: Path,
    both: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    defect: str,
) -> None:
    other = Path(shutil.copytree(both, tmp_path / "model"))
    planted(Wide.read(both / WIDE), defect).write(other / WIDE)
    rows = choose_rows(examples, features, PARAMS)
    export.write(examples, features, other, PARAMS, tmp_path / "saved_model", rows)
    # The answers alone must tell.
    monkeypatch.setattr(parity, "compare_weights", lambda *_: None)
    with pytest.raises(ParityError, match="Rounding does not explain it"):
        prove(tmp_path / "saved_model", examples, features, both)


@pytest.mark.slow
def test_tables_are_float32_where_int16_changes_too_much(
    examples: Path, features: Path, both: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    derived = comparison.bound_of

    def strict(params: ExporterParams, noise: float) -> comparison.Bound:
        bound = derived(params, noise)
        return replace(bound, tolerance=0.0) if params.tables == "int16" else bound

    monkeypatch.setattr(comparison, "bound_of", strict)
    (tmp_path / "asked").mkdir()
    asked_for = PARAMS.model_copy(update={"table_dtype": "int16"})
    paths = {"examples": examples, "features": features, "model": both}
    with pytest.raises(ParityError, match=r"Export with --set exporter\.table_dtype=float32\."):
        run(**paths, params=asked_for, output=tmp_path / "asked")

    figures = run(**paths, params=PARAMS, output=tmp_path)
    assert figures["table_dtype"] == "float32"


def test_the_types_of_tables(both: Path) -> None:
    spec = read_spec(both)
    plain = replace(spec, wide=False)
    accepting = ExporterParams(parity_tolerance=0.1)
    assert export.table_dtypes(ExporterParams(), spec) == ["int16", "float32"]
    assert export.table_dtypes(ExporterParams(), plain) == ["float32"]
    assert export.table_dtypes(accepting, spec) == ["float32"]
    assert export.table_dtypes(ExporterParams(table_dtype="int8"), spec) == ["int8"]


@pytest.mark.slow
def test_a_wide_part_alone(examples: Path, features: Path, tmp_path: Path) -> None:
    params = TRAINER_PARAMS.model_copy(update={"wide": True, "recurrent": False})
    (tmp_path / "model").mkdir()
    run_trainer(features=features, params=params, output=tmp_path / "model")
    figures = run(
        examples=examples,
        features=features,
        model=tmp_path / "model",
        params=ExporterParams(table_dtype="bfloat16", parity_rows=20),
        output=tmp_path / "exported",
    )
    assert figures["max_difference"] < 0.1

    loaded = tf.saved_model.load(str(tmp_path / "exported" / "saved_model"))
    got = loaded.signatures["serving_explain"](text=tf.constant(["gold and iron"]))
    assert not {"recurrent", "recurrent_probabilities"} & set(got)

    # It is `Wide` itself.
    rows = Rows.read(next(folder_of(features, "eval").glob("*.arrow")))
    wide = Wide.read(tmp_path / "model" / WIDE)
    examples_of_eval = choose_rows(examples, features, PARAMS).examples[:3]
    answers = loaded.signatures["serving_examples"](examples=tf.constant(examples_of_eval))
    expected = np.exp(wide.log_probabilities(rows))[:3]
    np.testing.assert_allclose(answers["probabilities"], expected, atol=0.02)


@pytest.mark.slow
def test_characters(examples: Path, tmp_path: Path) -> None:
    for name in ("features", "model"):
        (tmp_path / name).mkdir()
    transform = TRANSFORM_PARAMS.model_copy(update={"tokens": "char"})
    run_transform(examples=examples, params=transform, output=tmp_path / "features")
    trainer = TRAINER_PARAMS.model_copy(update={"wide": True, "num_epochs": 1})
    run_trainer(features=tmp_path / "features", params=trainer, output=tmp_path / "model")
    figures = run(
        examples=examples,
        features=tmp_path / "features",
        model=tmp_path / "model",
        params=PARAMS,
        output=tmp_path / "exported",
    )
    assert figures["difference"] < figures["tolerance"] / 5

    loaded = tf.saved_model.load(str(tmp_path / "exported" / "saved_model"))
    got = loaded.signatures["serving_explain"](text=tf.constant(["The tin, \u00e9!"]))
    named = [name.decode() for name in got["ngrams"].numpy()[0].tolist()]
    assert "tin" in named
