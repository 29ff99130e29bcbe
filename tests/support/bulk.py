"""Runs the bulk inferrer for its tests."""

import json
from pathlib import Path
from typing import Any

from components.bulk_inferrer import (
    BulkInferrerParams,
    folder,
    job,
)
from seqline.component import Figures
from tests.support.corpus import write_jsonl

RESULTS = ("predictions", "bad_rows")


def infer(
    output: Path,
    model: Path,
    source: Path | str,
    force: bool = False,
    chunk_rows: int | None = None,
    **fields: Any,
) -> Figures:
    params = BulkInferrerParams(source=str(source), **fields)
    with folder.opened(output, model, params, force) as task:
        return job.infer(task, params, chunk_rows=chunk_rows)


def answers(output: Path) -> list[dict[str, Any]]:
    paths = sorted(output.glob("predictions-*.jsonl"))
    return [
        json.loads(line)
        for path in paths
        for line in path.read_text(encoding="utf-8").split("\n")[:-1]
    ]


def contents(output: Path) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes() for path in output.iterdir() if path.name.startswith(RESULTS)
    }


def write_texts(path: Path, texts: list[str]) -> Path:
    return write_jsonl(
        path, [{"id": f"row {number}", "text": text} for number, text in enumerate(texts)]
    )
