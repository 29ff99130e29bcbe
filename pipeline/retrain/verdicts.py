"""The verdict of a retraining: how its run ended, and why."""

from collections.abc import Sequence
from typing import Any

from pipeline.retrain import (
    EXIT_CODES,
    FAILED,
    INTERRUPTED,
    NOTHING_NEW,
    PUSHED,
    REFUSED,
    REJECTED,
)
from pipeline.retrain.state import Baseline
from pipeline.runner.run import StageResult
from seqline.errors import DataError, NotBlessedError, UserError


def of_run(
    results: Sequence[StageResult], error: BaseException | None, before: Baseline | None
) -> tuple[str, str]:
    """Judges a run.

    Args:
        results: The stages that have succeeded.
        error: The error that ended the run; None if it reached its end.
        before: The version that was served before, if any.

    Returns:
        (one of the verdicts in `pipeline.retrain`, the reason in one line).
    """
    if error is None:
        return _of_push(figures(results, "pusher"), before)

    reason = " ".join(str(error).split()) or type(error).__name__
    exit_code = getattr(error, "exit_code", None)

    if isinstance(error, KeyboardInterrupt) or exit_code == EXIT_CODES[INTERRUPTED]:
        return INTERRUPTED, reason
    if isinstance(error, DataError):
        return REJECTED, reason
    if isinstance(error, NotBlessedError):
        return REFUSED, reason.removeprefix("The model is not blessed and was not pushed: ")
    if isinstance(error, UserError):
        return FAILED, reason
    return FAILED, f"{type(error).__name__}: {reason.splitlines()[-1]}"


def _of_push(push: dict[str, Any], before: Baseline | None) -> tuple[str, str]:
    place = f"{push['serving_dir']}/{push['version']}"
    if push["rolled_back"]:
        return NOTHING_NEW, f"the candidate is the model that {place} was rolled back from"
    if before and before.digest == push["digest"]:
        return NOTHING_NEW, f"the candidate is the model that is served: {place}"
    if before:
        return PUSHED, f"{place} is served, in place of version {before.version}"
    return PUSHED, f"{place} is served, the first model"


def figures(results: Sequence[StageResult], stage: str) -> dict[str, Any]:
    """The figures of a stage that has succeeded."""
    return next(result.figures for result in results if result.stage.name == stage)
