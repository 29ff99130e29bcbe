"""Exports whose files are damaged, before the exporter's whole gate with its other process."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.parity.data import TRANSFORMS
from benchmarks.parity.networks import NETWORKS

# Networks whose SavedModels are damaged as files.
FILES = ("tutorial, T=200", "default, 6 classes")


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

        def caught(
            saved_model: Path, rows: Any = rows, source: Path = features, model: Path = model
        ) -> str:
            try:
                with parity.ParityCheck() as check:
                    figures = check.run(saved_model, rows, source, model, params)
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
