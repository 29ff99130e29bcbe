"""What a retraining remembers for the next one: <root>/retrain/state.json, written only by who holds the lock."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from components.base import UserError
from components.staging import writing
from pipeline.store import Store

# Pushes whose spans are remembered: after a rollback, one of them is served again.
NUM_PUSHES = 100

Record = dict[str, Any]


@dataclass
class State:
    """last: the last verdict {fingerprint, parts, verdict, reason, run, ends}. attempt: a retraining that has none yet, None after it has.

    pushes: {digest, version, run, spans, model, start}, the newest last; spans: number -> digest. left_out: number of a span that was rejected ->
    {digest, judged_by, reason, run, since}; as long as its content and what it is judged by are the same, it is not there.
    """

    last: Record | None = None
    attempt: Record | None = None
    pushes: list[Record] = field(default_factory=list)
    left_out: dict[str, Record] = field(default_factory=dict)

    def trained_on(self, digest: str | None) -> dict[str, str]:
        """The spans (number -> digest) that a served model has seen; those of the last push for one that nobody knows."""
        known = [push for push in self.pushes if push["digest"] == digest] or self.pushes
        return known[-1]["spans"] if known else {}


def _path(store: Store) -> Path:
    return store.root / "retrain" / "state.json"


def load(store: Store) -> State:
    """Raises UserError for a file that is not what was written."""
    try:
        content = json.loads(_path(store).read_text(encoding="utf-8"))
        return State(**content)
    except FileNotFoundError:
        return State()
    except (ValueError, TypeError) as error:
        raise UserError(f"{_path(store)} is damaged ({error}). Take it away: the next retraining then judges everything anew.") from None


def save(store: Store, state: State) -> None:
    """A reader sees the old one or the new one."""
    state.pushes = state.pushes[-NUM_PUSHES:]
    path = _path(store)
    if isinstance(path, Path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with writing(path) as name:
        Path(name).write_text(json.dumps(asdict(state), indent=2) + "\n", encoding="utf-8")
