"""`seqline predict` and `seqline infer`: asking the served model."""

import sys
import time
from collections.abc import Iterator
from typing import Annotated

import typer

from pipeline.cli import chosen, options, usage
from pipeline.cli.options import AsJson, Model, Settings, Text, Unverified, Verbose


def predict(
    texts: Annotated[
        list[str] | None,
        typer.Argument(
            help=(
                "texts, or JSON lists of tokens or time steps if the model reads those; if none is"
                " given, one per line from standard input"
            )
        ),
    ] = None,
    model: Model = "serving_dir",
    unverified: Unverified = False,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain",
            help=(
                "print for each row the n-grams that spoke most for and against its label, and"
                " what the recurrent part adds (models with trainer.wide)"
            ),
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Classify rows with the served model: texts, tokens or sequences.

    One JSON line each; with --explain text, or with --explain --json JSON lines that say why.
    """
    from seqline.errors import UserError
    from seqline.storage.staging import local_copy, path_of
    from serving import predict as asking

    errors = []
    try:
        place = local_copy(asking.find_model(path_of(model)))
        for answer in asking.predict(place, texts or _lines(), unverified, explain):
            print(asking.printed(answer, explain and not as_json), flush=True)
            errors += [answer["error"]] if "error" in answer else []
    except asking.InputError as error:
        raise UserError(str(error)) from None

    if errors:
        raise UserError(asking.without_class(errors))


def _lines() -> Iterator[str]:
    # Bytes, because a row ends in \n only, and may be anything but UTF-8.
    for line in sys.stdin.buffer:
        yield line.rstrip(b"\n").decode("utf-8", "surrogateescape")


def infer(
    context: typer.Context,
    source: Annotated[
        str,
        typer.Argument(
            help="files of rows, as in example_gen.source: a name, a glob, or a folder of .txt"
        ),
    ],
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            help=(
                "folder for the predictions, local or in a bucket; the same command continues an"
                " interrupted one"
            ),
        ),
    ],
    model: Model = "serving_dir",
    text: Text = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(
            "--keep", help="column to copy to the predictions, such as an id; can be repeated"
        ),
    ] = None,
    format_: Annotated[str | None, typer.Option("--format", help="jsonl or tfrecord")] = None,
    signature: Annotated[
        str | None, typer.Option("--signature", help="signature of the model to call")
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(
            "--config", "-c", help=f"how to read the rows: {options.CONFIG_HELP}; optional"
        ),
    ] = None,
    settings: Settings = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="replace predictions of another model, source or setting"),
    ] = False,
    unverified: Unverified = False,
    verbose: Verbose = False,
) -> None:
    """Classify the rows of files with the served model: JSON lines or TFRecord.

    Flags for Beam follow `--`.
    """
    from rich.console import Console

    from components.bulk_inferrer import BULK_INFERRER
    from pipeline import infer as inferring
    from pipeline.cli import launch
    from pipeline.cli.terminal import print_line
    from pipeline.dataflow import preflight
    from pipeline.report.units import duration
    from seqline.jobs import dataflow

    beam_args = options.beam_flags(context)
    flags = {
        "source": source,
        "text": chosen.columns(text),
        "keep": keep or None,
        "format": format_,
        "signature": signature,
    }

    common = chosen.Common(alias=config, settings=settings)
    more = {f"bulk_inferrer.{name}": value for name, value in flags.items()}
    loaded = chosen.read_if_named(common, "infer", more)
    params = loaded.bulk_inferrer.with_defaults_from(loaded.example_gen.row_format)

    if dataflow.is_used(beam_args):
        preflight.check_infer(params, model, output, beam_args)

    out = Console()
    progress = launch.listen(out, verbose)
    started = time.monotonic()
    try:
        figures = inferring.infer(
            model,
            output,
            params,
            force,
            beam_args,
            lambda: progress.begin(BULK_INFERRER.name),
            unverified,
        )
    finally:
        progress.stop()

    took = duration(time.monotonic() - started)
    print_line(out, f"{BULK_INFERRER.describe(figures)}  ({took})")
    for sentence in figures.get("warnings", []):
        print_line(out, sentence)
    print_line(out, f"predictions    {output}/predictions.json")


app, infer_app = usage.single(predict), usage.single(infer, cls=usage.BeamCommand)
