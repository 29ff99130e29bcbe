"""What `tests.soak.damage` damages: the files of a small run, and the ways to damage them."""

import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.store import layout
from tests.soak import small_run

ARTIFACTS = small_run.ROOT
SERVED = "serving_dir/small"
# A depth at which Python's parser gives up.
DEEP = 100_000


@dataclass(frozen=True)
class Kind:
    """A kind of artifact or of record, and a stage that reads it.

    Attributes:
        name: of the kind.
        pattern: of its folder for an artifact, of its file for a record; the last match counts.
        reader: The stage whose artifact is removed, so that the next run reads this one for
            work; "" if no stage reads it, or if every run does.
    """

    name: str
    pattern: str
    reader: str = ""

    def path(self, folder: Path) -> Path | None:
        matches = sorted(folder.glob(self.pattern))
        return matches[-1] if matches else None


KINDS = [
    Kind("Examples", f"{ARTIFACTS}/example_gen/*", "evaluator"),
    Kind("Statistics", f"{ARTIFACTS}/statistics_gen/*", "schema_gen"),
    Kind("Schema", f"{ARTIFACTS}/schema_gen/*", "example_validator"),
    Kind("Anomalies", f"{ARTIFACTS}/example_validator/*"),
    Kind("TransformGraph, Features", f"{ARTIFACTS}/transform/*", "trainer"),
    Kind("Hyperparameters", f"{ARTIFACTS}/tuner/*", "trainer"),
    Kind("Model", f"{ARTIFACTS}/trainer/*", "exporter"),
    Kind("SavedModel", f"{ARTIFACTS}/exporter/*", "pusher"),
    Kind("Evaluation", f"{ARTIFACTS}/evaluator/*", "pusher"),
    Kind("InfraBlessing", f"{ARTIFACTS}/infra_validator/*", "pusher"),
    Kind("Push", f"{ARTIFACTS}/pusher/*"),
    Kind("Predictions", f"{ARTIFACTS}/bulk_inferrer/*"),
    Kind("span cache, Examples", f"{ARTIFACTS}/span_cache/example_gen/*/", "example_gen"),
    Kind("span cache, rows", f"{ARTIFACTS}/span_cache/statistics_gen/*/", "statistics_gen"),
    Kind("span cache, counts", f"{ARTIFACTS}/span_cache/transform/*/", "transform"),
    Kind("pushed version", f"{SERVED}/1", "evaluator"),
    Kind("checkpoint", f"{ARTIFACTS}/work/trainer-*"),
]

RECORDS = [
    Kind("run.json", f"{ARTIFACTS}/runs/*/run.json"),
    Kind("execution.json", f"{ARTIFACTS}/schema_gen/*/execution.json"),
    Kind("execution.json (pusher)", f"{ARTIFACTS}/pusher/*/execution.json"),
    Kind("push.json", f"{ARTIFACTS}/pusher/*/push.json"),
    Kind("manifest.json", f"{SERVED}/1/assets.extra/manifest.json"),
    Kind("version's evaluation.json", f"{SERVED}/1/assets.extra/evaluation.json"),
    Kind("version's model.json", f"{SERVED}/1/assets.extra/model.json"),
    Kind("models.config", f"{SERVED}/models.config"),
    Kind("history.jsonl", f"{SERVED}/history.jsonl"),
    Kind("state.json", f"{ARTIFACTS}/retrain/small/state.json"),
    Kind("examples.json", f"{ARTIFACTS}/example_gen/*/examples.json", "statistics_gen"),
    Kind("statistics.json", f"{ARTIFACTS}/statistics_gen/*/statistics.json", "schema_gen"),
    Kind("origin.json", f"{ARTIFACTS}/schema_gen/*/origin.json", "example_validator"),
    Kind("anomalies.json", f"{ARTIFACTS}/example_validator/*/anomalies.json"),
    Kind("transform.json", f"{ARTIFACTS}/transform/*/transform.json", "trainer"),
    Kind("best.json", f"{ARTIFACTS}/tuner/*/best.json", "trainer"),
    Kind("trials.json", f"{ARTIFACTS}/tuner/*/trials.json"),
    Kind("network.json", f"{ARTIFACTS}/trainer/*/network.json", "exporter"),
    Kind("history.json", f"{ARTIFACTS}/trainer/*/history.json"),
    Kind("model.json", f"{ARTIFACTS}/exporter/*/saved_model/assets.extra/model.json", "pusher"),
    Kind("evaluation.json", f"{ARTIFACTS}/evaluator/*/evaluation.json", "pusher"),
    Kind("blessing.json", f"{ARTIFACTS}/infra_validator/*/blessing.json", "pusher"),
    Kind("predictions.json", f"{ARTIFACTS}/bulk_inferrer/*/predictions.json"),
    Kind("task.json", f"{ARTIFACTS}/bulk_inferrer/*/task.json"),
    Kind("digests.json", f"{ARTIFACTS}/span_cache/example_gen/digests.json"),
    Kind("span.json", f"{ARTIFACTS}/span_cache/example_gen/*/span.json", "example_gen"),
]


def files_of(path: Path) -> list[Path]:
    """The files of an artifact that are part of its content, the largest first."""
    files = [file for file in path.rglob("*") if file.is_file()]
    content = [file for file in files if file.relative_to(path).parts[0] not in layout.RECORDS]
    return sorted(content, key=lambda file: (-file.stat().st_size, str(file)))


def flip(file: Path) -> None:
    """Flips a bit in the middle, in place: of all names that the file has."""
    with file.open("r+b") as opened:
        content = opened.read()
        middle = len(content) // 2
        opened.seek(middle)
        opened.write(bytes([content[middle] ^ 1]) if content else b"?")


def cut(file: Path) -> None:
    """Cuts it to half of its size, in place."""
    with file.open("r+b") as opened:
        opened.truncate(file.stat().st_size // 2)


def delete(file: Path) -> None:
    file.unlink()


DAMAGES: dict[str, Callable[[Path], None]] = {"flip": flip, "cut": cut, "delete": delete}


def wrong_types(value: Any) -> Any:
    """The same shape at the top, each value of another type; all of them true in Python."""
    if isinstance(value, dict):
        return {name: other_type(inner) for name, inner in value.items()}
    return other_type(value)


def other_type(value: Any) -> Any:
    if isinstance(value, bool) or value is None:
        return "no"
    if isinstance(value, int | float):
        return "many"
    if isinstance(value, str):
        return 7
    if isinstance(value, list):
        return {"0": value[:1]}
    return list(value) or [1]


def by_json(change: Callable[[Any], Any], otherwise: Callable[[str], str]) -> Any:
    """A damage to the JSON of a file, of each line of a .jsonl; to the text of other files."""

    def damage(file: Path) -> None:
        text = file.read_text(encoding="utf-8")
        if file.suffix == ".jsonl":
            lines = [json.dumps(change(json.loads(line))) + "\n" for line in text.splitlines()]
            text = "".join(lines)
        elif file.suffix == ".json":
            text = json.dumps(change(json.loads(text)))
        else:
            text = otherwise(text)
        file.write_text(text, encoding="utf-8")

    return damage


def deeper(file: Path) -> None:
    braces = ("{", "}") if file.suffix == ".config" else ('{"a":', "}")
    inner = "" if file.suffix == ".config" else "1"
    name = "a " if file.suffix == ".config" else ""
    file.write_text(f"{name}{braces[0]}" * DEEP + inner + braces[1] * DEEP)


RECORD_DAMAGES: dict[str, Callable[[Path], None]] = {
    "empty": lambda file: file.write_bytes(b"") and None,
    "cut": cut,
    "garbage": lambda file: file.write_bytes(random.Random(0).randbytes(500)) and None,
    "wrong types": by_json(wrong_types, lambda text: re.sub(r"value: \d+", 'value: "x"', text)),
    "fields missing": by_json(
        lambda value: type(value)(), lambda text: re.sub(r"(name|base_path): .*\n", "", text)
    ),
    "deep": deeper,
    "other shape": by_json(
        lambda value: [value] if isinstance(value, dict) else {"0": value},
        lambda text: text.replace("model_config_list", "config_list"),
    ),
}
