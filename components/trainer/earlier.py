"""The files of an earlier Model that a warm start reads. Refuses those that are damaged.

Imports nothing heavy: a run checks them before its first stage.
"""

import json
from pathlib import Path

from components.trainer import START_FILE, TrainerParams, difference
from seqline.component import Figures
from seqline.data import features
from seqline.data.features import MODEL
from seqline.errors import DataError, UserError
from seqline.model.spec import SPEC_FILE, Spec, read_spec
from seqline.storage import files, integrity, staging

# The first bytes of a file of weights.
HDF5 = b"\x89HDF\r\n\x1a\n"


def check(params: TrainerParams) -> None:
    """Checks what can be seen of `params.warm_start` without loading its weights.

    Raises:
        UserError: it is no Model, a file is damaged, or it has another shape.
    """
    place = str(params.warm_start)
    folder = staging.path_of(place)
    if (folder / SPEC_FILE).is_file() and not spec_of(place, folder).recurrent:
        raise UserError(
            f"trainer.warm_start {place!r} is a wide part alone: no weights can be carried over."
            " Name another Model, or leave trainer.warm_start out."
        )
    if not (folder / MODEL).is_file() or not (folder / SPEC_FILE).is_file():
        raise UserError(
            f"trainer.warm_start {place!r} holds no {MODEL} with its {SPEC_FILE}."
            " Give the folder of a trainer's Model."
        )

    if changes := integrity.changes_in_artifact(folder):
        raise _refused(place, f"{changes[0].name} {changes[0].problem}.")

    spec = spec_of(place, folder)
    weights = str(folder / MODEL)
    with files.translate_errors(weights), files.open_file(weights) as file:
        if file.read(len(HDF5)) != HDF5:
            raise _refused(place, f"{MODEL} is damaged: it is not an HDF5 file.")

    vocabularies_of(place, folder, spec)
    started(place, folder)
    if different := difference(vars(spec), params):
        raise UserError(
            f"trainer.warm_start {place!r}: {different}, or leave trainer.warm_start out."
        )


def spec_of(place: str, folder: Path) -> Spec:
    """The shape of an earlier network.

    Args:
        place: what the setting says, for errors.
        folder: the Model.
    """
    try:
        return read_spec(folder)
    except DataError as error:
        raise _refused(place, str(error)) from None


def vocabularies_of(place: str, folder: Path, spec: Spec) -> dict[str, list[bytes]]:
    """The lines of an earlier Model's vocabularies, by the name of the file.

    Without them no row of a table could be matched: all would start as in a cold start.
    """
    wanted = {features.LABELS_VOCABULARY: spec.num_classes}
    if not spec.dim:
        wanted[features.TOKENS_VOCABULARY] = spec.num_tokens

    vocabularies = {}
    for name, num_lines in wanted.items():
        path = folder / "vocabularies" / name
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            raise _refused(place, f"vocabularies/{name} is missing beside its network.") from None
        except OSError as error:
            raise _refused(
                place, f"vocabularies/{name} cannot be read: {error.strerror}."
            ) from None

        lines = content.split(b"\n")
        if lines.pop() or len(lines) != num_lines:
            raise _refused(
                place,
                f"vocabularies/{name} has {len(lines):,} whole lines, and its network"
                f" {num_lines:,} {name}: one of the files is damaged or of another Model.",
            )
        vocabularies[name] = lines

    return vocabularies


def started(place: str, folder: Path) -> Figures:
    """The start.json of an earlier Model; empty for one that started cold."""
    path = folder / START_FILE
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise _refused(place, f"{START_FILE} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError):
        raise _refused(place, f"{START_FILE} is damaged: it is not JSON.") from None

    in_a_row = content.get("in_a_row") if isinstance(content, dict) else None
    if not isinstance(in_a_row, int) or isinstance(in_a_row, bool) or in_a_row < 1:
        raise _refused(place, f"{START_FILE} is damaged: it has no number in_a_row.")
    return dict(content)


def _refused(place: str, problem: str) -> UserError:
    return UserError(
        f"trainer.warm_start {place!r}: {problem} Name another Model, or copy it again with all its"
        " files."
    )
