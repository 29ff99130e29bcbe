"""`seqline tensorboard`: the trainings of a root in TensorBoard, under readable names."""

import contextlib
import io
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import usage
from pipeline.cli.options import RootPlace

# Seconds until a training that has just begun is seen: in a folder, and in a bucket.
SECONDS, BUCKET_SECONDS = 5, 60


def tensorboard(
    root: RootPlace = "artifacts",
    host: Annotated[
        str, typer.Option("--host", help="address to listen on; 0.0.0.0: every address")
    ] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(
            "--port", min=0, max=65535, help="port; if none is given, 6006 or the next free one"
        ),
    ] = None,
    export: Annotated[
        str | None,
        typer.Option(
            "--export",
            metavar="FOLDER",
            help="copy what TensorBoard reads into this folder, and do not start it",
        ),
    ] = None,
) -> None:
    """Show the trainings of a root in TensorBoard, also those under way, until Ctrl-C.

    Curves, settings, trials, precision-recall curves, embeddings, graphs, hardest rows.
    """
    from pipeline import board
    from pipeline.report import reference
    from seqline.errors import StoppedError
    from seqline.host import packages
    from seqline.storage.files import is_remote

    packages.need("seqline tensorboard", packages.TENSORBOARD)
    store = reference.store_of(root)
    if export is not None:
        names = board.export(store, Path(export))
        print(f"{export}: {_count(names)}. tensorboard --logdir {export} shows them.")
        return

    with tempfile.TemporaryDirectory(prefix="seqline-tensorboard-") as folder:
        view = board.Board(store, Path(folder))
        names = view.refresh()
        url = _launch(folder, host, port)
        print(f"{_count(names)} of {root} at {url} (Ctrl-C ends it)", flush=True)
        try:
            while True:
                time.sleep(BUCKET_SECONDS if is_remote(root) else SECONDS)
                view.refresh()
        except StoppedError:
            return


def _launch(folder: str, host: str, port: int | None) -> str:
    """Starts TensorBoard in a thread of this process; returns its address.

    Raises:
        UserError: the port is taken, or the address is not one of this machine's.
    """
    from seqline.errors import UserError
    from serving.predict import standard_error_kept

    # TensorBoard loads TensorFlow at the first request, which would tell of the processor then.
    with standard_error_kept():
        import tensorflow  # noqa: F401 - so that it is loaded
        from tensorboard import program

    server = program.TensorBoard()
    flags = ["--logdir", folder, "--host", host, "--reload_interval", str(SECONDS)]
    flags += ["--window_title", "seqline"]
    if port is not None:
        flags += ["--port", str(port)]
    server.configure(argv=["tensorboard", *flags])
    try:
        # It tells of its way of loading, as of something experimental.
        with contextlib.redirect_stderr(io.StringIO()):
            return server.launch()
    except program.TensorBoardServerException as error:
        why = " ".join(error.msg.split())
        raise UserError(
            f"TensorBoard cannot be served at {host}, port {port or 6006}: {why}"
        ) from None


def _count(names: list[str]) -> str:
    num_trials = sum(" trial " in f" {name}" for name in names)
    num = len(names) - num_trials
    trials = f" and {num_trials} trial{'s' * (num_trials != 1)}" if num_trials else ""
    return f"{num} training{'s' * (num != 1)}{trials}"


app = usage.single(tensorboard)
