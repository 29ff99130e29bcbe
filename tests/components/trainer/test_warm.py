"""A new network takes over an earlier Model, by token and by label, and word vectors."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.trainer import (
    TRAINER,
    run,
)
from components.trainer.warm import matches, vocabulary
from seqline.component import Figures
from seqline.data.features import MODEL
from seqline.errors import UserError
from seqline.model import network
from seqline.model.network import load
from tests.support.corpus import TRAINER_PARAMS
from tests.support.warm import (
    LABELS,
    STILL,
    TEXTS,
    WHOLE,
    WORDS,
    sequence_features,
    start,
    text_features,
)


def answers(model: Path, texts: Sequence[Sequence[bytes]]) -> np.ndarray:
    """Probabilities [texts, labels] of texts that are made of words."""
    ids = {token: number for number, token in enumerate(vocabulary(model, "tokens"), start=1)}
    time = max(map(len, texts))
    rows = [
        [ids.get(token, len(ids) + 1) for token in text] + [0] * (time - len(text))
        for text in texts
    ]
    return np.asarray(network.load(model)[0](np.array(rows, np.int64)))


def table(model: Path, name: str) -> dict[bytes, np.ndarray]:
    """Returns {token: its row of the embedding}."""
    rows = network.load(model)[0].get_layer(name).get_weights()[0]
    return dict(zip([b"<pad>", *vocabulary(model, "tokens"), b"<oov>"], rows, strict=False))


def test_with_other_ids_and_classes_in_another_order_it_answers_as_before(
    earlier: Path, tmp_path: Path
) -> None:
    """Bigrams are included: their buckets follow from ids, so all of them change."""
    features = text_features(tmp_path / "features", WORDS[9::-1], LABELS[::-1])
    figures = start(features, tmp_path / "warm", seed=5, warm_start=str(earlier))["warm_start"]
    known = [text for text in TEXTS if not set(text) - set(WORDS[:10])]
    assert len({pair for text in known for pair in pairwise(text)}) > 20
    np.testing.assert_allclose(
        answers(tmp_path / "warm", known), answers(earlier, known)[:, ::-1], rtol=0, atol=1e-6
    )

    counts = [
        figures[f"{kind}_{how}"]
        for kind in ("tokens", "labels")
        for how in ("carried", "new", "lost")
    ]
    assert counts == [10, 0, 0, 3, 0, 0]
    assert (figures["bigrams_carried"] > 20, figures["bigrams_new"], figures["in_a_row"]) == (
        True,
        0,
        1,
    )

    # The rows of bigrams matter: without them the answers differ.
    model, spec = network.load(tmp_path / "warm")
    (rows,) = model.get_layer("skip_embedding").get_weights()
    rows[spec.num_tokens + 2 :] = 0
    model.get_layer("skip_embedding").set_weights([rows])
    network.save(model, spec, tmp_path / "warm")

    assert np.abs(answers(tmp_path / "warm", known) - answers(earlier, known)[:, ::-1]).max() > 0.01


def test_new_tokens_and_classes_start_as_ever_and_lost_ones_leave_nothing(
    earlier: Path, tmp_path: Path
) -> None:
    tokens, labels = [b"new", *WORDS[2:], b"newer"], [b"zero", LABELS[2], LABELS[0]]
    features = text_features(tmp_path / "features", tokens, labels)
    warm, cold = tmp_path / "warm", tmp_path / "cold"
    figures = start(features, warm, warm_start=str(earlier))["warm_start"]
    assert start(features, cold) == {}

    counts = [
        figures[f"{kind}_{how}"]
        for kind in ("tokens", "labels")
        for how in ("carried", "new", "lost")
    ]
    assert counts == [8, 4, 2, 2, 1, 1]

    for name in ("embedding", "skip_embedding"):
        before, fresh, after = (table(model, name) for model in (earlier, cold, warm))
        for token in (b"<pad>", b"<oov>", *WORDS[2:10]):
            np.testing.assert_array_equal(after[token], before[token])
        for token in (b"new", b"newer", *WORDS[10:]):
            np.testing.assert_array_equal(after[token], fresh[token])
            assert np.abs(after[token]).max() > 0

    # Among the classes that were known, the odds are those of before; the column of the new one is
    # a cold start's.
    known = [text for text in TEXTS if not set(text) - set(WORDS[2:10])]
    odds_before, odds = answers(earlier, known), answers(warm, known)
    np.testing.assert_allclose(
        np.log(odds[:, 1] / odds[:, 2]), np.log(odds_before[:, 2] / odds_before[:, 0]), atol=1e-4
    )
    for after, fresh in zip(
        *(network.load(model)[0].get_layer("output").get_weights() for model in (warm, cold)),
        strict=True,
    ):
        np.testing.assert_array_equal(after[..., 0], fresh[..., 0])


def test_a_row_that_bigrams_share_starts_with_their_mean(tmp_path: Path) -> None:
    """All bigrams share one bucket, and only some were in the earlier vocabulary.

    A new one counts as zeros, as often as it occurs.
    """
    one, other = [[b"ant", b"bee"]] * 40, [[b"ant", b"bee"]] * 34 + [[b"bee", b"cow"]] * 14
    settings = {"bigram_buckets": 1, "bigram_min_count": 1}
    start(
        text_features(tmp_path / "one", WORDS[:2], LABELS, one),
        tmp_path / "earlier",
        learned=True,
        **settings,
    )

    # Train has 18 and 14 of them.
    features = text_features(tmp_path / "two", WORDS[:3], LABELS, other)
    figures = start(features, tmp_path / "warm", **settings, warm_start=str(tmp_path / "earlier"))[
        "warm_start"
    ]
    assert (figures["bigrams_carried"], figures["bigrams_new"]) == (1, 0)

    before, after = (
        network.load(tmp_path / name)[0].get_layer("skip_embedding").get_weights()[0]
        for name in ("earlier", "warm")
    )
    np.testing.assert_allclose(after[-1], before[-1] * 18 / 32, rtol=1e-6)


def test_without_bigrams_on_one_side_the_others_start_as_ever(
    earlier: Path, earlier_features: Path, tmp_path: Path
) -> None:
    start(earlier_features, tmp_path / "none", learned=True, bigram_buckets=0)
    figures = start(earlier_features, tmp_path / "warm", warm_start=str(tmp_path / "none"))[
        "warm_start"
    ]
    assert (figures["bigrams_carried"], figures["bigrams_new"] > 0) == (0, True)
    assert (
        "bigrams_new"
        not in start(earlier_features, tmp_path / "to", bigram_buckets=0, warm_start=str(earlier))[
            "warm_start"
        ]
    )


def test_the_same_vocabulary_is_the_same_model(
    features: Path, model: Path, tmp_path: Path, figures: dict[str, Figures]
) -> None:
    (tmp_path / "warm").mkdir()
    params = TRAINER_PARAMS.with_values({**STILL, **WHOLE, "warm_start": str(model)})
    warm_figures = run(features=features, params=params, output=tmp_path / "warm")
    assert (tmp_path / "warm" / MODEL).read_bytes() == (model / MODEL).read_bytes()
    assert warm_figures["eval_accuracy"] == figures["trainer"]["eval_accuracy"]
    assert TRAINER.describe(warm_figures).endswith(
        f"warm start with {warm_figures['warm_start']['tokens_carried']} of"
        f" {warm_figures['warm_start']['tokens_carried']} tokens, 3 of 3 labels"
    )


def test_shrinking_mixes_what_was_learned_with_a_cold_start(
    earlier: Path, earlier_features: Path, tmp_path: Path
) -> None:
    start(earlier_features, tmp_path / "cold", seed=3)
    start(
        earlier_features,
        tmp_path / "shrunk",
        seed=3,
        warm_start=str(earlier),
        warm_start_shrink=0.25,
    )

    models = [
        network.load(path, training=True)[0]
        for path in (earlier, tmp_path / "cold", tmp_path / "shrunk")
    ]
    for learned, fresh, mixed in zip(
        *([weight.numpy() for weight in model.trainable_weights] for model in models), strict=True
    ):
        np.testing.assert_allclose(mixed, 0.25 * learned + 0.75 * fresh, atol=1e-6)


def test_what_was_learned_of_a_token_counts_more_than_its_vector(
    earlier: Path, tmp_path: Path
) -> None:
    features = text_features(tmp_path / "features", WORDS, LABELS)
    (tmp_path / "vectors.txt").write_bytes(b"ant 1 2 3 4\nlark 5 6 7 8\n")
    figures = start(
        features,
        tmp_path / "warm",
        warm_start=str(earlier),
        embeddings=str(tmp_path / "vectors.txt"),
    )
    assert figures["num_tokens_with_vectors"] == 2
    rows = table(tmp_path / "warm", "embedding")
    assert rows[b"lark"].tolist() == [5, 6, 7, 8]
    np.testing.assert_array_equal(rows[b"ant"], table(earlier, "embedding")[b"ant"])


def test_sequences_carry_all_but_new_classes(tmp_path: Path) -> None:
    earlier = tmp_path / "earlier"
    start(sequence_features(tmp_path / "one", LABELS[:2]), earlier, learned=True)
    features = sequence_features(tmp_path / "two", [LABELS[1], b"new"])

    # The width of embeddings that sequences do not have need not be the same.
    figures = start(features, tmp_path / "warm", embedding_dim=9, warm_start=str(earlier))[
        "warm_start"
    ]
    assert figures == {"labels_carried": 1, "labels_new": 1, "labels_lost": 1, "in_a_row": 1}

    before, after = (network.load(path)[0] for path in (earlier, tmp_path / "warm"))
    for name in ("rnn", "rnn_backward", "skip_embedding"):
        for old, new in zip(
            *(model.get_layer(name).get_weights() for model in (before, after)), strict=True
        ):
            np.testing.assert_array_equal(old, new)
    with pytest.raises(
        UserError,
        match=(
            "is a network for sequences of 2 numbers a time step, and these Features hold sequences"
            " of 3"
        ),
    ):
        start(
            sequence_features(tmp_path / "three", LABELS[:2], dim=3),
            tmp_path / "other",
            warm_start=str(earlier),
        )
    with pytest.raises(
        UserError,
        match=(
            "is a network for sequences of 2 numbers a time step, and these Features hold token ids"
        ),
    ):
        start(
            text_features(tmp_path / "four", WORDS, LABELS),
            tmp_path / "text",
            warm_start=str(earlier),
        )


SOME_LINES = st.lists(st.sampled_from([b"", b" ", b"a", b"b", b"ab", b"\xff"]), unique=True)


@given(SOME_LINES, SOME_LINES)
def test_matches_are_the_lines_in_both(before: list[bytes], now: list[bytes]) -> None:
    common = matches(before, now)
    assert (
        [before[rank] for rank in common.before]
        == [now[rank] for rank in common.now]
        == [line for line in now if line in set(before)]
    )
    assert common.figures("lines") == {
        "lines_carried": len(set(before) & set(now)),
        "lines_new": len(set(now) - set(before)),
        "lines_lost": len(set(before) - set(now)),
    }


def trained(features: Path, output: Path, **settings: object) -> tuple[keras.Model, Figures]:
    output.mkdir()
    figures = run(
        features=features,
        params=TRAINER_PARAMS.with_values({"num_epochs": 1, **settings}),
        output=output,
    )
    return load(output)[0], figures


def test_embeddings_start_from_the_vectors_of_a_file(features: Path, tmp_path: Path) -> None:
    tokens = vocabulary(features, "tokens")
    lines = [
        b"2 8",
        tokens[3] + b" 1 2 3 4 5 6 7 8",
        b"elsewhere 0 0 0 0 0 0 0 0",
        tokens[0] + b" .5 .5 .5 .5 -1e1 0 0 0 ",
    ]
    (tmp_path / "vectors.txt").write_bytes(b"\n".join(lines) + b"\n")
    settings = {"learning_rate": 1e-30, "embeddings": str(tmp_path / "vectors.txt")}
    network, figures = trained(features, tmp_path / "model", **settings)
    table = np.asarray(network.get_layer("embedding").get_weights()[0])

    assert figures["num_tokens_with_vectors"] == 2
    np.testing.assert_allclose(
        table[[4, 1]], [[1, 2, 3, 4, 5, 6, 7, 8], [0.5, 0.5, 0.5, 0.5, -10, 0, 0, 0]], atol=1e-20
    )

    (tmp_path / "vectors.txt").write_bytes(tokens[3] + b" 1 2 3\n")
    with pytest.raises(
        UserError, match=r"vectors\.txt:1 has 3 numbers; trainer\.embedding_dim is 8"
    ):
        trained(features, tmp_path / "shorter", **settings)

    (tmp_path / "vectors.txt").write_bytes(b"elsewhere 0 0 0 0 0 0 0 0\n")
    with pytest.raises(UserError, match="no vector for any of the"):
        trained(features, tmp_path / "none", **settings)


def test_duplicates_and_tokens_that_never_occur_are_counted_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    features = text_features(tmp_path / "features", WORDS, LABELS)
    vectors = tmp_path / "vectors.txt"
    vectors.write_bytes(b"9 4\nant 1 2 3 4\nAnt 5 6 7 8\nant 5 6 7 8\na\x07 1 1 1 1\n")
    figures = start(features, tmp_path / "warm", embeddings=str(vectors))

    assert figures["num_tokens_with_vectors"] == 1
    assert figures["num_duplicate_vectors"] == 1
    assert table(tmp_path / "warm", "embedding")[b"ant"].tolist() == [1, 2, 3, 4]
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        f"trainer.embeddings {vectors}: its first line says 9 vectors, it holds 4. Was it cut off?",
        f"trainer.embeddings {vectors}: 1 of 4 tokens can never occur: 1 control characters"
        " ('a\\x07' in line 5).",
        f"trainer.embeddings {vectors}: 1 lines repeat a known token; the first one counts.",
    ]


def test_vectors_are_refused_for_sequences(tmp_path: Path) -> None:
    features = sequence_features(tmp_path / "features", LABELS)
    (tmp_path / "vectors.txt").write_bytes(b"ant 1 2 3 4\n")
    with pytest.raises(UserError, match="gives vectors of tokens, and these Features hold seq"):
        start(features, tmp_path / "warm", embeddings=str(tmp_path / "vectors.txt"))
