"""The state that a retraining leaves for the next one: <root>/retrain/<name>/state.json.

Only the owner of the model's retraining lock writes it. Before models had names, a root had one
model, and the file was <root>/retrain/state.json. The first model that is retrained goes on with
that file.
"""

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from pipeline.store.folder import Store
from seqline.storage import records

# Pushes whose spans are remembered: after a rollback, one of them is served again.
MAX_PUSHES = 100

# Span number -> digest of its content.
Spans = dict[str, str]


@dataclass(kw_only=True)
class LastVerdict:
    """The last retraining that came to a verdict, fields in the order of the file.

    Attributes:
        fingerprint: The digest of `parts`.
        parts: All that shaped the candidate and its gates, by stage (`decide.parts_of`).
        spans: The spans that it was trained on.
        verdict, reason: How it ended, and why.
        run: The name of the run.
        ends: Whether the verdict still holds if nothing has changed.
    """

    fingerprint: str
    parts: dict[str, Any]
    spans: Spans = field(default_factory=dict)
    verdict: str
    reason: str
    run: str
    ends: bool


@dataclass(kw_only=True)
class Baseline:
    """The served version that an attempt compares its candidate with."""

    version: int
    digest: str


@dataclass(kw_only=True)
class Attempt:
    """A retraining that has no verdict yet, fields in the order of the file.

    Attributes:
        run: The name of its run, empty before that begins.
        served: The version to compare with; None if nothing was served.
        new: The numbers of the spans that the served model has not seen.
        bootstrap: Whether it makes the first model.
        start: cold, warm or both, see `pipeline.retrain.warm`.
        warm_start: The folder of the Model to start from; None for a cold start.
        why_start: Why it starts so.
        fingerprint: The digest of what shapes the candidate and its gates.
        started: When, in ISO 8601.
        starts: The figures of the warm and the cold training, once both are finished.
    """

    run: str
    served: Baseline | None
    new: list[int]
    bootstrap: bool
    start: str = "cold"
    warm_start: str | None = None
    why_start: str = ""
    fingerprint: str
    started: str
    starts: dict[str, dict[str, Any]] | None = None


@dataclass(kw_only=True)
class Push:
    """A model that a retraining pushed, or found served already."""

    digest: str  # of the pushed files
    version: int
    run: str
    spans: Spans  # that it was trained on
    model: str  # the key of the Model that it was made of
    start: str = "cold"


@dataclass(kw_only=True)
class LeftOutSpan:
    """A span that was rejected.

    It is left out as long as its content and the parameters that judge it stay the same.
    """

    digest: str  # of its content
    judged_by: str  # the digest of the parameters that judged it
    reason: str
    run: str
    since: str  # ISO 8601


@dataclass
class State:
    """The state of the retraining of a model.

    Attributes:
        last: The last verdict.
        attempt: The retraining that has no verdict yet.
        pushes: The pushed models, the newest last.
        left_out: Number of a span -> why it is left out.
    """

    last: LastVerdict | None = None
    attempt: Attempt | None = None
    pushes: list[Push] = field(default_factory=list)
    left_out: dict[str, LeftOutSpan] = field(default_factory=dict)

    def trained_on(self, digest: str) -> Spans:
        """The spans that a served model has seen.

        A model that no retraining pushed is taken for the last one that was pushed.
        """
        known = [push for push in self.pushes if push.digest == digest] or self.pushes
        return known[-1].spans if known else {}

    def as_json(self) -> dict[str, Any]:
        """The content of state.json."""
        content = asdict(self)
        if self.attempt and self.attempt.starts is None:
            del content["attempt"]["starts"]
        return content


def _path(store: Store, name: str) -> Path:
    return store.root / "retrain" / name / "state.json"


def _path_without_name(store: Store) -> Path:
    return store.root / "retrain" / "state.json"


def load(store: Store, name: str) -> State:
    """The state of a model, by its name. Raises UserError for a damaged file."""
    for path in (_path(store, name), _path_without_name(store)):
        way_out = "Remove it: the next retraining then judges everything again."
        try:
            content = records.read_object(path, way_out)
        except FileNotFoundError:
            continue
        state = records.parse(State, content, path, way_out)
        # Every release wrote all of them: what is missing would be forgotten in silence.
        if missing := [info.name for info in fields(State) if info.name not in content]:
            raise records.damaged(path, f"{missing[0]}: Field required", way_out)
        return state
    return State()


def save(store: Store, name: str, state: State) -> None:
    """Writes the state of a model. A reader sees the old one or the new one."""
    state.pushes = state.pushes[-MAX_PUSHES:]
    path = _path(store, name)
    if isinstance(path, Path):
        path.parent.mkdir(parents=True, exist_ok=True)
    records.write_object(state.as_json(), path)
    if _path_without_name(store).is_file():
        _path_without_name(store).unlink(missing_ok=True)
