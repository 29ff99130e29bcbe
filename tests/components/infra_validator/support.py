"""Models to validate, and the processes of servers, for the tests of the infra validator."""

import json
import os
from pathlib import Path
from typing import Any

from components.evaluator.answers import write_answers
from components.infra_validator import (
    InfraValidatorParams,
    run,
)
from tests.support.corpus import write_examples
from tests.support.evaluations import write_evaluation
from tests.support.models import fake_model


def validate(
    saved_model: Path, evaluation: Path, output: Path, **params: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Runs the component; returns (figures, blessing.json)."""
    output.mkdir()
    figures = run(
        saved_model=saved_model,
        evaluation=evaluation,
        params=InfraValidatorParams(**params),
        output=output,
    )
    return figures, json.loads((output / "blessing.json").read_text())


def servers_on(folder: Path) -> list[str]:
    """The processes that have a folder in their command line (Linux)."""
    commands = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(folder).encode() in path.read_bytes() and path.parent.name != str(os.getpid()):
                commands.append(path.read_text().replace("\0", " "))
        except OSError:
            continue
    return commands


def evaluated(content: str, folder: Path) -> tuple[Path, Path]:
    """(a SavedModel artifact, its Evaluation) of rows of tokens, or of a sequence."""
    rows = [
        (
            ["token"] * size if content == "tokens" else [[1.0, 0.1 * size]] * size,
            ["even", "odd"][size % 2],
        )
        for size in range(1, 8)
    ]

    examples = write_examples(folder / "examples", {"test": rows}, content)
    model, evaluation = fake_model(folder / "model", content), folder / "evaluation"
    evaluation.mkdir()
    write_evaluation(evaluation)
    write_answers(examples, model, evaluation / "answers.jsonl")
    return folder / "model", evaluation


def program(path: Path, script: str) -> str:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)
