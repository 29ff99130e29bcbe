"""The law of `seqline gc`: nothing served or referenced goes, and everything else does."""

import json
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.gc_roots import Root

# (component, key)
Artifact = tuple[str, str]

# (component, numbers that choose the inputs among the artifacts so far)
ARTIFACTS = st.lists(
    st.tuples(
        st.sampled_from(["example_gen", "transform", "trainer", "pusher"]),
        st.lists(st.integers(0, 30), max_size=3),
    ),
    max_size=16,
)
# (numbers that choose the artifacts made, how it ended, numbers that choose those used)
RUNS = st.lists(
    st.tuples(
        st.lists(st.integers(0, 30), max_size=4),
        st.sampled_from(["finished", "failed", "running", "alive"]),
        st.lists(st.integers(0, 30), max_size=2),
    ),
    max_size=5,
)


def make_artifacts(
    root: Root, artifacts: list[Any]
) -> tuple[list[Artifact], dict[Artifact, list[Artifact]]]:
    """Returns the artifacts in their order, and the inputs of each."""
    served_from = str(root.serving_dir.absolute())
    made: list[Artifact] = []
    inputs: dict[Artifact, list[Artifact]] = {}

    for number, (component, picks) in enumerate(artifacts):
        chosen = sorted({pick % number for pick in picks}) if number else []
        figures = {}
        if component == "pusher":
            figures = {"digest": f"digest{number}", "serving_dir": served_from}
        read = [(artifacts[other][0], other) for other in chosen]
        made.append(root.artifact(component, number, read, **figures))
        inputs[made[-1]] = [made[other] for other in chosen]

    return made, inputs


def serve(root: Root, pushes: dict[int, Artifact], picks: list[int]) -> set[Artifact]:
    """Serves some of the pushes, and returns those that must stay.

    With an empty serving_dir that is the last one.
    """
    if not pushes:
        return set()
    numbers = sorted(pushes)
    chosen = sorted({numbers[pick % len(numbers)] for pick in picks})
    for version, number in enumerate(chosen, start=1):
        root.serve(version, f"digest{number}")
    return {pushes[number] for number in chosen or numbers[-1:]}


def record_runs(
    root: Root,
    runs: list[Any],
    made: list[Artifact],
    served: set[Artifact],
    keep_runs: int,
    alive: ExitStack,
) -> set[str]:
    """Records the runs, and returns the names of those that must stay.

    They are the last ones, those that are alive, and those that made what is served.
    """
    kept = set()
    for number, (stages, verdict, uses) in enumerate(runs):
        is_alive = verdict == "alive"
        of_run = {made[pick % len(made)] for pick in stages} if made else set()
        used = {made[pick % len(made)] for pick in uses} if made else set()
        name = root.run(
            number,
            sorted(of_run),
            "running" if is_alive else verdict,
            list(dict(used).items()),
        )
        if is_alive:
            alive.enter_context(root.store.running(name))
        if is_alive or number >= len(runs) - keep_runs or of_run & served:
            kept.add(name)
    return kept


def referenced_by(root: Root, run: str) -> set[Artifact]:
    """The artifacts of a run, and those that it uses if it has not finished."""
    record = json.loads((root.store.root / "runs" / run / "run.json").read_text())
    artifacts = {(stage["component"], stage["key"]) for stage in record["stages"]}
    if record["verdict"] != "finished":
        artifacts |= {
            (component, key) for component, keys in record["uses"].items() for key in keys
        }
    return artifacts


def lineage(roots: set[Artifact], inputs: dict[Artifact, list[Artifact]]) -> set[Artifact]:
    """The artifacts, their inputs, the inputs of these, and so on."""
    todo, reached = set(roots), set[Artifact]()
    while todo:
        artifact = todo.pop()
        reached.add(artifact)
        todo |= set(inputs[artifact]) - reached
    return reached


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    artifacts=ARTIFACTS,
    runs=RUNS,
    versions=st.lists(st.integers(0, 30), max_size=3),
    keep_runs=st.integers(0, 3),
)
def test_nothing_served_or_referenced_goes_and_everything_else_does(
    artifacts: list[Any], runs: list[Any], versions: list[int], keep_runs: int
) -> None:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as alive:
        root = Root(f"{folder}/root", Path(folder, "serving_dir"))
        made, inputs = make_artifacts(root, artifacts)
        pushes = {
            number: made[number]
            for number, (component, _) in enumerate(artifacts)
            if component == "pusher"
        }
        served = serve(root, pushes, versions)
        kept = record_runs(root, runs, made, served, keep_runs, alive)
        roots = served.union(*(referenced_by(root, run) for run in kept))

        notes = root.store.root / "notes" / "mine.txt"
        notes.parent.mkdir(parents=True, exist_ok=True)
        notes.write_text("not the store's")
        before = sorted(root.serving_dir.rglob("*"))

        root.collect(keep_runs)

        assert root.artifacts() == lineage(roots, inputs)
        assert {path.name for path in root.store.runs()} == kept
        assert notes.read_text() == "not the store's"
        assert sorted(root.serving_dir.rglob("*")) == before
        assert list((root.store.root / "partial").glob("*")) == []
        assert root.collect(keep_runs).items == []
