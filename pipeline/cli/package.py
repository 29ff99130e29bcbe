"""`seqline package`: a version as one file, for machines without seqline."""

import shlex
from typing import Annotated

import typer

from pipeline.cli import usage
from pipeline.cli.options import RootPlace, ServingPlace


def package(
    wanted: Annotated[
        str,
        typer.Argument(
            metavar="VERSION",
            help=(
                "a version's number, stable or canary; a run; or the path of a version or of a"
                " SavedModel"
            ),
        ),
    ],
    output: Annotated[
        str, typer.Option("--output", "-o", help="folder for the package; made if it is missing")
    ] = ".",
    kind: Annotated[str, typer.Option("--format", help="wheel, zip or openvino")] = "wheel",
    name: Annotated[
        str | None,
        typer.Option("--name", help="name of the package; the model's name if none is given"),
    ] = None,
    serving_dir: ServingPlace = "serving_dir",
    root: RootPlace = "artifacts",
    force: Annotated[
        bool, typer.Option("--force", help="replace a package of the same name")
    ] = False,
) -> None:
    """Write a version as a wheel or a zip that predicts with TensorFlow alone, or for OpenVINO."""
    from pipeline.package import FORMATS, choose, contents, naming, write
    from seqline.errors import UserError
    from seqline.suggest import suggestion

    if kind not in FORMATS:
        known = ", ".join(FORMATS)
        raise UserError(f"--format {kind!r} is none of {known}.{suggestion(kind, FORMATS)}")

    write.folder_of(output)
    chosen = choose.choose(wanted, serving_dir, root)
    module = naming.module_name(chosen, name)
    if kind == "openvino":
        from pipeline.package import openvino
        from serving.asking import standard_error_kept

        # Both libraries' C++ code writes to standard error whatever their log levels are.
        refused: UserError | None = None
        with standard_error_kept():
            try:
                file, lines = openvino.write(chosen, output, module, root, force)
            except UserError as error:
                refused = error
        if refused:
            raise refused
        print(file)
        for line in lines:
            typer.echo(line, err=True)
        return

    file = write.write(chosen, kind, output, name, force)
    print(file)
    text = shlex.quote(contents.example(chosen))
    if kind == "wheel":
        typer.echo(f"install it    pip install {shlex.quote(str(file))}", err=True)
        typer.echo(f"ask it        python -m {module} {text}", err=True)
    else:
        typer.echo(f"ask it        python {shlex.quote(str(file))} {text}", err=True)


app = usage.single(package)
