"""A model for OpenVINO: the parts of it that convert, proven to answer as the SavedModel does.

OpenVINO has no counterpart for the string operations and tables of a text's way to ids. A model
without a wide part has two other ways in: `serving_ids`, the network on integers, and for texts of
words `serving_ascii`, which reads ASCII alone. A model of sequences has none: its way in has
operations on ragged lengths, which are named in the error.
"""

import json
import re
import shutil
import tempfile
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.package import archive, contents, naming
from pipeline.package.choose import Chosen
from pipeline.package.held_out import HeldOut, held_out
from pipeline.package.write import folder_of, put
from seqline.errors import DataError, UserError
from seqline.host import packages
from seqline.model import rounding
from seqline.model.served import SERVING_DEFAULT, ServedModel, signatures_of
from serving.asking import standard_error_kept

PACKAGES = {
    "openvino": "openvino>=2025",
    "openvino_tokenizers": "openvino-tokenizers>=2025",
}
OUTPUTS = ("probabilities", "class_id")
IDS, ASCII = "serving_ids", "serving_ascii"
# Signature -> the file of its part.
FILES = {IDS: "ids", ASCII: "text", SERVING_DEFAULT: "sequence"}
# How OpenVINO names operations that it cannot convert, one or several.
FAILED = re.compile(r"^-- (\w+) with a message|for operations: ([\w, ]+)", re.MULTILINE)
# An operation with a number that OpenVINO gave: its line in the file has the number again as id.
COUNTED = re.compile(
    r'(<layer id="(?=(\d+)")\d+" name="[A-Za-z]+_)\d+(" type="(?!Parameter|Result))'
)
NUM_OPERATIONS = 8
# The texts that serving_ascii reads.
NORMAL = re.compile(rb"[\t\n\r\x20-\x7e]*")
# OpenVINO may compute in fewer bits than it is given.
PRECISION = {"INFERENCE_PRECISION_HINT": "f32"}


@dataclass(frozen=True)
class Proof:
    """How near a part answers to the SavedModel.

    Attributes:
        signature: The signature that the part was made of.
        num_rows: Rows that were compared.
        difference: The largest difference of log-odds.
        tolerance: The largest that float32 explains.
    """

    signature: str
    num_rows: int
    difference: float
    tolerance: float


def write(
    chosen: Chosen, output: str, module: str, root: str, is_forced: bool
) -> tuple[Path, list[str]]:
    """Converts a model, compares answers, and writes a zip archive of the parts.

    Args:
        chosen: The model.
        output: The folder for the archive.
        module: The name of the package.
        root: Where the Examples of the model may be, whose test rows are compared.
        is_forced: Replace an archive of the same name that has other content.

    Returns:
        (the archive, lines on what was compared).

    Raises:
        UserError: A package is missing, or the model cannot be converted.
        DataError: A part answers differently.
    """
    packages.need("--format openvino", PACKAGES)
    folder = folder_of(output)
    with tempfile.TemporaryDirectory(prefix="seqline-openvino-") as aside:
        place = Path(aside)
        parts = {}
        for signature in _signatures(chosen):
            file = place / f"{FILES[signature]}.xml"
            _convert(chosen, signature, place / signature, file)
            parts[signature] = file

        rows = held_out(chosen, root)
        proofs = [_prove(chosen, signature, file, rows) for signature, file in parts.items()]
        made = place / f"{module}-{naming.version_of(chosen)}-openvino.zip"
        archive.write(_entries(chosen, list(parts.values()), proofs, rows), made)
        lines = [
            f"{proof.signature} answers {proof.num_rows:,} {rows.origin} as TensorFlow does, to"
            f" {proof.difference:.0e} of log-odds ({proof.tolerance:.0e} allowed)"
            for proof in proofs
        ]
        return put(made, folder / made.name, is_forced), lines


def _signatures(chosen: Chosen) -> list[str]:
    """The signatures to convert; of a model with a wide part the one that will not."""
    from tensorflow.core.protobuf import saved_model_pb2

    if signatures_of(chosen.folder)[SERVING_DEFAULT].content == "sequence":
        return [SERVING_DEFAULT]
    content = (chosen.folder / "saved_model.pb").read_bytes()
    graph = saved_model_pb2.SavedModel.FromString(content).meta_graphs[0]
    return [name for name in (IDS, ASCII) if name in graph.signature_def] or [SERVING_DEFAULT]


def _convert(chosen: Chosen, signature: str, copy: Path, file: Path) -> None:
    """Converts a signature.

    OpenVINO looks at `serving_default` only: in the copy the signature has that name, without the
    label, which comes from a table.

    Raises:
        UserError: It has operations that OpenVINO has not.
    """
    import openvino
    from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

    for name in chosen.files:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(chosen.folder / name, copy / name)
    path = copy / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    signatures = saved.meta_graphs[0].signature_def
    wanted = meta_graph_pb2.SignatureDef()
    wanted.CopyFrom(signatures[signature])
    for output in set(wanted.outputs) - set(OUTPUTS):
        del wanted.outputs[output]
    signatures.clear()
    signatures[SERVING_DEFAULT].CopyFrom(wanted)
    path.write_bytes(saved.SerializeToString(deterministic=True))

    import_module("openvino_tokenizers")  # it adds the operations on strings
    problem = ""
    with standard_error_kept():
        try:
            # Not openvino.convert_model: it reports its use to its makers.
            converted = openvino.Core().read_model(copy)
            openvino.save_model(converted, file, compress_to_fp16=False)
        except Exception as error:  # OpenVINO's own errors, and some of C++
            problem = str(error)
    if problem:
        raise UserError(_refusal(chosen, signature, problem))
    _number(file)


def _number(file: Path) -> None:
    """Names the operations by their numbers in the file.

    OpenVINO counts on from its last model, so that the second conversion of a process would give
    other bytes. Only people read these names; those of inputs and outputs stay.
    """
    text = file.read_text(encoding="utf-8")
    file.write_text(COUNTED.sub(r"\1\2\3", text), encoding="utf-8")


def _refusal(chosen: Chosen, signature: str, problem: str) -> str:
    found = [one or several for one, several in FAILED.findall(problem)]
    operations = sorted({name.strip() for names in found for name in names.split(",")})
    names = ", ".join(operations[:NUM_OPERATIONS]) or " ".join(problem.split())[:200]
    if len(operations) > NUM_OPERATIONS:
        names += f" and {len(operations) - NUM_OPERATIONS} more"
    way_out = "Pack it with --format wheel"
    if chosen.card.get("network", {}).get("wide"):
        way_out += (
            ", or train with trainer.wide=false: a model without n-grams of texts has a part that"
            " reads ids"
        )
    return (
        f"{chosen.place} cannot be converted for OpenVINO, which has no counterpart for {names} of"
        f" its signature {signature}. {way_out}."
    )


def _prove(chosen: Chosen, signature: str, file: Path, rows: HeldOut) -> Proof:
    """Compares the answers of a part, read back from its file, with those of the SavedModel.

    Raises:
        DataError: They differ by more than float32 explains.
    """
    import openvino

    tolerance = chosen.card.get("parity", {}).get("tolerance", rounding.UNKNOWN)
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(file), "CPU", PRECISION)
    model = ServedModel(chosen.folder)
    largest, num_rows = 0.0, 0
    for arguments in rows.batches:
        expected = model.call(arguments)
        given = _arguments(model, signature, arguments)
        answers = compiled(given)
        probabilities = answers["probabilities"]
        is_read = np.isfinite(expected["probabilities"]).all(axis=1)
        if signature == ASCII:
            texts = map(_bytes, np.asarray(arguments["text"]).tolist())
            is_read &= np.array([bool(NORMAL.fullmatch(text)) for text in texts])

        differences = rounding.log_odds_differences(
            probabilities[is_read], expected["probabilities"][is_read]
        )
        largest = max(largest, float(differences.max(initial=0.0)))
        leads = rounding.margins(expected["probabilities"][is_read], answers["class_id"][is_read])
        if not largest <= tolerance or (leads > tolerance).any():
            raise DataError(
                f"{signature} of {chosen.place} answers differently in OpenVINO: by {largest:.1e}"
                f" of log-odds, where float32 explains {tolerance:.1e}. Nothing was written. Pack"
                " it with --format wheel."
            )
        num_rows += int(is_read.sum())
    return Proof(signature, num_rows, largest, tolerance)


def _arguments(model: ServedModel, signature: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a part for the rows that `serving_default` reads by these arguments."""
    if signature != IDS:
        return {name: _array(value) for name, value in arguments.items()}

    import tensorflow as tf

    name, values = next(iter(arguments.items()))
    examples = []
    for row in _array(values).tolist():
        tokens = [row] if name == "text" else [token for token in row if token]
        example = tf.train.Example()
        example.features.feature[name].bytes_list.value.extend(map(_bytes, tokens))
        examples.append(example.SerializeToString())
    return {"ids": model.call({"examples": examples}, "transform_features")["ids"]}


def _array(values: Any) -> np.ndarray:
    """An array that OpenVINO reads: its texts are of one kind."""
    array = np.asarray(values)
    return np.array(array.tolist()) if array.dtype == object else array


def _bytes(text: Any) -> bytes:
    return text if isinstance(text, bytes) else str(text).encode()


def _entries(
    chosen: Chosen, files: list[Path], proofs: list[Proof], rows: HeldOut
) -> dict[str, Path | bytes]:
    import openvino

    proven = {
        "model": chosen.digest,
        "openvino": openvino.__version__,
        "rows": rows.origin,
        "parts": {
            f"{FILES[proof.signature]}.xml": {
                "signature": proof.signature,
                "num_rows": proof.num_rows,
                "difference": float(f"{proof.difference:.2e}"),
                "tolerance": proof.tolerance,
            }
            for proof in proofs
        },
    }
    entries: dict[str, Path | bytes] = {"README.md": _readme(chosen, proofs, rows).encode()}
    for file in files:
        entries |= {file.name: file, f"{file.stem}.bin": file.with_suffix(".bin")}
    for name in chosen.files:
        if name.startswith("assets/"):
            entries[name] = chosen.folder / name
    return {**entries, "proof.json": (json.dumps(proven, indent=2) + "\n").encode()}


def _readme(chosen: Chosen, proofs: list[Proof], rows: HeldOut) -> str:
    lines = [
        contents.card_of(chosen).rstrip(),
        "",
        "## OpenVINO",
        "",
        "| file | made of | reads |",
        "|---|---|---|",
    ]
    reads = {
        IDS: "`ids` int64 [batch, time]: lines of the vocabulary in `assets/` from 1, V + 1 for"
        " other tokens, 0 behind a row; `transform_features` of the SavedModel gives them",
        ASCII: "`text` [batch], ASCII alone: NaN and -1 for other texts; import"
        " openvino_tokenizers first",
        SERVING_DEFAULT: "`sequence` float32 [batch, time, dim] and `length` int64 [batch]",
    }
    for proof in proofs:
        name = FILES[proof.signature]
        lines.append(f"| {name}.xml, {name}.bin | `{proof.signature}` | {reads[proof.signature]} |")
    lines += [
        "",
        "Each gives `probabilities` [batch, classes] and `class_id` [batch], the line in"
        " `assets/labels` from 0. Compile with INFERENCE_PRECISION_HINT f32. `proof.json` says how"
        f" near the answers are to TensorFlow's, on {rows.origin}.",
        "",
    ]
    return "\n".join(lines)
