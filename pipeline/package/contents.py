"""What packages hold: the model, and the code that asks it."""

import base64
import re
from collections.abc import Mapping
from pathlib import Path

import serving
from pipeline.package.choose import Chosen
from pipeline.package.naming import tensorflow_of, version_of
from seqline.model.digest import CARD

# The modules of serving/ that a package has copies of: they need the standard library and
# TensorFlow alone, and import one another.
MODULES = ("asking", "errors", "packaged", "rows", "verify")
IMPORT = re.compile(r"^(\s*)from serving\.(\w+) import ", re.MULTILINE)
METADATA_BLOCK = re.compile(r"\A---\n.*?\n---\n\s*", re.DOTALL)
PYTHON = ">=3.11"
FACE = '''"""{summary}

    import {module}
    {module}.predict([{row}])

Or `python -m {module} '{text}'`. It needs TensorFlow alone.
"""

from .errors import InputError
from .packaged import Model, load, predict, predict_proba

__all__ = ["InputError", "Model", "load", "predict", "predict_proba"]
__version__ = "{version}"
'''
MAIN = "from .packaged import main\n\nmain()\n"
# A zip archive is a program, but TensorFlow reads models from folders only.
ZIP_MAIN = '''"""Asks the model: `python THIS "a text"`, with the archive or its folder for THIS."""

import sys
import tempfile
import zipfile
from pathlib import Path

here = Path(__file__).parent
with tempfile.TemporaryDirectory(prefix="{module}-") as folder:
    if here.is_file():
        with zipfile.ZipFile(here) as archive:
            archive.extractall(folder)
        sys.path.insert(0, folder)
    from {module}.packaged import main

    main()
'''
EXAMPLES = {"text": "a text", "tokens": '["two", "tokens"]', "sequence": "[[0.0], [1.0]]"}


def example(chosen: Chosen) -> str:
    """A row that the model can be asked about, as a person types it."""
    content = chosen.card.get("content", "text")
    dim = chosen.card.get("data", {}).get("dim")
    if content == "sequence" and isinstance(dim, int):
        return str([[0.0] * dim] * 2)
    return EXAMPLES[content]


def summary(chosen: Chosen) -> str:
    """One line on the package."""
    version = "" if chosen.version is None else f", version {chosen.version}"
    return f"The model {chosen.name}{version}: a sequence classifier made by seqline."


def card_of(chosen: Chosen) -> str:
    """The model card without its metadata block; a line for a model without one."""
    path = chosen.folder / CARD
    if CARD not in chosen.files or not path.is_file():
        return f"# {chosen.name}\n\n{summary(chosen)}\n"
    return METADATA_BLOCK.sub("", path.read_text(encoding="utf-8"))


def module_entries(chosen: Chosen, module: str) -> dict[str, Path | bytes]:
    """The files of the module: path in the archive -> file or content."""
    text = example(chosen)
    row = repr(text) if chosen.card.get("content", "text") == "text" else text
    face = FACE.format(
        summary=summary(chosen), module=module, row=row, text=text, version=version_of(chosen)
    )
    entries: dict[str, Path | bytes] = {
        f"{module}/__init__.py": face.encode(),
        f"{module}/__main__.py": MAIN.encode(),
    }
    room = Path(serving.__file__).parent
    for name in MODULES:
        source = (room / f"{name}.py").read_text(encoding="utf-8")
        entries[f"{module}/{name}.py"] = IMPORT.sub(r"\1from .\2 import ", source).encode()
    for file in sorted(chosen.files):
        entries[f"{module}/model/{file}"] = chosen.folder / file
    return entries


def wheel_entries(chosen: Chosen, module: str) -> dict[str, Path | bytes]:
    """The files of a wheel, but for its RECORD."""
    version = version_of(chosen)
    info = f"{module}-{version}.dist-info"
    metadata = [
        "Metadata-Version: 2.1",
        f"Name: {module}",
        f"Version: {version}",
        f"Summary: {summary(chosen)}",
        f"Requires-Python: {PYTHON}",
        f"Requires-Dist: {tensorflow_of(chosen)}",
        "Description-Content-Type: text/markdown; charset=UTF-8",
        "",
        card_of(chosen),
    ]
    wheel = "Wheel-Version: 1.0\nGenerator: seqline\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    return {
        **module_entries(chosen, module),
        f"{info}/METADATA": "\n".join(metadata).encode(),
        f"{info}/WHEEL": wheel.encode(),
    }


def record(written: Mapping[str, tuple[str, int]], info: str) -> bytes:
    """The RECORD of a wheel.

    Args:
        written: Path -> (SHA-256 in hexadecimal, size).
        info: The folder of the wheel's metadata.
    """
    lines = []
    for name, (digest, size) in written.items():
        encoded = base64.urlsafe_b64encode(bytes.fromhex(digest)).rstrip(b"=").decode()
        quoted = f'"{name}"' if "," in name else name
        lines.append(f"{quoted},sha256={encoded},{size}")
    return "\n".join([*lines, f"{info}/RECORD,,", ""]).encode()


def zip_entries(chosen: Chosen, module: str) -> dict[str, Path | bytes]:
    """The files of a zip archive that is a program."""
    return {
        "__main__.py": ZIP_MAIN.format(module=module).encode(),
        "README.md": card_of(chosen).encode(),
        "requirements.txt": f"{tensorflow_of(chosen)}\n".encode(),
        **module_entries(chosen, module),
    }
