"""`seqline predict` and `seqline infer`: asking the served model."""

import json
import sys
import time
from collections.abc import Iterator
from typing import Annotated

import typer

from pipeline.cli import options, usage
from pipeline.cli.options import (
    Model,
    Settings,
    Text,
    Verbose,
)


def predict(
    texts: Annotated[
        list[str] | None,
        typer.Argument(
            help=(
                "texts, or what the model reads: JSON lists of tokens or of time steps; from"
                " standard input, one a line, if none is given"
            )
        ),
    ] = None,
    model: Model = "serving_dir",
) -> None:
    """Classify rows with the served model, texts, tokens or sequences: one JSON line each."""
    from seqline.errors import UserError
    from seqline.storage.staging import local_copy, path_of
    from serving import predict as asking

    try:
        for answer in asking.predict(
            local_copy(asking.find_model(path_of(model))), texts or _lines()
        ):
            print(
                json.dumps(answer, ensure_ascii=False)
                .encode("utf-8", "surrogateescape")
                .decode("utf-8", "replace"),
                flush=True,
            )
    except asking.InputError as error:
        raise UserError(str(error)) from None


def infer(
    context: typer.Context,
    source: Annotated[
        str,
        typer.Argument(
            help="files of rows, as in example_gen.source: a name or a glob, or a folder of .txt"
        ),
    ],
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            help=(
                "the folder for the predictions, local or under gs://; the same again goes on with"
                " them"
            ),
        ),
    ],
    model: Model = "serving_dir",
    text: Text = None,
    keep: Annotated[
        list[str] | None,
        typer.Option("--keep", help="a column whose values come along, such as an id; any number"),
    ] = None,
    format_: Annotated[str | None, typer.Option("--format", help="jsonl or tfrecord")] = None,
    signature: Annotated[
        str | None, typer.Option("--signature", help="the signature that is asked")
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(
            "--config", "-c", help=f"how rows are read: {options.CONFIG_HELP}; not needed"
        ),
    ] = None,
    settings: Settings = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="replace predictions of another model, source or setting"),
    ] = False,
    verbose: Verbose = False,
) -> None:
    """Classify the rows of files with the served model.

    JSON lines or TFRecord. What follows `--` goes to Beam.
    """
    import logging

    from rich.console import Console

    from components.bulk_inferrer import BULK_INFERRER
    from pipeline import infer as inferring
    from pipeline.cli import console
    from pipeline.dataflow import preflight
    from seqline.jobs import dataflow

    beam_args = options.beam_flags(context)
    given = {
        "source": source,
        "text": text,
        "keep": keep or None,
        "format": format_,
        "signature": signature,
    }
    laid = {f"bulk_inferrer.{name}": value for name, value in given.items()}
    loaded = options.read_if_named(None, config, settings, laid, "infer")
    params = loaded.bulk_inferrer.with_defaults_from(loaded.example_gen.row_format)
    if dataflow.is_used(beam_args):
        preflight.check_infer(params, model, output, beam_args)
    out = Console()
    progress = console.Progress(out, verbose)
    logging.getLogger("seqline").handlers = [progress]
    started = time.monotonic()
    try:
        figures = inferring.infer(
            model, output, params, force, beam_args, lambda: progress.begin(BULK_INFERRER.name)
        )
    finally:
        progress.stop()
    seconds = time.monotonic() - started
    out.print(
        f"{BULK_INFERRER.describe(figures)}  ({seconds:.1f} s)",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    out.print(
        f"predictions    {output}/predictions.json", markup=False, highlight=False, soft_wrap=True
    )


def _lines() -> Iterator[str]:
    for line in sys.stdin.buffer:  # bytes: a row ends in \n only, and may be anything but UTF-8
        yield line.rstrip(b"\n").decode("utf-8", "surrogateescape")


app, infer_app = usage.single(predict), usage.single(infer, cls=usage.BeamCommand)
