"""The names of a package: of its module, of its distribution and of its version."""

import keyword
import re
import sys

from pipeline.package.choose import Chosen
from seqline.errors import UserError

# Modules that TensorFlow needs or that hold seqline: a package of such a name would hide one.
TAKEN = {
    *("absl", "astunparse", "components", "flatbuffers", "gast", "google", "grpc", "h5py", "keras"),
    *("libclang", "ml_dtypes", "numpy", "opt_einsum", "packaging", "pip", "pipeline", "requests"),
    *("rich", "seqline", "serving", "setuptools", "six", "tensorboard", "tensorflow", "termcolor"),
    *("typing_extensions", "wheel", "wrapt"),
}
NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
MOST = 100


def module_name(chosen: Chosen, given: str | None) -> str:
    """The name of the module, which is that of the distribution, too.

    PEP 503 normalises the names of distributions; with `_` for every separator the normal form is
    an identifier.

    Args:
        chosen: The model.
        given: A name that a person gave; None for the model's own.

    Raises:
        UserError: The name that a person gave cannot be a module's.
    """
    if given is not None and (not NAME.fullmatch(given) or len(given) > MOST):
        raise UserError(
            f"--name {given!r} is no name of a package: letters, digits, '.', '-' and '_', with a"
            f" letter or digit at both ends, {MOST} at most."
        )

    name = re.sub(r"[^a-z0-9]+", "_", (given or chosen.name).lower()).strip("_")[:MOST]
    if not name or name[0].isdigit():
        name = f"model_{name}".rstrip("_")
    if keyword.iskeyword(name) or name in TAKEN or name in sys.stdlib_module_names:
        if given is not None:
            raise UserError(f"--name {given} would hide the module {name}. Name another.")
        name = f"{name}_model"
    return name


def version_of(chosen: Chosen) -> str:
    """The version, as PEP 440 writes it: the number, or the digest of what is no version."""
    return str(chosen.version) if chosen.version is not None else f"0+{chosen.digest[:12]}"


def tensorflow_of(chosen: Chosen) -> str:
    """The requirement on TensorFlow.

    A SavedModel can be read by the minor version that wrote it and by later ones of the same major
    version.
    """
    wrote = chosen.card["libraries"]["tensorflow"]
    major, minor, *_ = [*wrote.split("."), "0"]
    if not (major.isdecimal() and minor.isdecimal()):
        raise UserError(f"{chosen.place} was made by TensorFlow {wrote!r}, which is no version.")
    return f"tensorflow>={major}.{minor},<{int(major) + 1}"
