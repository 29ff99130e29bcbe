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
from serving.errors import InputError, short
from serving.mirror import fetch
from serving.remote import is_remote
from serving.rows import read_row
from serving.verify import DifferentError, verified
from serving.version_numbers import version_number

BATCH_SIZE = 256
# Where models are published by default, each in a folder of its name.
SERVING_DIR = "serving_dir"
NO_CLASS = "has no class: the model's probabilities for it are not finite numbers"
DEFAULT = "serving_default"
# A run exports a model as artifacts/exporter/<key>/saved_model.
EXPORTED = Path("artifacts", "exporter", "saved_model")
LABELS = Path("assets", "labels")
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
    try:
        with verified(model_dir, DAMAGED, unverified):
            signatures, content, labels = _load(model_dir)
    except DifferentError as error:
        raise InputError(f"{model_dir}: {error}") from None

    serve = signatures[DEFAULT]
    explain = _explaining(model_dir, signatures) if explained else None

    import tensorflow as tf

    arguments = serve.structured_input_signature[1]
    dim = arguments[content].shape[2] if content == "sequence" else 0

    read = (
        read_row(text, f"Row {number}", content, dim) for number, text in enumerate(texts, start=1)
    )

    number = 0
    for rows in _batches(read):
        request = {
            name: tf.constant(value, arguments[name].dtype)
            for name, value in _request(rows, content, dim).items()
        }
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

            ranked = sorted(zip(labels, probabilities, strict=True), key=lambda pair: -pair[1])
            yield {
                content: row,
                "label": label,
                "probabilities": {name: round(probability, 6) for name, probability in ranked},
                **reason,
            }


def _explaining(model_dir: Path, signatures: Any) -> Any:
    """The signature that explains answers.

    Raises:
        InputError: The model has none.
    """
    explain = signatures.get(explanation.SIGNATURE)
    if explain is None or explanation.OUTPUTS - explain.structured_outputs.keys():
        raise InputError(
            f"{model_dir} cannot explain its answers: {explanation.MISSING}. Leave {EXPLAIN} out,"
            " or name another model with --model."
        )
    return explain


def _load(model_dir: Path) -> tuple[Any, str, list[str]]:
    """The signatures of a SavedModel, the content that `serving_default` reads, and the labels.

    Raises:
        InputError: The model cannot be loaded, or is of another kind.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    problem = ""
    with standard_error_kept():
        import tensorflow as tf

        try:
            signatures = tf.saved_model.load(str(model_dir)).signatures
            serve = signatures[DEFAULT]
        except Exception as error:  # Damaged files make TensorFlow raise all kinds of errors.
            problem = short(getattr(error, "message", None) or str(error)) or type(error).__name__
    if problem:
        raise InputError(f"{model_dir} cannot be loaded ({problem}). Name another with --model.")

    contents = ("text", "tokens", "sequence")
    content = next((name for name in contents if name in serve.structured_input_signature[1]), "")
    if not content or not {"label", "probabilities"} <= set(serve.structured_outputs):
        raise InputError(
            f"{model_dir} is not a model of seqline: its signature serving_default does not"
            " classify texts, tokens or sequences."
        )

    try:
        lines = (model_dir / LABELS).read_text(encoding="utf-8").split("\n")[:-1]
    except (OSError, ValueError) as error:
        raise InputError(f"{model_dir / LABELS} cannot be read: {error}.") from None

    num_classes = serve.structured_outputs["probabilities"].shape[-1]
    if num_classes not in (None, len(lines)):
        raise InputError(
            f"{model_dir / LABELS} has {len(lines)} labels; the model has {num_classes} classes."
        )
    return signatures, content, lines


def _request(rows: list[Any], content: str, dim: int) -> dict[str, list[Any]]:
    """The arguments of `serving_default`, with rows padded to the longest one."""
    if content == "text":
        return {content: [_encode(text) for text in rows]}

    time = max(len(row) for row in rows)
    if content == "tokens":
        return {
            content: [[_encode(token) for token in row] + [b""] * (time - len(row)) for row in rows]
        }

    return {
        content: [row + [[0.0] * dim] * (time - len(row)) for row in rows],
        "length": [len(row) for row in rows],
    }


def _encode(text: str) -> bytes:
    # Undecodable bytes on standard input arrive as lone surrogates; the graph reads the bytes
    # themselves.
    return text.encode("utf-8", "surrogateescape")


def _batches(rows: Iterable[Any]) -> Iterator[list[Any]]:
    batch: list[Any] = []
    for row in rows:
        batch.append(row)
        if len(batch) == BATCH_SIZE:
            yield batch
            batch = []
    if batch:
        yield batch


@contextlib.contextmanager
def standard_error_kept() -> Iterator[None]:
    """Holds back what is written to descriptor 2, and shows it only after an error, not a stop.

    TensorFlow's C++ code writes there before any log level counts. The lines may explain an error.
    """
    sys.stderr.flush()
    before = os.dup(2)
    with tempfile.TemporaryFile() as lines:
        os.dup2(lines.fileno(), 2)

        try:
            yield
        except Exception:
            sys.stderr.flush()
            lines.seek(0)
            os.write(before, lines.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(before, 2)
            os.close(before)


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
