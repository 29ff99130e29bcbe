"""An export that does not answer as it was trained is refused, with the row."""

import re
import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from tensorflow.core.protobuf import saved_model_pb2

from components.exporter import ExporterParams, export, parity, run
from components.exporter.comparison import SIGNATURES, ParityError
from components.exporter.comparison import compare as compare_answers
from components.exporter.folded import FoldedNetwork, fold
from components.exporter.parity_rows import ParityRows, choose_rows
from seqline.component import Figures
from seqline.errors import UserError
from seqline.model import network

PARAMS = ExporterParams()


@pytest.fixture
def exported(saved_model: Path, tmp_path: Path) -> Path:
    """A finished export, to be damaged."""
    return Path(shutil.copytree(saved_model / "saved_model", tmp_path / "saved_model"))


def prove(exported: Path, examples: Path, features: Path, model: Path) -> None:
    with parity.ParityCheck() as check:
        check.run(exported, choose_rows(examples, features, PARAMS), features, model, PARAMS)


def test_a_changed_line_of_the_vocabulary(
    exported: Path, examples: Path, features: Path, model: Path
) -> None:
    path = exported / "assets" / "tokens"
    lines = path.read_text().split("\n")
    place = lines.index("apple")
    lines[place] = "appel"
    path.write_text("\n".join(lines))

    with pytest.raises(
        ParityError,
        match=(
            r"Parity fails at Split-\w+/data_tfrecord-[\d-]+\.gz, row \d+ \('The .*apple.*the"
            r" export reads ids"
        ),
    ):
        prove(exported, examples, features, model)


def test_a_changed_normalisation(
    exported: Path, examples: Path, features: Path, model: Path
) -> None:
    path = exported / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    changed = 0

    for function in saved.meta_graphs[0].graph_def.library.function:
        for node in function.node_def:
            # What makes punctuation tokens of their own leaves the comma where it is.
            if (
                node.op == "StaticRegexReplace"
                and node.attr["pattern"].s == rb"([^\p{L}\p{M}\p{N} ])"
            ):
                node.attr["pattern"].s = rb"([^\p{L}\p{M}\p{N} ,])"
                changed += 1

    assert changed
    path.write_bytes(saved.SerializeToString(deterministic=True))
    with pytest.raises(
        ParityError,
        match=r"row 1 \('The .*: the export reads ids \[.*; the Features hold \[",
    ):
        prove(exported, examples, features, model)


def export_of(
    weights: dict[str, list[np.ndarray]], examples: Path, features: Path, model: Path, folder: Path
) -> Path:
    """An export of a Model with other weights in some layers."""
    trained, spec = network.load(model, training=True)
    for layer, values in weights.items():
        trained.get_layer(layer).set_weights(values)
    (folder / "other").mkdir(parents=True)
    network.save(trained, spec, folder / "other")
    rows = choose_rows(examples, features, PARAMS)
    export.write(examples, features, folder / "other", PARAMS, folder / "saved_model", rows)
    keras.backend.clear_session()
    return folder / "saved_model"


def weights_of(model: Path, layer: str) -> list[np.ndarray]:
    return [np.asarray(value) for value in network.load(model)[0].get_layer(layer).get_weights()]


@pytest.mark.slow
def test_weights_that_are_off_by_a_thousandth(
    examples: Path, features: Path, model: Path, tmp_path: Path
) -> None:
    kernel, bias = weights_of(model, "output")
    exported = export_of(
        {"output": [kernel, bias + np.array([1e-3, 0, 0], np.float32)]},
        examples,
        features,
        model,
        tmp_path,
    )

    with pytest.raises(
        ParityError,
        match=r"^Parity fails at bias\[0\] of the export: it holds .* 1\.0e-03 apart, more than",
    ) as error:
        prove(exported, examples, features, model)
    assert "\n" not in str(error.value)
    assert isinstance(error.value, UserError)

    kernel, recurrent, bias = weights_of(model, "rnn")
    exported = export_of(
        {"rnn": [kernel, recurrent * np.float32(1.001), bias]},
        examples,
        features,
        model,
        tmp_path / "recurrent",
    )

    with pytest.raises(
        ParityError, match=r"^Parity fails at layers/0/0/recurrent\[\d, \d\] of the export"
    ):
        parity.compare_weights(exported, features, model, PARAMS)

    [rows] = weights_of(model, "embedding")
    exported = export_of(
        {"embedding": [np.roll(rows, 1, axis=0)]}, examples, features, model, tmp_path / "shifted"
    )
    with pytest.raises(
        ParityError, match=r"^Parity fails at layers/0/0/table/rows\[\d+, \d\] of the export"
    ):
        parity.compare_weights(exported, features, model, PARAMS)


def test_labels_in_another_order(
    exported: Path, examples: Path, features: Path, model: Path
) -> None:
    path = exported / "assets" / "labels"
    assert path.read_text() == "animals\nfruit\nmetals\n"
    path.write_text("fruit\nanimals\nmetals\n")
    # What reads a label's number and what writes its name share the file.
    with pytest.raises(
        ParityError,
        match=(
            r"row 1 \('The dog and horse, No\. 0!'\): the export reads label 1; the Features"
            r" hold 0\."
        ),
    ):
        prove(exported, examples, features, model)


@pytest.fixture(scope="module")
def compared(
    examples: Path, features: Path, model: Path
) -> tuple[ParityRows, dict[str, np.ndarray], np.ndarray, float]:
    """(the rows, what the Features hold, the trained network's probabilities, its noise)."""
    rows = choose_rows(examples, features, PARAMS)
    transformed, probabilities = parity.expected(rows, features, model)
    return rows, transformed, probabilities, parity.noise_of(rows, features, model, probabilities)


def compare(
    compared: tuple[ParityRows, dict[str, np.ndarray], np.ndarray, float],
    answer: np.ndarray,
    params: ExporterParams = PARAMS,
    **outputs: np.ndarray,
) -> Figures:
    """The figures of an export that answers these probabilities.

    Args:
        outputs: of serving_fast, in place of what follows from the probabilities.
    """
    rows, transformed, probabilities, noise = compared
    class_ids = answer.argmax(axis=1)
    answers = {f"transform_features.{name}": value for name, value in transformed.items()}
    for signature in SIGNATURES[1:]:
        answers |= {f"{signature}.probabilities": answer, f"{signature}.class_id": class_ids}
        answers[f"{signature}.label"] = np.array(rows.labels)[class_ids]
    answers |= {f"serving_fast.{name}": value for name, value in outputs.items()}
    return compare_answers(rows, transformed, probabilities, answers, params, noise)


def served_probabilities(
    weights: dict[str, list[np.ndarray]], model: Path, transformed: dict[str, np.ndarray]
) -> np.ndarray:
    """The answers of a served network with other weights in some layers."""
    trained, spec = network.load(model)
    every = {layer.name: layer.get_weights() for layer in trained.layers if layer.weights}
    answer: np.ndarray = (
        FoldedNetwork(spec, every | weights)
        .probabilities(transformed["ids"], transformed["length"])
        .numpy()
    )
    return answer


def test_rounding_passes(compared: Any, features: Path, model: Path) -> None:
    rows, transformed, _, noise = compared
    assert 0 < noise < 1e-6
    others = parity.expected(rows, features, model, batch_size=7)[1]
    figures = compare(compared, others)
    assert figures["difference"] <= figures["tolerance"] / 10
    assert figures["tolerance"] == 5e-5

    # Sums in another order: the units of the state, permuted everywhere.
    order = np.random.default_rng(0).permutation(8)
    kernel, recurrent, bias = weights_of(model, "rnn")
    output, output_bias = weights_of(model, "output")

    permuted = {
        "rnn": [kernel[:, order], recurrent[order][:, order], bias[order]],
        "output": [np.concatenate([output[:8][order], output[8:]]), output_bias],
    }
    assert (
        0
        <= compare(compared, served_probabilities(permuted, model, transformed))["difference"]
        <= 1e-6
    )

    # Weights that are off by a millionth.
    random = np.random.default_rng(0)
    noisy = {
        "output": [
            output * (1 + 1e-6 * random.normal(size=output.shape)).astype(np.float32),
            output_bias,
        ]
    }

    assert (
        1e-7
        < compare(compared, served_probabilities(noisy, model, transformed))["difference"]
        <= 1e-5
    )


def test_a_bias_that_is_off_is_no_rounding_unless_it_is_accepted(
    compared: Any, model: Path
) -> None:
    _, transformed, _, noise = compared
    kernel, bias = weights_of(model, "output")
    off = served_probabilities(
        {"output": [kernel, bias + np.array([1e-3, 0, 0], np.float32)]}, model, transformed
    )
    with pytest.raises(ParityError) as error:
        compare(compared, off)

    match = re.fullmatch(
        r"Parity fails at Split-eval/\S+\.gz, row 1 \('The dog and horse, No\. 0!'\):"
        r" serving_default of the export gives probabilities "
        r"\[0\.\d+, 0\.\d+ \.\.\.\]; the trained network gives \[0\.\d+, 0\.\d+ \.\.\.\]; their"
        r" log-odds are 1\.0e-03 apart, more than 5e-05 "
        r"\(what float32 may do to any network\)\. Rounding does not explain it: the network's own"
        r" is (\S+)\. Please report it with the Model; "
        r"if you accept such answers, --set exporter\.parity_tolerance=2e-03 exports it\. Nothing"
        r" was exported\.",
        str(error.value),
    )
    assert match is not None
    assert float(match[1]) == pytest.approx(noise, rel=0.1)

    # The remedy that the message names works.
    accepted = compare(compared, off, ExporterParams(parity_tolerance=2e-3))
    assert accepted["difference"] == pytest.approx(1e-3, rel=1e-3)
    assert accepted["tolerance"] == 2e-3


def test_a_wrong_network_or_a_broken_weight_is_no_rounding(compared: Any, model: Path) -> None:
    _, transformed, probabilities, _ = compared

    # A bias is left out; a direction is reversed.
    recurrent_kernel, recurrent, recurrent_bias = weights_of(model, "rnn")
    without = served_probabilities(
        {"rnn": [recurrent_kernel, recurrent, 0 * recurrent_bias]}, model, transformed
    )
    turned = fold(*network.load(model))
    turned.layers[0][0].backward = True

    for answer in (
        without,
        turned.probabilities(transformed["ids"], transformed["length"]).numpy(),
    ):
        with pytest.raises(ParityError, match="Rounding does not explain it"):
            compare(compared, answer)

    nothing = np.full_like(probabilities, np.nan)
    with pytest.raises(
        ParityError,
        match=r"apart, more than 5e-05 .* A weight of the Model is not a finite number",
    ):
        compare(compared, nothing)


def test_labels_differ_only_where_two_classes_are_as_good_as_equal(compared: Any) -> None:
    rows, transformed, probabilities, noise = compared
    other = probabilities.argmax(axis=1)
    second = int(np.argsort(probabilities[0])[-2])
    other[0] = second

    with pytest.raises(
        ParityError,
        match=(
            r"row 1 \(.*: serving_fast of the export answers '\w+'; the trained network answers"
            r" '\w+', 0\."
        ),
    ):
        compare(compared, probabilities, class_id=other, label=np.array(rows.labels)[other])

    names = np.array(rows.labels)[[1, 0, 2]][probabilities.argmax(axis=1)]
    with pytest.raises(
        ParityError,
        match=(
            r"row 1 \(.*: serving_fast of the export gives class_id 0 the label 'fruit'; the"
            r" Features call it"
        ),
    ):
        compare(compared, probabilities, label=names)

    equal = probabilities.copy()
    equal[0, second] = equal[0].max() * (1 - 1e-6)
    same = (rows, transformed, equal, noise)
    assert (
        compare(same, equal, class_id=other, label=np.array(rows.labels)[other])["difference"] == 0
    )


def test_a_network_that_amplifies_rounding_is_named_as_such(compared: Any) -> None:
    rows, transformed, probabilities, _ = compared
    answer = probabilities.copy()
    answer[0] = answer[0] * np.array([1, 1.1, 1], np.float32)
    with pytest.raises(
        ParityError,
        match=(
            r"This network amplifies rounding: .* 5\.0e-02 apart .* Train with a smaller"
            r" trainer.recurrent_gain"
        ),
    ):
        compare((rows, transformed, probabilities, 0.05), answer)


def test_a_file_that_tensorflow_cannot_read(
    exported: Path, examples: Path, features: Path, model: Path
) -> None:
    (exported / "saved_model.pb").write_bytes(b"no model")
    with pytest.raises(ParityError, match="A plain TensorFlow process cannot serve the export"):
        prove(exported, examples, features, model)


def test_the_longest_row_is_among_those_compared(examples: Path, features: Path) -> None:
    few = ExporterParams(parity_rows=3)
    rows = choose_rows(examples, features, few)
    everything = choose_rows(examples, features, PARAMS)
    splits = [split for split, _, _ in rows.places]
    assert splits == ["eval"] * 4 + ["train"] * 16 + ["test"] * 16
    assert [place for _, _, place in rows.places[:3]] == [1, 2, 3]
    of_eval = [
        example
        for (split, _, _), example in zip(everything.places, everything.examples, strict=True)
        if split == "eval"
    ]
    assert len(rows.examples[3]) == max(map(len, of_eval)) > max(map(len, rows.examples[:3]))


def test_narrow_tables_say_what_they_cost(
    examples: Path, features: Path, model: Path, tmp_path: Path
) -> None:
    figures = run(
        examples=examples,
        features=features,
        model=model,
        params=ExporterParams(table_dtype="int8", top_k=2),
        output=tmp_path,
    )
    assert figures["table_dtype"] == "int8"
    assert figures["num_measured"] == 23
    assert figures["accuracy_float32"] == 1.0
    assert -0.1 <= figures["accuracy_change"] <= 0
    assert 1e-5 < figures["max_difference"] < 0.1
