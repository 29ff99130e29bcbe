"""The stages of a pipeline, their keys, and which of them must run and why. Changes nothing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.store.folder import Store
from pipeline.store.layout import key_parts
from seqline.component import Component, Params
from seqline.digests import digest


@dataclass(frozen=True)
class Stage:
    """A component with its params, at its place in the pipeline."""

    component: Component
    params: Params
    inputs: Mapping[str, "Stage"] = field(default_factory=dict)  # by their names in `run`

    @property
    def name(self) -> str:
        return self.component.name


@dataclass(frozen=True)
class Guard:
    """Finds out early in a run whether a stage at its end would be refused.

    An error that one of the functions raises ends the run.

    Attributes:
        of: The stage. The guard is asked only in runs that select it.
        after: The stage whose artifact `judge` needs.
        judge: `judge(output)` is called when that artifact is finished.
        before: Is called before any stage runs.
    """

    of: str
    after: str
    judge: Callable[[Path], None]
    before: Callable[[], None] = lambda: None


class Pipeline:
    """The stages in the order in which they were added: each input comes before what reads it.

    Attributes:
        name: The name of the model that they make. Runs and artifacts are recorded under it.
        stages: The stages.
        guards: Further checks of a run.
    """

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.stages: list[Stage] = []
        self.guards: list[Guard] = []

    def add(self, component: Component, params: Params, **inputs: Stage | None) -> Stage:
        """Adds a stage.

        Args:
            component: The component that it runs.
            params: Its parameters.
            **inputs: The stages that make its inputs. Pass None for an optional input that this
                pipeline does not have.

        Returns:
            The stage, to be an input of later ones.

        Raises:
            ValueError: The inputs are not those that the component declares, by name and type.
        """
        sources = {name: stage for name, stage in inputs.items() if stage is not None}
        given = {name: stage.component.output for name, stage in sources.items()}
        expected = {
            name: kind
            for name, kind in component.inputs.items()
            if name in given or not component.is_optional(name)
        }

        if given != expected:
            raise ValueError(
                f"{component.name} takes the inputs {dict(component.inputs)}, not {given}."
            )

        if component.name in [stage.name for stage in self.stages]:
            raise ValueError(f"{component.name} is already in the pipeline.")

        stage = Stage(component, params, sources)
        self.stages.append(stage)
        return stage


@dataclass(frozen=True)
class Planned:
    """A stage, and whether and why a run would run it."""

    stage: Stage
    key: str | None  # None as long as the key of an input is not known
    runs: bool
    reason: str  # why it runs, or "finished"


def plan(
    pipeline: Pipeline, store: Store, force: Sequence[str] = (), verify: bool = False
) -> list[Planned]:
    """Plans a run, stage by stage. Reads digests and records, changes nothing.

    Args:
        pipeline: The stages.
        store: Where their artifacts are.
        force: The names of stages that run even if they are finished.
        verify: Read every file of the finished artifacts, see `Store.changes`.
    """
    planned: dict[str, Planned] = {}
    for stage in pipeline.stages:
        planned[stage.name] = _plan_stage(stage, planned, store, force, pipeline.name, verify)
    return list(planned.values())


def from_data(planned: Sequence[Planned], store: Store) -> dict[str, str]:
    """The settings that the data decide, such as max_length, with what is known of them.

    Args:
        planned: The stages of a plan.
        store: Where their artifacts are.

    Returns:
        Name of a setting -> its value, or what is known of it.
    """
    settings: dict[str, str] = {}
    for stage in planned:
        component = stage.stage.component
        if component.from_data is None:
            continue

        record = None
        if stage.key and not stage.runs:
            record = store.execution(component.name, stage.key)
        inputs = {name: source.params for name, source in stage.stage.inputs.items()}
        decided = component.from_data(
            stage.stage.params, inputs, record.figures if record else None
        )
        settings |= {f"{component.name}.{name}": value for name, value in decided.items()}
    return settings


def _plan_stage(
    stage: Stage,
    planned: Mapping[str, Planned],
    store: Store,
    force: Sequence[str],
    model: str,
    verify: bool,
) -> Planned:
    component = stage.component
    inputs = {name: planned[source.name] for name, source in stage.inputs.items()}
    unknown = [source.stage.name for source in inputs.values() if source.key is None]
    if unknown:
        return Planned(stage, None, True, f"{unknown[0]} runs first")

    unfinished = [source.stage.name for source in inputs.values() if source.runs]
    # What an input is compared with is known only when the input is finished.
    if component.compares_input and unfinished:
        return Planned(stage, None, True, f"{unfinished[0]} runs first")

    keys = {name: str(source.key) for name, source in inputs.items()}
    external_digest = read_external_digest(stage, store, keys)
    if component.external_digest and external_digest is None:
        return Planned(stage, None, True, "its data is not prepared yet")

    parts = key_parts(component, stage.params, keys, external_digest)
    reason = reason_to_run(stage, parts, store, force, model, verify)
    return Planned(stage, digest(parts), reason is not None, reason or "finished")


def known_keys(pipeline: Pipeline, store: Store, known: Mapping[str, str]) -> dict[str, str]:
    """The keys that can be told before anything runs, by component. Reads no record.

    Args:
        pipeline: The stages.
        store: Where they keep the digests of external data.
        known: Component -> key, of stages whose key is known already.
    """
    keys: dict[str, str] = {}
    for stage in pipeline.stages:
        component = stage.component
        if stage.name in known:
            keys[stage.name] = known[stage.name]
            continue
        # Its key also follows from what an input will hold, not only from the input's key.
        if component.compares_input:
            continue
        if not all(source.name in keys for source in stage.inputs.values()):
            continue

        inputs = {name: keys[source.name] for name, source in stage.inputs.items()}
        external_digest = read_external_digest(stage, store, inputs)
        if component.external_digest and external_digest is None:
            continue
        keys[stage.name] = digest(key_parts(component, stage.params, inputs, external_digest))
    return keys


def read_external_digest(stage: Stage, store: Store, inputs: Mapping[str, str]) -> str | None:
    """The digest of a stage's data outside the store.

    Args:
        stage: The stage.
        store: Where it keeps the digests of files that did not change.
        inputs: The keys of its inputs, by name. If it compares one, all must be finished.

    Returns:
        The digest. None if there is no such data, or if it must be prepared first.
    """
    component = stage.component
    if not component.external_digest:
        return None

    memory = store.memory(stage.name)
    if not component.compares_input:
        return component.external_digest(stage.params, memory)

    folders = {name: store.path(stage.inputs[name].name, key) for name, key in inputs.items()}
    return component.external_digest(stage.params, memory, folders)


def reason_to_run(
    stage: Stage,
    parts: Mapping[str, Any],
    store: Store,
    force: Sequence[str],
    model: str,
    verify: bool = False,
) -> str | None:
    """Why a stage must run. None if its artifact is finished, whole, and still holds.

    Args:
        stage: The stage.
        parts: The parts of its key.
        store: Where its artifacts are.
        force: The names of stages that run even if they are finished.
        model: The model's name. The parts are compared with those of its last artifact.
        verify: Read every file of the artifact, see `Store.changes`.

    Raises:
        DataError: A file was added to the artifact.
        UserError: The artifact cannot be read.
    """
    key = digest(parts)
    if stage.name in force:
        return "forced"

    if damage := store.damage(stage.name, key, verify):
        return damage

    if store.execution(stage.name, key) is None:
        latest = store.latest(stage.name, model)
        if latest is None:
            return "never ran"
        data_name = "what it compares with" if stage.component.compares_input else "the data"
        return difference(parts, latest.key_parts, data_name)

    stale = stage.component.stale
    return stale(store.path(stage.name, key), stage.params) if stale else None


def difference(parts: Mapping[str, Any], before: Mapping[str, Any], data_name: str) -> str:
    """The changes in the parts of a key compared with earlier ones, in words.

    Args:
        parts: See `pipeline.store.layout.key_parts`.
        before: The earlier ones.
        data_name: The name of the data outside the store, for the sentence.
    """
    sentences = {
        "data": f"{data_name} changed",
        "code": "its code changed",
        "inputs": "its inputs changed",
    }

    texts = []
    for name, new in parts.items():
        old: Any = before.get(name)
        if new == old:
            continue

        if name == "params":
            texts += [
                f"{field} is {value!r}, was {old.get(field)!r}"
                for field, value in new.items()
                if value != old.get(field)
            ]
        elif name == "libraries":
            texts += [
                f"{library} is {version}, was {old.get(library)}"
                for library, version in new.items()
                if version != old.get(library)
            ]
        else:
            texts.append(sentences.get(name, f"{name} changed"))
    return "; ".join(texts) or "its artifact is gone"
