"""An export from end to end: fold, save, annotate, compare."""

import logging
import shutil
from pathlib import Path

from components.exporter import ExporterParams, TableDtype, card, comparison, parity, warmup
from components.exporter.comparison import NarrowTablesError
from components.exporter.parity_rows import ParityRows, choose_rows
from components.exporter.serving import load_parts, serving_module
from seqline.component import Figures
from seqline.host import progress
from seqline.model.canonical import canonicalize
from seqline.model.spec import Spec, read_spec

log = logging.getLogger("seqline.exporter")

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
    first, *others = table_dtypes(params, read_spec(model))
    try:
        return _export(examples, source, model, _with(params, first), output)
    except NarrowTablesError:
        if not others:
            raise
        log.info("%s tables change the answers by too much: float32 ones are exported", first)

    shutil.rmtree(output)
    return _export(examples, source, model, _with(params, others[0]), output)


def table_dtypes(params: ExporterParams, spec: Spec) -> list[TableDtype]:
    """The types of tables to try, the best one first; the last one has to do."""
    if params.table_dtype is not None:
        return [params.table_dtype]
    if spec.wide and params.parity_tolerance is None:
        return ["int16", "float32"]
    return ["float32"]


def _with(params: ExporterParams, dtype: TableDtype) -> ExporterParams:
    return params.model_copy(update={"table_dtype": dtype})


def _export(
    examples: Path, source: Path, model: Path, params: ExporterParams, output: Path
) -> Figures:
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

    parts = load_parts(source, model, params.tables)
    module, signatures = serving_module(parts, source, params.top_k)
    progress.tell("writing the SavedModel")
    tf.saved_model.save(module, str(output), signatures=signatures)
    card.annotate(output)
    canonicalize(output)
    (output / EXTRA).mkdir()
    card.write(examples, source, model, params, output / EXTRA / card.FILE)
    warmup.write(rows, output / EXTRA / warmup.FILE)
