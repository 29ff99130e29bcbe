"""An export from end to end: fold, save, annotate, prove."""

from pathlib import Path

from components.exporter import ExporterParams, card, parity, warmup
from components.exporter.folded import Served, TableDtype
from components.exporter.serving import serving_module
from seqline.component import Figures
from seqline.host import progress
from seqline.model import network
from seqline.model.canonical import canonicalize

# TensorFlow Serving and its like look for files of their own here.
EXTRA = "assets.extra"


def export(
    examples: Path, source: Path, model: Path, params: ExporterParams, output: Path
) -> Figures:
    """Writes the SavedModel of a Model with the transform graph of its Features.

    Returns figures once parity is proven.
    """
    with (
        parity.Prover() as prover
    ):  # the other process imports TensorFlow while this one builds the graph
        progress.tell("building the serving graph")
        rows = parity.choose(examples, source, params)
        write(examples, source, model, params, output, rows)
        progress.tell("comparing its answers with the trained network's")
        proof = prover.prove(output, rows, model, params)
        card.add_tolerance(output / EXTRA / card.FILE, parity.of_answers(params, proof["noise"]))
    return {
        "num_bytes": sum(path.stat().st_size for path in output.rglob("*") if path.is_file()),
        **proof,
    }


def write(
    examples: Path,
    source: Path,
    model: Path,
    params: ExporterParams,
    output: Path,
    rows: parity.Rows,
) -> None:
    """Writes everything, unproven. rows: for the warm-up requests."""
    import tensorflow as tf

    module, signatures = serving_module(served(model, params.table_dtype), source, params.top_k)
    progress.tell("writing the SavedModel")
    tf.saved_model.save(module, str(output), signatures=signatures)
    card.annotate(output)
    canonicalize(output)
    (output / EXTRA).mkdir()
    card.write(examples, source, model, params, output / EXTRA / card.FILE)
    warmup.write(rows, output / EXTRA / warmup.FILE)


def served(model: Path, table_dtype: TableDtype = "float32") -> Served:
    """The served network of a Model."""
    trained, spec = network.load(model)
    return Served(
        spec,
        {layer.name: layer.get_weights() for layer in trained.layers if layer.weights},
        table_dtype,
    )
