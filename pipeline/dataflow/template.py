"""The file that makes an image a Flex Template of Dataflow's.

A launch of it starts `pipeline.dataflow.template_launch`.
"""

import json
from typing import Any

from pipeline.dataflow.template_launch import PARAMETERS, Parameter
from seqline.errors import UserError
from seqline.storage.staging import path_of

DESCRIPTION = (
    "Raw text to a served SimpleRNN text classifier: runs the seqline pipeline in one Dataflow job."
)
MACHINE_TYPE = "e2-standard-8"


def write(target: str, template: dict[str, Any]) -> None:
    """Writes a template to a local file or an object under gs://.

    Raises:
        UserError: the file cannot be written.
    """
    text = json.dumps(template, indent=2) + "\n"
    try:
        path_of(target).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"{target} cannot be written: {error.strerror}; name a file in a folder that exists, "
            "or gs://bucket/path."
        ) from None


def spec(image: str, name: str = "seqline", machine_type: str = MACHINE_TYPE) -> dict[str, Any]:
    """The template as JSON, as `gcloud dataflow flex-template build` writes it.

    It is a ContainerSpec of Dataflow's API v1b3.

    Args:
        image: the workers' image, which also holds the launcher.
        name: the title that the console shows.
        machine_type: of the worker that runs the pipeline.
    """
    return {
        "image": image,
        "sdkInfo": {"language": "PYTHON"},
        "metadata": {
            "name": name,
            "description": DESCRIPTION,
            "parameters": [_metadata(parameter) for parameter in PARAMETERS],
        },
        "defaultEnvironment": {"sdkContainerImage": image, "machineType": machine_type},
    }


def _metadata(parameter: Parameter) -> dict[str, Any]:
    """A ParameterMetadata.

    The service matches a regex anywhere in the value, so the regex names both ends.
    """
    metadata: dict[str, Any] = {
        "name": parameter.name,
        "label": parameter.label,
        "helpText": parameter.help,
        "regexes": [f"^({parameter.regex})$"],
        "paramType": parameter.type,
        "isOptional": not parameter.needed,
    }

    if parameter.default:
        metadata["defaultValue"] = parameter.default
    if parameter.choices:
        metadata["enumOptions"] = [{"value": choice} for choice in parameter.choices]
    return metadata
