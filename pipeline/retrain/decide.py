"""Decides whether there is anything new to train on since the last verdict.

Data, spans, code, configuration or libraries may be new. A verdict has a fingerprint: the digest of
all that shapes a candidate and its gates, but not of the model that it is compared with. So a push
or a rollback alone is no reason to train, and the same content is never trained on twice.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.example_gen import ExampleGenParams, sources
from components.pusher import versions
from pipeline import identity
from pipeline.config import Config
from pipeline.definition import define
from pipeline.retrain import NOTHING_NEW, PUSHED, REFUSED
from pipeline.retrain.state import LastVerdict, LeftOutSpan, Spans, State
from pipeline.runner.plan import Pipeline, difference
from pipeline.store.folder import Store
from pipeline.store.layout import key_parts
from seqline.digests import digest
from seqline.errors import UserError


@dataclass(frozen=True)
class Served:
    """The newest version in serving_dir, which is the one that is served."""

    version: int
    digest: str
    rollback_of: int | None = None  # the version that it brought back, if it is a rollback


@dataclass(frozen=True)
class Situation:
    """The situation that a retraining starts from, and what it has to do.

    Attributes:
        config: The configuration, without the spans that are left out.
        served: The version that is served, if any.
        spans: The spans that are used. None if the data are not prepared yet.
        parts: All that shapes a candidate and its verdict, by stage.
        fingerprint: The digest of `parts`.
        nothing_new: Why there is nothing to do; empty if there is something.
        changed: The changes since the last verdict, in words.
        known: Whether it is known which spans the served model has seen.
        new: The numbers of the spans that it has not seen.
        left_out: Number -> the span, of those that were rejected earlier and have not changed.
    """

    config: Config
    served: Served | None
    spans: Spans | None
    parts: dict[str, Any]
    fingerprint: str
    nothing_new: str
    changed: list[str]
    known: bool
    new: list[int]
    left_out: dict[str, LeftOutSpan]


def inspect(config: Config, store: Store, state: State) -> Situation:
    """Reads digests and records, and compares them with the last verdict. Changes nothing.

    Raises:
        UserError, DataError: A source cannot be read.
    """
    spans = spans_of(config.example_gen, store)
    left_out = _left_out(config, spans or {}, state)
    if left_out:
        config = _without_spans(config, left_out)
        spans = spans_of(config.example_gen, store)

    served = served_in(config.pusher.serving_dir)
    # A served model that is to be replaced by another kind of model has seen none of these spans,
    # and is asked about none.
    is_same_model = served is not None and not identity.what_differs(config)
    seen = state.trained_on(served.digest) if served and is_same_model else {}
    new = [int(number) for number, content in (spans or {}).items() if seen.get(number) != content]

    parts = parts_of(config, store)
    fingerprint = digest(parts)
    holds = _holds(state.last, fingerprint, served)
    return Situation(
        config=config,
        served=served,
        spans=spans,
        parts=parts,
        fingerprint=fingerprint,
        nothing_new=_sentence(state.last, served) if holds and state.last else "",
        changed=[] if holds else list(_changes(parts, spans or {}, state.last)),
        known=bool(seen),
        new=[number for number in new if number not in config.retrain.accept] if seen else [],
        left_out=left_out,
    )


def _left_out(config: Config, spans: Spans, state: State) -> dict[str, LeftOutSpan]:
    """The rejected spans that have not changed, are judged as before, and are not accepted."""
    return {
        number: span
        for number, span in state.left_out.items()
        if spans.get(number) == span.digest
        and span.judged_by == judged_by(config)
        and int(number) not in config.retrain.accept
    }


def _without_spans(config: Config, left_out: Mapping[str, LeftOutSpan]) -> Config:
    skip = tuple(sorted({*config.example_gen.skip, *map(int, left_out)}))
    example_gen = config.example_gen.model_copy(update={"skip": skip})
    return config.model_copy(update={"example_gen": example_gen})


def _holds(last: LastVerdict | None, fingerprint: str, served: Served | None) -> bool:
    """Whether the last verdict is about the same content and configuration, and final."""
    if last is None or not last.ends or last.fingerprint != fingerprint:
        return False
    # A first model that was pushed, but is not served, is tried again.
    return served is not None or last.verdict not in (PUSHED, NOTHING_NEW)


def spans_of(params: ExampleGenParams, store: Store) -> Spans | None:
    """The spans of a source. None for a data set that is not prepared yet."""
    memory = store.memory("example_gen")
    if sources.tfds_name(params):
        content = sources.digest(params, memory)
        return None if content is None else {"0": content}
    return {str(span.number): span.digest for span in sources.window(params, memory)}


def parts_of(config: Config, store: Store) -> dict[str, Any]:
    """All that shapes a candidate and its verdict, by stage."""
    pipe = Pipeline()
    define(pipe, config)
    parts: dict[str, Any] = {}

    for stage in pipe.stages:
        component = stage.component
        external_digest = None
        if component.external_digest and not component.compares_input:
            external_digest = component.external_digest(stage.params, store.memory(stage.name))
        parts[stage.name] = key_parts(component, stage.params, {}, external_digest)

    # Only the bounds of the span validator count: the model that it asks is the one that is
    # compared with.
    parts["span_validator"] = {"params": config.span_validator.key_fields()}
    parts["retrain"] = {
        "params": {"without": list(config.retrain.without), "accept": list(config.retrain.accept)}
    }
    return parts


def judged_by(config: Config) -> str:
    """A digest of the parameters that judge the data.

    A span that was rejected under other parameters is judged again.
    """
    sections = (config.example_gen, config.example_validator, config.span_validator)
    return digest([section.key_fields() for section in sections])


def served_in(serving_dir: str) -> Served | None:
    """The newest version in a folder. None if it holds no version.

    A version that was not pushed by seqline is named in place of its digest.
    """
    place = versions.place_of(serving_dir)
    version = max(place.versions(), default=None)
    if version is None:
        return None
    manifest = versions.read_manifest(place, version)
    if manifest is None:
        return Served(version, f"version {version}")
    return Served(version, manifest.digest, manifest.rollback_of)


def _sentence(last: LastVerdict, served: Served | None) -> str:
    """The last verdict, in words."""
    if last.verdict in (PUSHED, NOTHING_NEW):
        assert served is not None, "what was pushed is not served"
        back = f", a rollback to version {served.rollback_of}," if served.rollback_of else ""
        return f"version {served.version}{back} is served"

    verdict = "refused" if last.verdict == REFUSED else "rejected"
    return f"the last candidate was {verdict} (run {last.run}): {last.reason}"


def _changes(parts: Mapping[str, Any], spans: Spans, last: LastVerdict | None) -> Iterator[str]:
    """The changes since the last verdict, in words."""
    if last is None:
        yield "nothing was judged before"
        return

    yield from _span_changes(spans, last.spans)

    for name, part in parts.items():
        before = last.parts.get(name)
        if before is None:
            yield f"{name} is new"
            continue

        if name == "example_gen":
            # The spans tell what is new about the data.
            part = {**part, "data": before.get("data")}
        if part != before:
            yield f"{name}: {difference(part, before, 'the data')}"

    if last.fingerprint == digest(parts):
        yield f"the last candidate came to no verdict that holds ({last.verdict}: {last.reason})"


def _span_changes(spans: Spans, before: Spans) -> Iterator[str]:
    if list(spans) == list(before) == ["0"]:
        if spans != before:
            yield "the data changed"
        return

    new = [number for number in spans if number not in before]
    changed = [number for number in spans if number in before and before[number] != spans[number]]
    gone = [number for number in before if number not in spans]

    for numbers, text in ((new, "new"), (changed, "changed"), (gone, "gone")):
        if numbers:
            yield f"{_listed(numbers)} {'is' if len(numbers) == 1 else 'are'} {text}"


def _listed(numbers: Sequence[str]) -> str:
    shown = list(numbers) if len(numbers) <= 6 else [*numbers[:3], "...", *numbers[-2:]]
    return ("span " if len(numbers) == 1 else "spans ") + ", ".join(shown)


def check_bootstrap(situation: Situation, state: State, bootstrap: bool, serving_dir: str) -> None:
    """Checks that --bootstrap is given for the first model, and only for that.

    A first retraining that was killed goes on with or without the flag.

    Raises:
        UserError: The flag is missing, or a model is served already.
    """
    attempt = state.attempt
    if attempt and attempt.bootstrap and attempt.fingerprint == situation.fingerprint:
        return

    if situation.served is None and not bootstrap:
        way_out = (
            identity.from_before_names(serving_dir)
            or "if there should be one, name its place with --serving-dir."
        )
        raise UserError(
            f"{serving_dir} holds no version, so there is no model to compare with. "
            f"The first model needs --bootstrap; {way_out}"
        )

    if situation.served is not None and bootstrap:
        raise UserError(
            f"--bootstrap is for the first model; {serving_dir}/{situation.served.version} is "
            "served, and a candidate has to be compared with it. Leave it out."
        )
