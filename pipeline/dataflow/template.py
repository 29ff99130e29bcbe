"""`seqline template build`.

The file that makes an image a Flex Template of Dataflow's. `pipeline.dataflow.template_launch` is
what it starts.
"""

import json
from typing import Annotated, Any

import typer

from pipeline.cli import usage
from pipeline.dataflow.template_launch import PARAMETERS, Parameter
from seqline.errors import UserError
from seqline.storage.files import is_remote
from seqline.storage.staging import path_of


class Commands(usage.Group):
    """The one command, and an error of one line for any other word."""


commands = typer.Typer(
    cls=Commands, no_args_is_help=True, add_completion=False, rich_markup_mode=None
)

DESCRIPTION = (
    "Raw text to a served SimpleRNN text classifier: runs the seqline pipeline in one Dataflow job."
)
MACHINE_TYPE = "e2-standard-8"


@commands.callback()
def template() -> None:
    """Flex Templates of Dataflow.

    A run started in the cloud, by a person, a schedule or a service.
    """


@commands.command()
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
    ] = (MACHINE_TYPE),
) -> None:
    """Write the file of a Flex Template: the image and its parameters."""
    if not image.strip() or any(each.isspace() for each in image):
        raise UserError(
            f"--image {image!r} is no image's name, such as"
            " europe-docker.pkg.dev/my-project/images/seqline-worker:1."
        )
    text = json.dumps(spec(image, name, machine_type), indent=2) + "\n"
    try:
        path_of(target).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"{target} cannot be written: {error.strerror}; name a file in a folder that is there,"
            " or gs://bucket/path."
        ) from None
    print(f"{target} is the template of {image}")
    if is_remote(target):
        print(
            "gcloud dataflow flex-template run NAME --region=REGION"
            f" --template-file-gcs-location={target} --parameters=root=gs://BUCKET/root,..."
        )


def spec(image: str, name: str = "seqline", machine_type: str = MACHINE_TYPE) -> dict[str, Any]:
    """The template as JSON.

    A ContainerSpec of Dataflow's API v1b3, what `gcloud dataflow flex-template build` writes.
    """
    return {
        "image": image,
        "sdkInfo": {"language": "PYTHON"},
        "metadata": {
            "name": name,
            "description": DESCRIPTION,
            "parameters": [_metadata(each) for each in PARAMETERS],
        },
        "defaultEnvironment": {"sdkContainerImage": image, "machineType": machine_type},
    }


def _metadata(parameter: Parameter) -> dict[str, Any]:
    """A ParameterMetadata.

    The service matches a regex anywhere in the value, so its ends are named.
    """
    found: dict[str, Any] = {
        "name": parameter.name,
        "label": parameter.label,
        "helpText": parameter.help,
        "regexes": [f"^({parameter.regex})$"],
        "paramType": parameter.type,
        "isOptional": not parameter.needed,
    }
    if parameter.default:
        found["defaultValue"] = parameter.default
    if parameter.choices:
        found["enumOptions"] = [{"value": each} for each in parameter.choices]
    return found
