"""A stage: its params, its artifact, and the `Component` that makes one from the other.

Imports nothing heavy: the command line reads every component's face to answer `--help` and `plan`.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

# A component's result in numbers: small, JSON, shown by `seqline show` and kept in execution.json.
Figures = dict[str, Any]

NOT_IN_KEY = "not_in_key"


class Params(BaseModel):
    """The settings that change a component's result.

    Strict: an unknown name or a wrong type is an error.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    def key_fields(self) -> dict[str, Any]:
        """The fields that belong in the key, as JSON values: all but those marked `NotInKey`."""
        not_in_key = {
            name
            for name, info in type(self).model_fields.items()
            if isinstance(info.json_schema_extra, dict) and info.json_schema_extra.get(NOT_IN_KEY)
        }
        return self.model_dump(mode="json", exclude=not_in_key)


# Marks a field that says where something is. The key leaves it out, because the same content in
# another place gives the same result.
NotInKey = Field(json_schema_extra={NOT_IN_KEY: True})
NotInKeyPath = Annotated[str, NotInKey]


@dataclass(frozen=True)
class Artifact:
    """A finished directory. There is no half artifact."""

    type: str  # such as "Examples"
    uri: Path  # the directory
    key: str  # the digest of everything that it was derived from


# What `run` may take besides its inputs. The runner gives each argument that the signature names.
ARGUMENTS = ("params", "output", "beam_args", "span_cache", "previous", "work", "analyses")


@dataclass(frozen=True)
class Component:
    """One kind of stage.

    The runner reads off `run`'s signature what to give it, as pytest reads fixtures:

        def run(*, examples: Path, params: MyParams, output: Path, work: Path | None = None): ...

    Attributes:
        name: Its name in the pipeline, in the configuration and in the store.

        inputs: The type of each input artifact, by its name in `run`. A pipeline may leave out an
            input for which `run` has a default.

        output: The type of the artifact that it makes.

        params: The class of its parameters.

        run: `run(*, <inputs>, params, output, ...) -> figures` reads the input directories, writes
            into the empty directory `output`, and returns its figures. It is a function of its
            arguments and can be called anywhere. It may also take:

            beam_args (Sequence[str]): the flags that say where Beam runs.
            span_cache (SpanCache): parts of earlier work on spans, to be used again.
            previous (Path | None): the last artifact of this component, to compare figures with.
                The output must not depend on it.
            work (Path): a directory of this key that outlives a killed run, for checkpoints.
            analyses (Mapping[str, Callable]): the `analyze` of each stage that reads the output,
                by the stage's name, with its params and span cache already given.

        describe: `describe(figures)` gives the line that a person reads in the run's table.

        from_data: `from_data(params, inputs, figures)` names the settings that the data decide,
            with the values that they have in a finished artifact of these figures, or with what is
            known of them where figures are None. `inputs` are the params of the stages before.

        libraries: The distributions whose versions are part of the key.

        on_all_workers: Every worker that TF_CONFIG names runs it at the same time. The chief alone
            writes.

        check: `check(params)` raises UserError for what can be seen wrong in milliseconds, before
            any stage runs.

        external_digest: `external_digest(params, memory)` digests the content of data outside the
            store, or returns None if the data must be prepared first. `memory` is a file in which
            it may keep the digests of files that did not change. If it also takes `inputs` (name ->
            finished directory), the external data is what an input is compared with.

        prepare: `prepare(params)` downloads or builds the external data. A second call does no
            harm.

        analyze: `analyze(*, spans, content, dim, params, span_cache)` is a context manager that
            gives a Beam PTransform over ExampleShards, or None if nothing is missing. With it a
            source counts, while the rows pass by, what this component has to know of every row.

        span_parts: `span_parts(span_cache, span_key, content, params)` are the places in the span
            cache of the parts of one span. A part that no kept artifact needs may be deleted.

        gate: `gate(output, params)` raises DataError for an artifact that must stop the run. No
            later stage starts before it has passed.

        stale: `stale(output, params)` says why a finished output no longer holds, or returns None.
            It is for outputs with an effect outside the store.

    Raises:
        ValueError: `run` does not take what is declared, or takes what no runner gives.
    """

    name: str
    inputs: Mapping[str, str]
    output: str
    params: type[Params]
    run: Callable[..., Figures]
    describe: Callable[[Figures], str]
    from_data: Callable[[Any, Mapping[str, Any], Figures | None], Mapping[str, str]] | None = None
    libraries: tuple[str, ...] = ()
    on_all_workers: bool = False
    check: Callable[[Any], None] | None = None
    external_digest: Callable[..., str | None] | None = None
    prepare: Callable[[Any], None] | None = None
    analyze: Callable[..., Any] | None = None
    span_parts: Callable[[Any, str, Any, Any], list[Path]] | None = None
    gate: Callable[[Path, Any], None] | None = None
    stale: Callable[[Path, Any], str | None] | None = None

    def __post_init__(self) -> None:
        parameters = _parameters(self.run)
        for name in ("params", "output", *self.inputs):
            if name not in parameters:
                raise ValueError(f"{self.name}: run does not take {name!r}.")

        for name in parameters:
            if name not in (*self.inputs, *ARGUMENTS):
                raise ValueError(
                    f"{self.name}: run takes {name!r}, which is not an input. "
                    f"A runner gives {', '.join(ARGUMENTS)}."
                )

    def takes(self, argument: str) -> bool:
        """Whether `run` takes an argument, such as beam_args."""
        return argument in _parameters(self.run)

    def is_optional(self, input_name: str) -> bool:
        """Whether a pipeline may leave out an input."""
        return _parameters(self.run)[input_name].default is not inspect.Parameter.empty

    @property
    def compares_input(self) -> bool:
        """Whether the external data is what an input is compared with."""
        return self.external_digest is not None and "inputs" in _parameters(self.external_digest)


def _parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(function).parameters
