"""Asks a SavedModel, with TensorFlow alone.

`python -m serving.predict MODEL "a text"` works without anything else that seqline depends on.
"""

import contextlib
import json
import math
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from serving import explanation
from serving.asking import DEFAULT, LoadedModel, batches, standard_error_kept
from serving.errors import InputError
from serving.mirror import fetch
from serving.remote import is_remote
from serving.rows import read_row
from serving.version_numbers import version_number

# Where models are published by default, each in a folder of its name.
SERVING_DIR = "serving_dir"
NO_CLASS = "has no class: the model's probabilities for it are not finite numbers"
# A run exports a model as artifacts/exporter/<key>/saved_model.
EXPORTED = Path("artifacts", "exporter", "saved_model")
UNVERIFIED, EXPLAIN, JSON = FLAGS = "--unverified", "--explain", "--json"
DAMAGED = (
    "Push it again, roll back (seqline rollback), or name another version with --model;"
    f" {UNVERIFIED} asks it as it is."
)


# Loading a model looks for its variables by a glob in which the folder is not escaped.
WILDCARDS = "*?[\\"


def find_model(path: Path) -> Path:
    """The SavedModel at a path: the folder itself, or the newest version of the model under it.

    Raises:
        InputError: There is none, or there are several models; see `find_versions`.
    """
    # A model in a bucket is copied to a place of its own.
    wildcards = WILDCARDS if isinstance(path, Path) else ""
    for character in wildcards:
        if character in str(path.absolute()):
            raise InputError(
                f"The model at {str(path)!r} cannot be loaded: TensorFlow takes {character!r} in"
                f" the path {str(path.absolute())!r} for a wildcard. Move or copy it."
            )
    if (path / "saved_model.pb").is_file():
        return path

    folder = find_versions(path, "--model")
    versions = version_folders(folder)
    if not versions:
        raise InputError(f"No SavedModel at {path}, nor a version of one under it. {_way_out()}")
    return versions[max(versions)]


def find_versions(path: Path, flag: str) -> Path:
    """The folder that holds a model's versions.

    Under SERVING_DIR every model has a folder of its name.

    Args:
        path: A folder with versions, or one with such folders.
        flag: The flag by which another folder is named.

    Returns:
        The path itself or the only folder with versions under it. The path if there is none.

    Raises:
        InputError: There are several models. The message lists them.
    """
    models = find_models(path)
    if version_folders(path):
        if not models or str(path) != SERVING_DIR:
            return path

        # Before models had names, the default place held versions itself. Which of the two is meant
        # cannot be known.
        raise InputError(
            f"{path} holds versions itself, from before models had names, and those of"
            f" {', '.join(models)} beneath. Name one: {flag} {next(iter(models.values()))}, or"
            f" {flag} {os.path.join(os.getcwd(), SERVING_DIR)} for those from before."
        )

    if len(models) > 1:
        raise InputError(
            f"{path} holds {len(models)} models: {', '.join(models)}. Name one: {flag}"
            f" {next(iter(models.values()))}"
        )
    return next(iter(models.values()), path)


def find_models(path: Path) -> dict[str, Path]:
    """Name -> folder of the models under a path that have a folder of their own."""
    folders = {
        file.parent.parent
        for file in path.glob("*/*/saved_model.pb")
        if version_number(file.parent.name) is not None
    }
    return {
        folder.name: folder
        for folder in sorted(folders, key=lambda folder: folder.name)
        if version_number(folder.name) is None
    }


def version_folders(path: Path) -> dict[int, Path]:
    """Number -> folder of the versions under a path.

    Of two folders with one number, such as 123 and 00123, the one with the shorter name counts.
    """
    folders = [file.parent for file in path.glob("*/saved_model.pb")]
    # The shortest name comes last, and stays.
    return {
        number: folder
        for folder in sorted(folders, key=lambda folder: -len(folder.name))
        if (number := version_number(folder.name)) is not None
    }


def _way_out() -> str:
    """A sentence on what to ask instead: the last exported model, if a run got so far."""
    exported = [
        file
        for file in EXPORTED.parent.glob(f"*/{EXPORTED.name}/saved_model.pb")
        if (file.parents[1] / "execution.json").is_file()
    ]
    if not exported:
        return "Push a model first: seqline run my.toml"
    last = max(exported, key=lambda file: file.stat().st_mtime).parent
    return (
        "The model that was exported last was not pushed (seqline report says why). To ask it:"
        f" --model {last}"
    )


def predict(
    model_dir: Path, texts: Iterable[str], unverified: bool = False, explained: bool = False
) -> Iterator[dict[str, Any]]:
    """Answers texts in order.

    How a text is read depends on the content of the model:

      text      as it is
      tokens    as a JSON list of strings; anything else is split at white space
      sequence  as a JSON list of time steps, each a list of as many numbers as the model reads

    Args:
        model_dir: The SavedModel.
        texts: The texts.
        unverified: Ask a pushed version even if its files are not those that were pushed.
        explained: Say why, too.

    Yields:
        {content: what was read, "label": ..., "probabilities": {label: probability}}, with the
        likeliest label first, and "explanation" as `serving.explanation.explanations` gives it.
        {content: what was read, "error": why} for a row that has no class: its numbers are so large
        that the probabilities are not finite.

    Raises:
        InputError: The version is not what was pushed, it cannot be explained, or a text cannot be
            read as the content. The batch that it is in, of up to BATCH_SIZE texts, is not
            answered.
    """
    model = LoadedModel(model_dir, DAMAGED, unverified)
    content, serve = model.content, model.signature(DEFAULT)
    explain = _explaining(model) if explained else None

    read = (
        read_row(text, f"Row {number}", content, model.dim)
        for number, text in enumerate(texts, start=1)
    )

    number = 0
    for rows in batches(read):
        request = model.request(rows)
        with standard_error_kept():
            answer = serve(**request)
            reasons = explain(**request) if explain else {}

        # label [batch], probabilities [batch, num_classes]
        named = [label.decode() for label in answer["label"].numpy()]
        why = explanation.explanations(
            {name: value.numpy() for name, value in reasons.items()}, named if explain else []
        )
        answers = zip(rows, named, answer["probabilities"].numpy().tolist(), strict=True)
        for row, label, probabilities in answers:
            number += 1
            reason = {"explanation": next(why)} if explain else {}
            if not all(map(math.isfinite, probabilities)):
                yield {content: row, "error": f"Row {number} {NO_CLASS}."}
                continue

            ranked = sorted(
                zip(model.labels, probabilities, strict=True), key=lambda pair: -pair[1]
            )
            yield {
                content: row,
                "label": label,
                "probabilities": {name: round(probability, 6) for name, probability in ranked},
                **reason,
            }


def _explaining(model: LoadedModel) -> Any:
    """The signature that explains answers.

    Raises:
        InputError: The model has none.
    """
    explain = model.signature(explanation.SIGNATURE)
    if explain is None or explanation.OUTPUTS - explain.structured_outputs.keys():
        raise InputError(
            f"{model.folder} cannot explain its answers: {explanation.MISSING}. Leave {EXPLAIN}"
            " out, or name another model with --model."
        )
    return explain


def without_class(errors: Sequence[str]) -> str:
    """A sentence on the errors of rows that have no class."""
    if len(errors) == 1:
        return errors[0]
    return f"{len(errors)} rows have no class. The first: {errors[0]}"


def main() -> None:
    """`python -m serving.predict [--unverified] [--explain [--json]] MODEL [TEXT ...]`.

    Without a TEXT it reads texts from standard input, one a line.
    """
    arguments, flags = sys.argv[1:], set()
    while arguments and arguments[0] in FLAGS:
        flags.add(arguments.pop(0))
    if not arguments:
        sys.exit(
            f"usage: python -m serving.predict [{UNVERIFIED}] [{EXPLAIN} [{JSON}]] MODEL [TEXT ...]"
        )

    model, *texts = arguments
    for flag in set(FLAGS).intersection(texts):
        sys.exit(f"error: {flag} is a flag, and stands before MODEL; here it would be a text.")
    lines = (line.rstrip("\n") for line in sys.stdin)
    explained, as_json = EXPLAIN in flags, JSON in flags
    errors = []
    try:
        with _local(model) as folder:
            for answer in predict(folder, texts or lines, UNVERIFIED in flags, explained):
                print(printed(answer, explained and not as_json))
                errors += [answer["error"]] if "error" in answer else []
    except InputError as error:
        sys.exit(f"error: {error}")

    if errors:
        sys.exit(f"error: {without_class(errors)}")


@contextlib.contextmanager
def _local(model: str) -> Iterator[Path]:
    """The folder of the SavedModel that a path names, a copy if it is in an object store."""
    if not is_remote(model):
        yield find_model(Path(model))
        return

    with tempfile.TemporaryDirectory(prefix="seqline-model-") as folder:
        yield fetch(model, Path(folder))


def printed(answer: dict[str, Any], as_text: bool) -> str:
    """An answer as a line of JSON, or with its explanation as text that ends with an empty line."""
    line = json.dumps(answer, ensure_ascii=False)
    if as_text:
        line = "\n".join([*explanation.lines(answer), ""])
    # A row may hold bytes that are not UTF-8, and the output must be.
    return line.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


if __name__ == "__main__":
    main()
