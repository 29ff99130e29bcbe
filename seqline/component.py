"""The two types every component is made of, and the errors a user can cause.

Imports nothing heavy: the command line reads every component's face to answer `--help` and `plan`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

# A component's result in numbers: small, JSON, shown by `seqline show` and kept in execution.json.
Figures = dict[str, Any]

NOT_IN_KEY = "not_in_key"


class Params(BaseModel):
    """What changes a component's result. Strict: an unknown name or a wrong type is an error."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    def key_fields(self) -> dict[str, Any]:
        """The fields that belong into the key: all but those marked `NotInKey`, as JSON values."""
        where = {
            name
            for name, info in type(self).model_fields.items()
            if isinstance(info.json_schema_extra, dict) and info.json_schema_extra.get(NOT_IN_KEY)
        }
        return self.model_dump(mode="json", exclude=where)


# A place, not a meaning: the key leaves it out, because the same content elsewhere gives the same
# result.
NotInKey = Field(json_schema_extra={NOT_IN_KEY: True})
NotInKeyPath = Annotated[str, NotInKey]


@dataclass(frozen=True)
class Artifact:
    """A finished directory (there is no half artifact).

    type: e.g. "Examples"; uri: the directory; key: the digest of everything that it was derived
    from.
    """

    type: str
    uri: Path
    key: str


@dataclass(frozen=True)
class Component:
    """One kind of stage.

    run(*, <inputs>: Path, params, output: Path, ...) -> figures reads the input directories, writes
        into `output` (which exists and is empty) and returns its figures. It is a function of its
        arguments and can be called anywhere. With `beam=True` it also takes `beam_args:
        Sequence[str]`, the flags that say where Beam runs; with `span_cache=True` `span_cache:
        SpanCache`, parts of earlier work that it may use again; with `previous=True` `previous:
        Path | None`, the artifact it made last, for figures that compare (never for its output);
        with `resumes=True` `work: Path`, a folder of its key in which a run that was killed left
        what the next one goes on from. With `together=True` every worker that TF_CONFIG names runs
        it at once; the chief alone writes.
    optional: the inputs that a pipeline may leave out; `run` has a default for them. analyze(*,
    spans, content, dim, params, span_cache) is a context that gives a Beam PTransform over
    ExampleShards, or None where
        nothing is missing: what the component has to know of every row, so that it can be counted
        while the rows pass by. A component with `shares=True` takes `analyses`, name -> analyze
        with its params, of the stages that read its output.
    piece(*, span, content, params, span_cache) is where the part of a span (by its key) lies that
        later windows use again, of a component that reads or makes Examples; what has none of its
        own in an artifact that is kept may go.
    gate(output, params) raises DataError for an artifact that must stop the run; no later stage
    starts before it passed. check(params) raises UserError for what can be seen wrong in
    milliseconds, before any stage runs. outside(params, memory) digests the content of data outside
    the store; None when it must be prepared first. memory: a file
        in which it may remember the digests of files that did not change. With `compares=True` it
        is what an input is compared with, and outside(params, memory, inputs) gets the inputs'
        finished folders, too.
    prepare(params) brings that data to where `external_digest` finds it (downloads, builds); calling it
    twice does no harm. stale(output, params) says why a finished output no longer holds, or None;
    for outputs with an effect outside the store. describe(figures) is the one line a person reads
    in the run's table.
    """

    name: str
    inputs: Mapping[str, str]
    output: str
    params: type[Params]
    run: Callable[..., Figures]
    describe: Callable[[Figures], str]
    version: int = 1
    libraries: tuple[str, ...] = ()
    beam: bool = False
    span_cache: bool = False
    previous: bool = False
    resumes: bool = False
    optional: tuple[str, ...] = ()
    together: bool = False
    analyze: Callable[..., Any] | None = None
    piece: Callable[..., Path] | None = None
    shares: bool = False
    compares: bool = False
    gate: Callable[[Path, Any], None] | None = None
    check: Callable[[Any], None] | None = None
    external_digest: Callable[..., str | None] | None = None
    prepare: Callable[[Any], None] | None = None
    stale: Callable[[Path, Any], str | None] | None = field(default=None)
