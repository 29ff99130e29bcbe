"""Records of artifacts and runs for tests that need only some of their fields."""

from typing import Any

from pipeline.store.records import Execution, RunRecord


def execution(component: str, key: str, **fields: Any) -> Execution:
    """A record of an artifact with no inputs, params or figures but those that are given."""
    default: dict[str, Any] = {
        "type": "Value",
        "key_parts": {},
        "params": {},
        "inputs": {},
        "figures": {},
        "started": "2026-01-01T00:00:00.000+00:00",
        "finished": "2026-01-01T00:00:01.000+00:00",
        "seconds": 1.0,
    }
    return Execution(component=component, key=key, **{**default, **fields})


def run_record(run: str, **fields: Any) -> RunRecord:
    """A record of a run that is going on and of which no stage has ended, unless told otherwise."""
    default: dict[str, Any] = {
        "started": "2026-01-01T00:00:00.000+00:00",
        "verdict": "running",
        "stages": [],
    }
    return RunRecord(run=run, **{**default, **fields})
