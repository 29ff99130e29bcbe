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
    inputs: Mapping[str, "Stage"] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.component.name


@dataclass(frozen=True)
class Guard:
    """What would forbid a stage at the end of a run is found out at its beginning.

    Of a run that selects the stage `of`, before() is called before any stage runs, and
    judge(output) when the stage `after` is finished; what they raise ends the run.
    """

    of: str
    before: Callable[[], None]
    after: str
    judge: Callable[[Path], None]


class Pipeline:
    """The stages in the order in which they were added: each input comes before what reads it.

    name: of the model that they make; runs and artifacts are recorded under it.
    """

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.stages: list[Stage] = []
        self.guards: list[Guard] = []

    def add(self, component: Component, params: Params, **inputs: Stage | None) -> Stage:
        """Adds a stage. None is an optional input that this pipeline has not.

        Raises ValueError if its inputs are not those the component declares, by name and type.
        """
        there = {name: stage for name, stage in inputs.items() if stage is not None}
        given = {name: stage.component.output for name, stage in there.items()}
        left_out = {
            name for name in component.inputs if name not in given and component.is_optional(name)
        }
        if given != {name: kind for name, kind in component.inputs.items() if name not in left_out}:
            raise ValueError(
                f"{component.name} takes the inputs {dict(component.inputs)}, not {given}."
            )
        if component.name in [stage.name for stage in self.stages]:
            raise ValueError(f"{component.name} is already in the pipeline.")
        stage = Stage(component, params, there)
        self.stages.append(stage)
        return stage


@dataclass(frozen=True)
class Planned:
    """What will become of a stage.

    `runs`, and the reason. The key is None while an input's is not known yet.
    """

    stage: Stage
    key: str | None
    runs: bool
    reason: str


def plan(pipeline: Pipeline, store: Store, force: Sequence[str] = ()) -> list[Planned]:
    """Reads the outside data's digest and the records; changes nothing."""
    planned: dict[str, Planned] = {}
    for stage in pipeline.stages:
        planned[stage.name] = _plan_stage(stage, planned, store, force, pipeline.name)
    return list(planned.values())


def _plan_stage(
    stage: Stage, planned: Mapping[str, Planned], store: Store, force: Sequence[str], name: str
) -> Planned:
    inputs = {name: planned[source.name] for name, source in stage.inputs.items()}
    unknown = [each.stage.name for each in inputs.values() if each.key is None]
    if unknown:
        return Planned(stage, None, True, f"{unknown[0]} runs first")
    unfinished = [each.stage.name for each in inputs.values() if each.runs]
    if stage.component.compares_input and unfinished:  # its key follows from what they make
        return Planned(stage, None, True, f"{unfinished[0]} runs first")
    keys = {name: str(each.key) for name, each in inputs.items()}
    external_digest = read_external_digest(stage, store, keys)
    if stage.component.external_digest and external_digest is None:
        return Planned(stage, None, True, "its data is not prepared yet")
    parts = key_parts(stage.component, stage.params, keys, external_digest)
    reason = reason_to_run(stage, parts, store, force, name)
    return Planned(stage, digest(parts), reason is not None, reason or "finished")


def read_external_digest(stage: Stage, store: Store, inputs: Mapping[str, str]) -> str | None:
    """The digest of a stage's data outside the store.

    Content that it read once is remembered beside the stage's span_cache.

    inputs: the keys of its inputs; for a stage that compares one, all are finished.
    """
    component = stage.component
    if not component.external_digest:
        return None
    found = {name: store.path(stage.inputs[name].name, key) for name, key in inputs.items()}
    return component.external_digest(
        stage.params, store.memory(stage.name), *([found] if component.compares_input else [])
    )


def reason_to_run(
    stage: Stage, parts: Mapping[str, Any], store: Store, force: Sequence[str], name: str
) -> str | None:
    key = digest(parts)
    if stage.name in force:
        return "forced"
    if store.execution(stage.name, key) is None:
        latest = store.latest(stage.name, name)
        what = "what it compares with" if stage.component.compares_input else "the data"
        return difference(parts, latest["key_parts"], what) if latest else "never ran"
    stale = stage.component.stale
    return stale(store.path(stage.name, key), stage.params) if stale else None


def difference(parts: Mapping[str, Any], before: Mapping[str, Any], data_name: str) -> str:
    """What is new about a key's parts, against earlier ones.

    data_name: what to call the data outside the store.
    """
    changes = [name for name in parts if parts[name] != before.get(name)]
    texts = []
    for name in changes:
        if name == "params":
            old, new = before["params"], parts["params"]
            fields = [field for field in new if new[field] != old.get(field)]
            texts += [f"{field} is {new[field]!r}, was {old.get(field)!r}" for field in fields]
        elif name == "libraries":
            texts += [
                f"{lib} is {parts[name][lib]}, was {before[name].get(lib)}" for lib in parts[name]
            ]
        else:
            texts.append(
                {
                    "data": f"{data_name} changed",
                    "code": "its code changed",
                    "inputs": "its inputs changed",
                }.get(name, f"{name} changed")
            )
    return "; ".join(texts) or "its artifact is gone"
