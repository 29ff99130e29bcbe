"""best.json: the parameters that the tuner found best. Imports nothing heavy."""

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from components.trainer import BEST_FILE, TrainerParams
from seqline.storage import records


def read(hyperparameters: Path, params: TrainerParams) -> dict[str, Any]:
    """The parameters that the tuner found best. Raises UserError for a missing or damaged file."""
    path = hyperparameters / BEST_FILE
    values = records.of_artifact(dict[str, Any], path)
    try:
        params.with_values(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise records.damaged(path, f"{place}: {first['msg']}", records.MADE_AGAIN) from None
    return values
