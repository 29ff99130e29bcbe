"""Whether there is anything new.

Data, spans, code, configuration, libraries, against what the last verdict was about.

What a verdict is about has a fingerprint: all that shapes a candidate and its gates, and nothing of
what it is compared with. So a push or a rollback by itself is no reason to train, and the same
content is never trained on twice.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.example_gen import ExampleGenParams, sources
from components.pusher import versions
from pipeline import identity
from pipeline.config import Config
from pipeline.definition import define
from pipeline.retrain import NOTHING_NEW, PUSHED
from pipeline.retrain.state import State
from pipeline.runner.plan import Pipeline, difference
from pipeline.store.folder import Store
from pipeline.store.layout import key_parts
from seqline.digests import digest
from seqline.errors import UserError


@dataclass(frozen=True)
class Served:
    """The version that is served.

    The newest one. rollback_of: the version that it brought back, if it did.
    """

    version: int
    digest: str
    rollback_of: int | None = None


@dataclass(frozen=True)
class Situation:
    """What there is. config.

    Without the spans that are left out; spans: those that are used, number -> digest, None as long
    as the data are not prepared. nothing_new: why there is nothing to do. changed: what is new
    otherwise. known: whether earlier spans are in the served model; new: those that are not.
    left_out: a line for each span that was rejected earlier, and is still the same.
    """

    config: Config
    served: Served | None
    spans: dict[str, str] | None
    parts: dict[str, Any]
    fingerprint: str
    nothing_new: str
    changed: list[str]
    known: bool
    new: list[int]
    left_out: dict[str, dict[str, Any]]


def look(config: Config, store: Store, state: State) -> Situation:
    """Reads digests and records.

    Changes nothing. Raises UserError or DataError for a source that cannot be read.
    """
    everything = spans_of(config.example_gen, store)
    left_out = {
        number: entry
        for number, entry in state.left_out.items()
        if (everything or {}).get(number) == entry["digest"]
        and entry["judged_by"] == judged_by(config)
        and int(number) not in config.retrain.accept
    }
    if left_out:
        skipped = tuple(sorted({*config.example_gen.skip, *map(int, left_out)}))
        config = config.model_copy(
            update={"example_gen": config.example_gen.model_copy(update={"skip": skipped})}
        )
    spans = spans_of(config.example_gen, store) if left_out else everything
    served = served_in(config.pusher.serving_dir)
    parts = parts_of(config, store)
    fingerprint = digest(parts)
    # Another model, which this one is to replace, has seen none of these spans and is asked about
    # none.
    seen = state.trained_on(served.digest) if served and not identity.what_differs(config) else {}
    arrived = (
        [number for number, content in (spans or {}).items() if seen.get(number) != content]
        if seen
        else []
    )
    is_judged = (
        state.last is not None and state.last["ends"] and state.last["fingerprint"] == fingerprint
    )
    # A first model that never got as far as being served is tried again.
    is_done = is_judged and (
        served is not None
        or (state.last is not None and state.last["verdict"] not in (PUSHED, NOTHING_NEW))
    )
    return Situation(
        config=config,
        served=served,
        spans=spans,
        parts=parts,
        fingerprint=fingerprint,
        nothing_new=_told(state.last, served) if is_done and state.last else "",
        changed=[] if is_done else list(_changes(parts, spans, state)),
        known=bool(seen),
        new=[int(number) for number in arrived if int(number) not in config.retrain.accept],
        left_out=left_out,
    )


def spans_of(params: ExampleGenParams, store: Store) -> dict[str, str] | None:
    """Number -> digest of the content; None for a data set that is not prepared yet."""
    memory = store.memory("example_gen")
    if sources.tfds_name(params):
        found = sources.digest(params, memory)
        return None if found is None else {"0": found}
    return {str(span.number): span.digest for span in sources.window(params, memory)}


def parts_of(config: Config, store: Store) -> dict[str, Any]:
    """All that shapes a candidate and its verdict, by stage."""
    pipe = Pipeline()
    define(pipe, config)
    found: dict[str, Any] = {}
    for stage in pipe.stages:
        component = stage.component
        external_digest = (
            component.external_digest(stage.params, store.memory(stage.name))
            if component.external_digest and not component.compares
            else None
        )
        found[stage.name] = key_parts(component, stage.params, {}, external_digest)
    found["span_validator"] = {"params": config.span_validator.key_fields()}
    found["retrain"] = {
        "params": {"without": list(config.retrain.without), "accept": list(config.retrain.accept)}
    }
    return found


def judged_by(config: Config) -> str:
    """A digest of what the data are judged by.

    With other bounds a span that was rejected is judged again.
    """
    return digest(
        [
            section.key_fields()
            for section in (config.example_gen, config.example_validator, config.span_validator)
        ]
    )


def served_in(serving_dir: str) -> Served | None:
    """The newest version.

    None where there is none. One that somebody else put there has no digest.
    """
    place = versions.place_of(serving_dir)
    version = max(place.versions(), default=None)
    if version is None:
        return None
    manifest = versions.read_manifest(place, version) or {}
    return Served(
        version, manifest.get("digest") or f"version {version}", manifest.get("rollback_of")
    )


def _told(last: Mapping[str, Any], served: Served | None) -> str:
    """The earlier verdict."""
    if last["verdict"] in (PUSHED, NOTHING_NEW):
        assert served is not None, "what was pushed is not served"
        back = f", a rollback to version {served.rollback_of}," if served.rollback_of else ""
        return f"version {served.version}{back} is served"
    return (
        f"the last candidate was {'refused' if last['verdict'] == 'refused' else 'rejected'} (run"
        f" {last['run']}): {last['reason']}"
    )


def _changes(
    parts: Mapping[str, Any], spans: Mapping[str, str] | None, state: State
) -> Iterator[str]:
    """What is new against the last verdict, for people."""
    if state.last is None:
        yield "nothing was judged before"
        return
    before = state.last["parts"]
    yield from _span_changes(spans or {}, state.last.get("spans") or {})
    for name, part in parts.items():
        if name not in before:
            yield f"{name} is new"
        elif part != before[name] and name != "example_gen":
            yield f"{name}: {difference(part, before[name], 'the data')}"
        elif part != before[name] and {**part, "data": None} != {**before[name], "data": None}:
            yield (
                f"{name}:"
                f" {difference({**part, 'data': before[name].get('data')}, before[name], 'the data')}"
            )
    if state.last["fingerprint"] == digest(parts):
        yield (
            f"the last candidate came to no verdict that holds ({state.last['verdict']}:"
            f" {state.last['reason']})"
        )


def _span_changes(spans: Mapping[str, str], before: Mapping[str, str]) -> Iterator[str]:
    if list(spans) == list(before) == ["0"]:
        if spans != before:
            yield "the data changed"
        return
    for names, text in (
        ([number for number in spans if number not in before], "new"),
        (
            [number for number in spans if number in before and before[number] != spans[number]],
            "changed",
        ),
        ([number for number in before if number not in spans], "gone"),
    ):
        if names:
            yield f"{_listed(names)} {'is' if len(names) == 1 else 'are'} {text}"


def _listed(numbers: Sequence[str]) -> str:
    shown = list(numbers) if len(numbers) <= 6 else [*numbers[:3], "...", *numbers[-2:]]
    return ("span " if len(numbers) == 1 else "spans ") + ", ".join(shown)


def check_bootstrap(situation: Situation, state: State, bootstrap: bool, serving_dir: str) -> None:
    """Raises UserError for a first model that nobody asked for, and for a request of one where one
    is served.

    A first retraining that was killed goes on, with these words or without.
    """
    goes_on = (
        state.attempt is not None
        and state.attempt["fingerprint"] == situation.fingerprint
        and state.attempt["bootstrap"]
    )
    if situation.served is None and not bootstrap and not goes_on:
        raise UserError(
            f"{serving_dir} holds no version: there is nothing to be no worse than. The first model"
            " needs --bootstrap; "
            + (
                identity.from_before_names(serving_dir)
                or "if there should be one, name its place with --serving-dir."
            )
        )
    if situation.served is not None and bootstrap and not goes_on:
        raise UserError(
            f"--bootstrap is for the first model; {serving_dir}/{situation.served.version} is"
            " served, and a candidate has to be compared with it. Leave it out."
        )
