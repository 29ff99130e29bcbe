"""How far rounding moves an export's answers, and how far a defect does: the tolerance is between.

    python -m benchmarks.parity [--output FOLDER] [--only NAME ...] [--rows
    250] [--servers 4]

Trains networks of many shapes on a few hundred rows each, exports them, and has other processes
answer the rows that the exporter compares: in batches of 128 and of 1, with the CPU's vector units
as they are and limited to AVX2 and SSE4.1 (ONEDNN_MAX_CPU_ISA); `seqline serve` answers for the
first --servers networks. Then defects are planted: weights off by a thousandth, biases off by 1e-3,
embedding rows shifted, tokens swapped, a direction reversed; in SavedModels a changed vocabulary
line, a changed normalisation, another max_length, two labels swapped.

Columns, differences of log-odds but for the first: the largest difference of a probability; the
largest difference between an export and its trained network (`rounding`); the trained network's
own, float32 against float64 (`noise`); the tolerance that follows from it; the smallest of the
weight defects (`defect`) and which one it was. --output keeps
what was trained: a second call measures without training again.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from benchmarks import common

# The limits of the vector units; "" for none.
VECTOR_UNITS = ("", "AVX2", "SSE41")
BATCH_SIZES = (128, 1)
# Rows that damaged networks answer.
NUM_DAMAGED = 128
# Rows that are also answered one by one.
NUM_ALONE = 24

PLAIN: dict[str, Any] = {"skip_dim": 0, "bigram_buckets": 0, "bidirectional": False}
LAST: dict[str, Any] = {"pooling": "last"}
STRONG: dict[str, Any] = {"learning_rate": 2e-2, "clip_norm": 0.0, "num_epochs": 12}
# name -> (data set, settings of the trainer)
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "tutorial, T=256": ("bbc256", LAST),
    "tutorial, T=200": ("bbc200", LAST),
    "tutorial, T=500": ("bbc500", LAST),
    "tutorial, U=128": ("bbc200", {**LAST, "rnn_units": 128}),
    "tutorial, U=16": ("bbc200", {**LAST, "rnn_units": 16}),
    "tutorial, 5 epochs": ("bbc256", {**LAST, "num_epochs": 5}),
    "tutorial, strong": ("bbc200", {**LAST, **STRONG, "num_epochs": 6}),
    "tutorial, masking": ("bbc500", {**LAST, "masking": True}),
    "tutorial, 2 layers": ("bbc200", {**LAST, "num_layers": 2}),
    "tutorial, 2 directions": ("bbc200", {**LAST, "bidirectional": True}),
    "tutorial, gain 1.5": ("bbc200", {**LAST, "recurrent_gain": 1.5}),
    "tutorial, 2 classes": ("sms", {**LAST, **STRONG}),
    "tutorial, 20 classes": ("classes20", LAST),
    "default, T=500": ("bbc500", {}),
    "default, T=256": ("bbc256", {}),
    "default, strong": ("bbc200", STRONG),
    "default, 2 classes": ("mr", {}),
    "default, 2 classes, strong": ("sms", STRONG),
    "default, 6 classes": ("trec6", {}),
    "default, 20 classes": ("classes20", {}),
    "default, 150 classes": ("classes150", {"num_epochs": 6}),
    "default, 2 layers": ("agnews", {"num_layers": 2}),
    "default, U=128": ("agnews", {"rnn_units": 128, "embedding_dim": 128}),
    "default, no masking": ("agnews", {"masking": False}),
    "default, mean": ("agnews", {"pooling": "mean"}),
    "default, mean_max": ("agnews", {"pooling": "mean_max"}),
    "plain max": ("agnews", PLAIN),
    "plain max, strong": ("trec6", {**PLAIN, **STRONG}),
    "plain mean, T=500": ("bbc500", {**PLAIN, "pooling": "mean"}),
    "plain max, gain 1": ("bbc200", {**PLAIN, "recurrent_gain": 1.0, "num_epochs": 4}),
    "characters, 18 classes": ("surnames", {}),
    "sequences": ("vowels", {"num_epochs": 4}),
    "sequences, last": ("vowels", {"pooling": "last", "num_epochs": 4}),
    "sequences, T=500": ("waves500", {"num_epochs": 3, "min_epoch_steps": 8}),
    "sequences, mean, T=500": (
        "waves500",
        {**PLAIN, "pooling": "mean", "recurrent_gain": 1.0, "num_epochs": 3, "min_epoch_steps": 8},
    ),
    "sequences, 2 layers": ("vowels", {**PLAIN, "num_layers": 2, "num_epochs": 4}),
}
# Networks whose SavedModels are damaged as files.
FILES = ("tutorial, T=200", "default, 6 classes")
# name -> settings of the transform
TRANSFORMS: dict[str, dict[str, Any]] = {
    "bbc200": {"max_length": 200},
    "bbc500": {"max_length": 500},
    "surnames": {"tokens": "char"},
    "waves500": {"max_length": 500},
    "classes20": {"max_length": 200},
}
# What the artifacts of one network are: (name, its folder).
Row = tuple[Any, str]


def texts(path: Path, number: int) -> list[Row]:
    rows = common.read_jsonl(path)
    chosen = np.random.default_rng(0).permutation(len(rows))[:number]
    return [
        (rows[place].get("text", rows[place].get("sequence")), str(rows[place]["label"]))
        for place in chosen
    ]


def bbc(number: int) -> list[Row]:
    from components.example_gen.bbc_news import articles

    files = sorted(articles())
    chosen = np.random.default_rng(0).permutation(len(files))[:number]
    return [
        (files[place].read_text(encoding="utf-8", errors="replace"), files[place].parent.name)
        for place in chosen
    ]


def many_classes(data: Path, num_classes: int, number: int, length: int) -> list[Row]:
    """News words in random order; each class has five words of its own, of which a row has some."""
    words = [
        word
        for text, _ in texts(data / "agnews_small" / "train.jsonl", 3000)
        for word in text.lower().split()
        if word.isalpha()
    ]
    random = np.random.default_rng(1)
    rare = [word for word, count in Counter(words).most_common() if count < 40][: 5 * num_classes]

    rows = []
    for place in range(number):
        label = place % num_classes
        chosen = [
            str(word) for word in random.choice(words, int(random.integers(length // 4, length)))
        ]
        for word in random.choice(rare[5 * label : 5 * label + 5], 3):
            chosen.insert(int(random.integers(len(chosen))), str(word))
        rows.append((" ".join(chosen), f"class {label:03}"))

    return rows


def waves(number: int) -> list[Row]:
    """A noisy sine beside noise, 250 to 500 steps; the class is its period."""
    random = np.random.default_rng(0)
    rows = []
    for place in range(number):
        time, period = int(random.integers(250, 501)), (3, 5, 8, 13)[place % 4]
        wave = np.sin(2 * np.pi * (np.arange(time) / period + random.random())) + random.normal(
            scale=0.3, size=time
        )
        rows.append((np.stack([wave, random.normal(size=time)], axis=1), str(period)))
    return rows


def rows_of(name: str, data: Path, number: int) -> list[Row]:
    if name.startswith("bbc"):
        return bbc(number)
    if name.startswith("classes"):
        num_classes = int(name.removeprefix("classes"))
        return many_classes(
            data, num_classes, max(number, 5 * num_classes), 200 if num_classes == 20 else 30
        )
    if name == "waves500":
        return waves(number)
    folder = {"sms": "sms_spam", "agnews": "agnews_small", "vowels": "japanese_vowels"}.get(
        name, name
    )
    return texts(data / folder / "train.jsonl", number * (4 if name == "surnames" else 1))


def write_examples(rows: list[Row], output: Path) -> None:
    from seqline.data.examples import (
        ExampleShard,
        Manifest,
        Span,
        shard_name,
        write,
        write_manifest,
    )

    content: Any = "text" if isinstance(rows[0][0], str) else "sequence"
    counts, half = {}, len(rows) // 2

    for split, chosen in (("train", rows), ("eval", rows[:half]), ("test", rows[half:])):
        (output / f"Split-{split}").mkdir(parents=True)
        contents = [
            text.encode() if content == "text" else np.array(text, np.float32) for text, _ in chosen
        ]
        shard = ExampleShard(
            0, split, shard_name(0, 0, 0), contents, [label.encode() for _, label in chosen]
        )
        write(shard, output / f"Split-{split}" / shard.name, content)
        counts[split] = dict(Counter(label for _, label in chosen))

    dim = None if content == "text" else len(rows[0][0][0])
    write_manifest(Manifest(content, dim, (Span(0, "benchmark", num_rows=counts),)), output)


def prepared(name: str, data: Path, number: int, root: Path) -> tuple[Path, Path]:
    """(Examples, Features) of a data set."""
    from components import transform

    examples, features = root / "data" / name / "examples", root / "data" / name / "features"
    if not (features / "transform.json").exists():
        write_examples(rows_of(name, data, number), examples)
        features.mkdir()
        transform.run(
            examples=examples,
            params=transform.TransformParams(**TRANSFORMS.get(name, {})),
            output=features,
        )
    return examples, features


def train(name: str, examples: Path, features: Path, output: Path) -> None:
    """Trains and exports a network.

    What it answers by itself goes into network.npz, what defects change into defects.npz.
    """
    import keras

    from components import trainer
    from components.exporter import ExporterParams, export, parity
    from components.exporter.parity_rows import choose_rows

    settings = {"num_epochs": 3, "batch_size": 16, **NETWORKS[name][1]}
    model = output / "model"
    model.mkdir(parents=True)
    trainer.run(features=features, params=trainer.TrainerParams(**settings), output=model)
    params = ExporterParams()
    rows = choose_rows(examples, features, params)
    export.write(examples, features, model, params, output / "saved_model", rows)
    transformed, probabilities = parity.expected(rows, model)
    exact = parity.expected(rows, model, dtype="float64")[1]
    np.savez(
        output / "network.npz", float32=probabilities, float64=exact, label=transformed["label"]
    )
    np.savez(output / "defects.npz", **dict(defects(model, transformed)))
    keras.backend.clear_session()


def defects(model: Path, transformed: dict[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    """(the defect, probabilities of the served network with it), "none" first."""
    import tensorflow as tf

    from components.exporter.folded import FoldedNetwork
    from seqline.model import network

    trained, spec = network.load(model)
    weights = {layer.name: layer.get_weights() for layer in trained.layers if layer.weights}
    content, length = (
        transformed["values" if spec.dim else "ids"][:NUM_DAMAGED],
        transformed["length"][:NUM_DAMAGED],
    )
    served = FoldedNetwork(spec, weights)

    def answer(network: FoldedNetwork) -> np.ndarray:
        function = tf.function(network.probabilities, autograph=False, reduce_retracing=True)
        return function(content, length).numpy()

    compiled = tf.function(served.probabilities, autograph=False, reduce_retracing=True)

    def with_weights(changed: dict[str, list[np.ndarray]]) -> np.ndarray:
        other = FoldedNetwork(spec, changed)
        for variable, value in zip(served.variables, other.variables, strict=True):
            variable.assign(value)
        return compiled(content, length).numpy()

    yield "none", with_weights(weights)
    random = np.random.default_rng(0)
    for layer, values in weights.items():
        if layer == "bigrams":
            continue
        for place, value in enumerate(values):
            kind = (
                ("kernel", "bias")
                if layer in ("output", "skip_embedding")
                else ("kernel", "recurrent", "bias")
            )
            what = layer if "embedding" in layer and not spec.dim else f"{layer} {kind[place]}"

            def changed(
                value: np.ndarray, layer: str = layer, place: int = place
            ) -> dict[str, list[np.ndarray]]:
                return {
                    **weights,
                    layer: [
                        value if number == place else each
                        for number, each in enumerate(weights[layer])
                    ],
                }

            if value.ndim == 1:
                one = np.zeros_like(value)
                one[len(one) // 2] = 1e-3
                yield f"{what}: one entry + 1e-3", with_weights(changed(value + one))
                continue

            yield f"{what} * 1.001", with_weights(changed(value * np.float32(1.001)))
            noise = random.normal(size=value.shape)
            yield (
                f"{what} * (1 + noise of 1e-3)",
                with_weights(changed((value * (1 + 1e-3 * noise)).astype(np.float32))),
            )

            if "embedding" in layer and not spec.dim:
                yield (
                    f"{what}: rows shifted by one",
                    with_weights(changed(np.roll(value, 1, axis=0))),
                )
                swapped = value.copy()
                one, other = (20, 40) if len(value) > 40 else (3, 6)  # characters are few
                swapped[[one, other]] = swapped[[other, one]]
                yield f"{what}: tokens {one} and {other} swapped", with_weights(changed(swapped))

    if spec.masking or not spec.dim:
        turned = FoldedNetwork(spec, weights)
        for direction in turned.layers[-1][:1]:
            direction.backward = not direction.backward
        yield "a direction reversed", answer(turned)


def answer_elsewhere(folders: list[Path], examples: dict[Path, Path], units: str) -> None:
    """Has another process, with the vector units limited, answer for networks that it did not
    answer for before.
    """
    import tensorflow as tf

    from components.exporter import ExporterParams
    from components.exporter.parity_rows import choose_rows

    jobs = []
    for folder in folders:
        answers = folder / f"answers-{units or 'all'}.npz"
        if answers.exists():
            continue
        if not (folder / "examples").exists():
            data = examples[folder]
            rows = choose_rows(data / "examples", data / "features", ExporterParams())
            with tf.io.TFRecordWriter(str(folder / "examples")) as writer:
                for example in rows.examples:
                    writer.write(example)

        jobs.append(
            {
                "saved_model": str(folder / "saved_model"),
                "examples": str(folder / "examples"),
                "answers": str(answers),
            }
        )
    if not jobs:
        return
    path = folders[0].parent / f"jobs-{units or 'all'}.json"
    path.write_text(
        json.dumps(
            [
                {
                    **job,
                    "signatures": ["serving_default", "serving_fast"],
                    "batch_sizes": BATCH_SIZES,
                }
                for job in jobs
            ]
        )
    )
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1"} | (
        {"ONEDNN_MAX_CPU_ISA": units} if units else {}
    )
    subprocess.run(
        [sys.executable, "-m", "benchmarks.parity", "--ask", str(path)],
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
    )


def ask(jobs: Path) -> None:
    """The other process.

    Answers every job with TensorFlow alone. A job: saved_model, examples, answers, signatures.
    """
    from importlib.util import module_from_spec, spec_from_file_location

    import tensorflow as tf

    spec = spec_from_file_location(
        "prover", common.CHECKOUT / "components" / "exporter" / "plain_tensorflow.py"
    )
    assert spec is not None
    assert spec.loader is not None
    prover = module_from_spec(spec)
    spec.loader.exec_module(prover)

    for job in json.loads(jobs.read_text()):
        model = tf.saved_model.load(job["saved_model"])
        outputs: dict[str, list[np.ndarray]] = {}
        records = tf.data.TFRecordDataset(job["examples"])
        for size in job["batch_sizes"]:
            for examples in (records if size > 1 else records.take(NUM_ALONE)).batch(size):
                for name in job["signatures"] if size > 1 else ["serving_default"]:
                    signature = model.signatures[name]
                    specs = signature.structured_input_signature[1]
                    given = (
                        {"examples": examples}
                        if "examples" in specs
                        else prover.raw(tf, specs, examples)
                    )
                    answer = signature(**given)
                    for output in {"probabilities", "ids", "label"} & set(answer):
                        outputs.setdefault(f"{name}.{output}.{size}", []).append(
                            answer[output].numpy()
                        )

        arrays = {}
        for name, batches in outputs.items():
            if ".ids." in name:
                width = max(batch.shape[1] for batch in batches)
                batches = [
                    np.pad(batch, [(0, 0), (0, width - batch.shape[1])]) for batch in batches
                ]
            elif batches[0].dtype == object:
                batches = [batch.astype("S") for batch in batches]
            arrays[name] = np.concatenate(batches)

        np.savez(job["answers"], **arrays)
        print(job["answers"], flush=True)


def differences(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """(the largest difference of log-odds, the largest of a probability)."""
    from seqline.model import rounding

    return float(rounding.log_odds_differences(one, other).max()), float(np.abs(one - other).max())


def summary(name: str, folder: Path) -> dict[str, Any]:
    """The measurements of a network: {column: value}, and `defects`, the size of each."""
    from seqline.model import rounding

    trained, changed = np.load(folder / "network.npz"), np.load(folder / "defects.npz")
    moved: dict[str, tuple[float, float]] = {
        "in this process": differences(changed["none"], trained["float32"][: len(changed["none"])])
    }

    for units in VECTOR_UNITS:
        answers = np.load(folder / f"answers-{units or 'all'}.npz")
        for key in answers.files:
            signature, output, size = key.split(".")
            if output == "probabilities":
                probabilities = answers[key]
                moved[f"{signature}, batch {size}, {units or 'all units'}"] = differences(
                    probabilities, trained["float32"][: len(probabilities)]
                )
    if (folder / "server.npz").exists():
        probabilities = np.load(folder / "server.npz")["probabilities"]
        moved["the server"] = differences(probabilities, trained["float32"][: len(probabilities)])
    few = trained["float32"][: len(changed["none"])]
    sizes = {key: differences(changed[key], few)[0] for key in changed.files if key != "none"}
    noise = differences(trained["float32"], trained["float64"])[0]
    weights = {key: size for key, size in sizes.items() if "reversed" not in key}
    smallest = min(weights, key=lambda key: weights[key])
    worst = max(moved, key=lambda key: moved[key][0])

    return {
        "network": name,
        "probability": max(largest for _, largest in moved.values()),
        "rounding": moved[worst][0],
        "where": worst,
        "noise": noise,
        "tolerance": rounding.tolerance(noise),
        "reversed": sizes.get("a direction reversed"),
        "defect": weights[smallest],
        "which": smallest,
        "moved": {key: largest for key, (largest, _) in moved.items()},
        "defects": sizes,
    }


def ask_server(folder: Path, data: Path) -> None:
    """Has `seqline serve` answer the first rows, one by one, as the infra_validator does."""
    from components.evaluator.answers import json_rows
    from components.evaluator.rows import rows
    from components.infra_validator.server import running

    request, _ = next(rows(data / "examples", "eval"))
    first = {name: value[:NUM_ALONE] for name, value in request.items()}
    with running("embedded", folder / "saved_model", folder / "server.log", 300) as server:
        answers = [
            server.ask({"instances": [row]})["predictions"][0]["probabilities"]
            for row in json_rows(first)
        ]
    np.savez(folder / "server.npz", probabilities=np.array(answers))


def files(folders: dict[str, Path], data: dict[Path, Path]) -> dict[str, dict[str, str]]:
    """{network.

    {defect of its file: what the exporter says}}: the whole gate, with its other process.
    """
    from components import transform
    from components.exporter import ExporterParams, export, parity
    from components.exporter.comparison import ParityError
    from components.exporter.parity_rows import choose_rows
    from seqline.model import network

    params, reactions = ExporterParams(), {}

    for name in [name for name in FILES if name in folders]:
        model, sources = folders[name] / "model", data[folders[name]]
        examples, features = sources / "examples", sources / "features"
        rows = choose_rows(examples, features, params)

        def caught(saved_model: Path, rows: Any = rows, model: Path = model) -> str:
            try:
                with parity.ParityCheck() as check:
                    figures = check.run(saved_model, rows, model, params)
            except ParityError as error:
                return str(error)
            return f"passes, {figures['difference']:.1e} of {figures['tolerance']:.1e}"

        with tempfile.TemporaryDirectory() as folder:
            said = reactions[name] = {"none": caught(folders[name] / "saved_model")}
            for defect, damage in DAMAGES.items():
                copy = Path(
                    shutil.copytree(
                        folders[name] / "saved_model", Path(folder) / defect.replace(" ", "_")
                    )
                )
                damage(copy)
                said[defect] = caught(copy)

            trained, spec = network.load(model, training=True)
            layer = trained.get_layer("rnn")
            kernel, recurrent, bias = layer.get_weights()
            for defect, changed in (
                ("recurrent * 1.001", [kernel, recurrent * np.float32(1.001), bias]),
                ("bias + 1e-3", [kernel, recurrent, bias + 1e-3]),
            ):
                other = Path(folder) / defect.replace(" ", "_")
                (other / "model").mkdir(parents=True)
                layer.set_weights(changed)
                network.save(trained, spec, other / "model")
                export.write(
                    examples, features, other / "model", params, other / "saved_model", rows
                )
                said[defect] = caught(other / "saved_model")

            settings = {**TRANSFORMS.get(NETWORKS[name][0], {}), "lowercase": False}
            (Path(folder) / "features").mkdir()
            transform.run(
                examples=examples,
                params=transform.TransformParams(**settings),
                output=Path(folder) / "features",
            )
            vocabularies = Path(folder) / "features" / "transform_fn" / "assets"
            for path in vocabularies.iterdir():
                shutil.copy(features / "transform_fn" / "assets" / path.name, path)
            export.write(
                examples, Path(folder) / "features", model, params, Path(folder) / "cased", rows
            )
            said["lower-casing off"] = caught(Path(folder) / "cased")

    return reactions


def swap_lines(path: Path, one: int, other: int) -> None:
    lines = path.read_bytes().split(b"\n")
    lines[one], lines[other] = lines[other], lines[one]
    path.write_bytes(b"\n".join(lines))


def swap_tokens(saved_model: Path) -> None:
    swap_lines(saved_model / "assets" / "tokens", 20, 40)


def replace_token(saved_model: Path) -> None:
    path = saved_model / "assets" / "tokens"
    lines = path.read_bytes().split(b"\n")
    lines[30] = b"nowhere-to-be-read"
    path.write_bytes(b"\n".join(lines))


def swap_labels(saved_model: Path) -> None:
    swap_lines(saved_model / "assets" / "labels", 0, 1)


def change_pattern(saved_model: Path) -> None:
    """Punctuation marks are tokens, but no longer the comma."""
    from tensorflow.core.protobuf import saved_model_pb2

    path = saved_model / "saved_model.pb"
    content = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    for function in content.meta_graphs[0].graph_def.library.function:
        for node in function.node_def:
            if (
                node.op == "StaticRegexReplace"
                and node.attr["pattern"].s == rb"([^\p{L}\p{M}\p{N} ])"
            ):
                node.attr["pattern"].s = rb"([^\p{L}\p{M}\p{N} ,])"
    path.write_bytes(content.SerializeToString(deterministic=True))


# What is done to a SavedModel's files.
DAMAGES: dict[str, Callable[[Path], None]] = {
    "two tokens of the vocabulary swapped": swap_tokens,
    "a token of the vocabulary replaced": replace_token,
    "two labels swapped": swap_labels,
    "the normalisation's pattern changed": change_pattern,
}


def folder_of(root: Path, name: str) -> Path:
    return root / "networks" / name.replace(", ", "-").replace(" ", "_").replace("=", "")


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--output", type=Path)
    parser.add_argument(
        "--only", nargs="+", default=list(NETWORKS), choices=list(NETWORKS), metavar="NAME"
    )
    parser.add_argument("--rows", type=int, default=250)
    parser.add_argument("--servers", type=int, default=4)
    parser.add_argument(
        "--files",
        nargs="*",
        default=list(FILES),
        choices=list(NETWORKS),
        metavar="NAME",
        help="damaged as files, too",
    )

    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = (arguments.output or Path(temporary)).absolute()
        folders = {name: folder_of(root, name) for name in arguments.only}
        for name, folder in folders.items():
            if not (folder / "defects.npz").exists():
                shutil.rmtree(folder, ignore_errors=True)
                examples, features = prepared(
                    NETWORKS[name][0], arguments.data, arguments.rows, root
                )
                train(name, examples, features, folder)

        data = {folder: root / "data" / NETWORKS[name][0] for name, folder in folders.items()}
        for units in VECTOR_UNITS:
            answer_elsewhere(list(data), data, units)
        for folder in list(data)[: arguments.servers]:
            if not (folder / "server.npz").exists():
                ask_server(folder, data[folder])
        planted = files(folders, data) if arguments.files else {}
        report([summary(name, folder) for name, folder in folders.items()], planted)


def report(networks: list[dict[str, Any]], planted: dict[str, dict[str, str]]) -> None:
    print(
        f"{'network':<27} {'prob.':>8} {'rounding':>9} {'noise':>8} {'tolerance':>9}"
        f" {'reversed':>9} {'defect':>8}"
    )

    for row in networks:
        turned = f"{row['reversed']:.1e}" if row["reversed"] is not None else "-"
        print(
            f"{row['network']:<27} {row['probability']:>8.1e} {row['rounding']:>9.1e}"
            f" {row['noise']:>8.1e} {row['tolerance']:>9.1e} {turned:>9} {row['defect']:>8.1e} "
            f" {row['which']}"
        )

    for name, caught in planted.items():
        print(f"\n{name}, in its file:")
        for defect, by in caught.items():
            print(f"  {defect:<42} {by}")

    common.print_result({"networks": networks, "files": planted})


if __name__ == "__main__":
    if sys.argv[1:2] == ["--ask"]:
        ask(Path(sys.argv[2]))
    else:
        main()
