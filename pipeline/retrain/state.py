"""What the retraining of a model remembers for the next one.

<root>/retrain/<name>/state.json, written only by who holds its lock.

Before models had names it was <root>/retrain/state.json, for the one model of a root: the first one
that is retrained goes on with it.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipeline.store.folder import Store
from seqline.errors import UserError
from seqline.storage.staging import writing

# Pushes whose spans are remembered: after a rollback, one of them is served again.
NUM_PUSHES = 100

Record = dict[str, Any]


@dataclass
class State:
    """last.

    The last verdict {fingerprint, parts, verdict, reason, run, ends}. attempt: a retraining that
    has none yet, None after it has.

    pushes: {digest, version, run, spans, model, start}, the newest last; spans: number -> digest.
    left_out: number of a span that was rejected -> {digest, judged_by, reason, run, since}; as long
    as its content and what it is judged by are the same, it is not there.
    """

    last: Record | None = None
    attempt: Record | None = None
    pushes: list[Record] = field(default_factory=list)
    left_out: dict[str, Record] = field(default_factory=dict)

    def trained_on(self, digest: str | None) -> dict[str, str]:
        """The spans (number -> digest) that a served model has seen.

        Those of the last push for one that nobody knows.
        """
        known = [push for push in self.pushes if push["digest"] == digest] or self.pushes
        return known[-1]["spans"] if known else {}


def _path(store: Store, name: str) -> Path:
    return store.root / "retrain" / name / "state.json"


def _path_without_name(store: Store) -> Path:
    return store.root / "retrain" / "state.json"


def load(store: Store, name: str) -> State:
    """The state of a model, by its name.

    Raises UserError for a file that is not what was written.
    """
    for path in (_path(store, name), _path_without_name(store)):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return State(**content)
        except FileNotFoundError:
            continue
        except (ValueError, TypeError) as error:
            raise UserError(
                f"{path} is damaged ({error}). Take it away: the next retraining then judges"
                " everything anew."
            ) from None
    return State()


def save(store: Store, name: str, state: State) -> None:
    """A reader sees the old one or the new one."""
    state.pushes = state.pushes[-NUM_PUSHES:]
    path = _path(store, name)
    if isinstance(path, Path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with writing(path) as part:
        Path(part).write_text(json.dumps(asdict(state), indent=2) + "\n", encoding="utf-8")
    if _path_without_name(store).is_file():
        _path_without_name(store).unlink(missing_ok=True)
