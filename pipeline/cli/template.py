"""`seqline template build`: writes the file that makes an image a Flex Template of Dataflow's."""

from typing import Annotated

import typer

from pipeline.cli import usage
from pipeline.dataflow.template import MACHINE_TYPE, spec, write
from seqline.errors import UserError
from seqline.storage.objects import is_google


class Commands(usage.Group):
    """The one command, and an error of one line for any other word."""


app = typer.Typer(cls=Commands, no_args_is_help=True, add_completion=False, rich_markup_mode=None)


@app.callback()
def template() -> None:
    """Flex Templates of Dataflow.

    A run started in the cloud, by a person, a schedule or a service.
    """


@app.command()
def build(
    target: Annotated[
        str,
        typer.Argument(
            help=(
                "the file to write: gs://bucket/path/seqline.json, from where it is launched, or a"
                " local one"
            )
        ),
    ],
    image: Annotated[
        str,
        typer.Option(
            "--image",
            help="the worker image in a registry, built with the launcher (docs/docker.md)",
        ),
    ],
    name: Annotated[str, typer.Option("--name", help="what the console shows")] = "seqline",
    machine_type: Annotated[
        str,
        typer.Option(
            "--machine-type", help="of the worker that runs the pipeline; a launch may name another"
        ),
    ] = MACHINE_TYPE,
) -> None:
    """Write the file of a Flex Template: the image and its parameters."""
    if not image.strip() or any(char.isspace() for char in image):
        raise UserError(
            f"--image {image!r} is not an image name, such as "
            "europe-docker.pkg.dev/my-project/images/seqline-worker:1."
        )

    write(target, spec(image, name, machine_type))

    print(f"{target} is the template of {image}")
    if is_google(target):
        print(
            "gcloud dataflow flex-template run NAME --region=REGION "
            f"--template-file-gcs-location={target} --parameters=root=gs://BUCKET/root,..."
        )
