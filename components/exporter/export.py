"""An export from end to end: fold, save, annotate, compare."""

from pathlib import Path

from components.exporter import ExporterParams, card, comparison, parity, warmup
from components.exporter.parity_rows import ParityRows, choose_rows
from components.exporter.serving import load_parts, serving_module
from seqline.component import Figures
from seqline.host import progress
from seqline.model.canonical import canonicalize

# TensorFlow Serving and its like look for files of their own here.
EXTRA = "assets.extra"


def export(
    examples: Path, source: Path, model: Path, params: ExporterParams, output: Path
) -> Figures:
    """Writes the SavedModel of a Model with the transform graph of its Features.

    Args:
        source: the Features.

    Returns:
        Figures, once parity is proven.
    """
    with parity.ParityCheck() as check:  # It imports TensorFlow while the graph is built here.
        progress.tell("building the serving graph")
        rows = choose_rows(examples, source, params)
        write(examples, source, model, params, output, rows)

        progress.tell("comparing its answers with the trained network's")
        proof = check.run(output, rows, source, model, params)
        tolerance = comparison.of_answers(params, proof["noise"])
        card.add_tolerance(output / EXTRA / card.FILE, tolerance)

    num_bytes = sum(path.stat().st_size for path in output.rglob("*") if path.is_file())
    return {"num_bytes": num_bytes, **proof}


def write(
    examples: Path,
    source: Path,
    model: Path,
    params: ExporterParams,
    output: Path,
    rows: ParityRows,
) -> None:
    """Writes everything, unproven.

    Args:
        rows: some of these become the warm-up requests.
    """
    import tensorflow as tf

    parts = load_parts(source, model, params.table_dtype)
    module, signatures = serving_module(parts, source, params.top_k)
    progress.tell("writing the SavedModel")
    tf.saved_model.save(module, str(output), signatures=signatures)
    card.annotate(output)
    canonicalize(output)
    (output / EXTRA).mkdir()
    card.write(examples, source, model, params, output / EXTRA / card.FILE)
    warmup.write(rows, output / EXTRA / warmup.FILE)
