"""One attempt to retrain, under the lock: the run, its record, and what the next one remembers."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from components.example_gen import sources
from components.span_validator import SpanVerdict
from pipeline.config import Config
from pipeline.definition import define
from pipeline.report import reproduce
from pipeline.retrain import (
    EXIT_CODES,
    FAILED,
    INTERRUPTED,
    NOTHING_NEW,
    PUSHED,
    REFUSED,
    REJECTED,
    decide,
    thresholds,
    verdicts,
    warm,
)
from pipeline.retrain.decide import Situation
from pipeline.retrain.state import Attempt, Baseline, LastVerdict, LeftOutSpan, Push, State, save
from pipeline.runner.plan import Pipeline
from pipeline.runner.run import Options, StageResult
from pipeline.store.folder import Store
from pipeline.store.layout import RUN
from pipeline.store.records import RUNNING, STOPPED, RunRecord
from seqline.data.features import SAVED_MODEL
from seqline.digests import digest
from seqline.errors import UserError
from seqline.host.clock import now
from seqline.storage import staging

# The stages in which an error can only be about the data.
DATA_STAGES = (
    "example_gen",
    "statistics_gen",
    "schema_gen",
    "example_validator",
    "span_validator",
    "transform",
)
# Anomalies of which `seqline run` only warns. In a retraining they are errors, as are the
# comparisons of splits (example_validator.strict): no person reads a warning before the model is
# pushed.
STRICT = ("repeated_span", "bad_rows")
# The figures of a warm and a cold training that run.json shows side by side.
COMPARED = ("eval_accuracy", "eval_loss", "seconds")


class ChangedError(UserError):
    """New data arrived after the decision to train, and was not judged."""

    exit_code = EXIT_CODES[INTERRUPTED]


class RetrainAttempt:
    """One attempt to retrain a model, or the rest of an attempt that was killed.

    Attributes:
        situation: The situation in which the decision to train was made.
        state: The state of the retraining. It is saved whenever this attempt gets further.
        attempt: The values that a later process needs to go on with this attempt.
        config: The configuration, with the values that only this attempt knows.
        pipe: Its pipeline.
        record: The field "retrain" of run.json; empty until the run has ended.
    """

    def __init__(self, situation: Situation, store: Store, state: State, bootstrap: bool) -> None:
        self.situation, self.store, self.state = situation, store, state
        self.attempt = self._killed_attempt() or self._new_attempt(bootstrap)
        self.config = self._with_attempt(situation.config)
        self.pipe = _pipeline(self.config)
        self.record: dict[str, Any] = {}

    def _killed_attempt(self) -> Attempt | None:
        """The attempt to go on with.

        None if everything since has changed, or if the version that it compares with is gone.
        """
        killed = self.state.attempt
        if killed is None or killed.fingerprint != self.situation.fingerprint:
            return None
        if killed.served and not _exists(self.situation.config, killed.served):
            return None
        return replace(killed, started=now())

    def _new_attempt(self, bootstrap: bool) -> Attempt:
        situation = self.situation
        served = situation.served
        kind, warm_start, reason = warm.choose_start(
            situation.config, self.store, served.version if served else None
        )

        return Attempt(
            run="",
            served=Baseline(version=served.version, digest=served.digest) if served else None,
            new=situation.new if situation.known else [],
            bootstrap=bootstrap,
            start=kind,
            warm_start=warm_start,
            why_start=reason,
            fingerprint=situation.fingerprint,
            started=now(),
        )

    def _with_attempt(self, config: Config) -> Config:
        """Lays the served version, the new spans and the start over a configuration.

        It also makes the severities of anomalies stricter.
        """
        updates: dict[str, Any] = {}
        served = self.attempt.served

        if served and self.attempt.new:
            place = f"{config.pusher.serving_dir.rstrip('/')}/{served.version}"
            updates["span_validator"] = config.span_validator.model_copy(
                update={
                    "served_model": place,
                    "served": served.digest,
                    "new": tuple(self.attempt.new),
                }
            )

        validator = config.example_validator
        updates["example_validator"] = validator.model_copy(
            update={
                "severities": {**dict.fromkeys(STRICT, "error"), **validator.severities},
                "strict": True if validator.strict is None else validator.strict,
            }
        )

        return warm.with_warm_start(config.model_copy(update=updates), self.attempt.warm_start)

    def begin(self, run: Path) -> None:
        """Notes that a run begins, and that the killed run before it, if any, has ended."""
        if self.attempt.run:
            _end_killed(self.store, self.attempt.run, run.name)
        self.run = run
        self.attempt.run = run.name
        self._save_attempt()

    def _save_attempt(self) -> None:
        """Saves the attempt, so that a later process goes on with it."""
        self.state.attempt = self.attempt
        save(self.store, self.config.name, self.state)

    def compare_starts(self, options: Options) -> None:
        """Trains warm and cold if that is due, and goes on with the better one on the eval split.

        If the data are refused on the way, the run itself will be refused and report it.

        Raises:
            StoppedError: A signal ended it.
        """
        if self.attempt.start != warm.BOTH:
            return

        self._save_attempt()
        try:
            best = warm.train_both(
                warm.with_warm_start(self.config, None), self.config, self.store, options
            )
        except UserError:
            return

        self.attempt.start = best.start
        self.attempt.warm_start = best.config.trainer.warm_start
        self.attempt.why_start = best.reason
        self.attempt.starts = {
            kind: {name: figures[name] for name in COMPARED}
            for kind, figures in best.figures.items()
        }
        self.config = best.config
        self.pipe = _pipeline(self.config)
        self._save_attempt()

    def watch(self, on_done: Callable[[StageResult], None]) -> Callable[[StageResult], None]:
        """Wraps on_done: it also checks that the data read are those that were judged new."""

        def watched(result: StageResult) -> None:
            on_done(result)
            spans = self.situation.spans
            if result.stage.name != "example_gen" or spans is None:
                return
            if decide.spans_of(self.config.example_gen, self.store) != spans:
                raise ChangedError(
                    "New data came while this retraining began; nothing was trained. Run again."
                )

        return watched

    def about(self, results: list[StageResult], error: BaseException | None) -> dict[str, Any]:
        """Judges the run, and remembers the verdict for the next time.

        Returns:
            {"retrain": the record}, for run.json.
        """
        verdict, reason = verdicts.of_run(results, error, self.attempt.served)
        exit_code = 2 if verdict == FAILED and isinstance(error, UserError) else EXIT_CODES[verdict]
        attempt = self.attempt

        self.record = {
            "verdict": verdict,
            "exit_code": exit_code,
            "reason": reason,
            "bootstrap": attempt.bootstrap,
            "start": warm.WARM if attempt.start == warm.BOTH else attempt.start,
            "why_start": attempt.why_start,
            **({} if attempt.starts is None else {"starts": attempt.starts}),
            "changed": self.situation.changed,
            "left_out": {number: span.reason for number, span in self.situation.left_out.items()},
            "served_before": asdict(attempt.served) if attempt.served else None,
            "pushed": _pushed_version(results) if verdict == PUSHED else None,
            "gates": thresholds.collect(self.config, results, reason if verdict == REFUSED else ""),
        }

        self._remember(results)
        return {"retrain": self.record}

    def _remember(self, results: Sequence[StageResult]) -> None:
        """Saves the verdict, the spans of a push, and the spans to leave out from now on.

        Without a verdict the attempt goes on the next time.
        """
        verdict = self.record["verdict"]
        if verdict in (INTERRUPTED, FAILED):
            save(self.store, self.config.name, self.state)
            return

        self.state.attempt = None
        spans, parts = self.situation.spans, self.situation.parts
        if spans is None and any(result.stage.name == "example_gen" for result in results):
            # The run has prepared the data set, so that its digest is known now.
            spans = decide.spans_of(self.config.example_gen, self.store)
            parts = decide.parts_of(self.situation.config, self.store)

        if verdict in (PUSHED, NOTHING_NEW):
            self._remember_push(results, spans or {})
        rejected = self._rejected(results) if verdict == REJECTED else {}
        self._remember_rejected(rejected, spans or {})

        # The next decision is about the data without the rejected spans, and for that the last
        # verdict still holds.
        if not rejected:
            self.state.last = LastVerdict(
                fingerprint=digest(parts),
                parts=parts,
                spans=spans or {},
                verdict=verdict,
                reason=self.record["reason"],
                run=self.run.name,
                ends=self._ends(),
            )
        save(self.store, self.config.name, self.state)

    def _remember_push(self, results: Sequence[StageResult], spans: dict[str, str]) -> None:
        push = verdicts.figures(results, "pusher")
        if push["rolled_back"]:
            return

        trainer = next(result for result in results if result.stage.name == "trainer")
        self.state.pushes.append(
            Push(
                digest=push["digest"],
                version=push["version"],
                run=self.run.name,
                spans=spans,
                model=trainer.artifact.key,
                start=self.record["start"],
            )
        )

    def _remember_rejected(self, rejected: dict[str, str], spans: dict[str, str]) -> None:
        self.state.left_out = {
            **self.situation.left_out,
            **{
                number: LeftOutSpan(
                    digest=spans[number],
                    judged_by=decide.judged_by(self.situation.config),
                    reason=reason,
                    run=self.run.name,
                    since=now(),
                )
                for number, reason in rejected.items()
            },
        }

    def _ends(self) -> bool:
        """Whether the verdict holds until something changes.

        A refusal by the infra validator alone does not: a busy machine or a missing server says
        nothing about the model.
        """
        refused = [gate for gate in self.record["gates"] if gate["passed"] is False]
        return not refused or any(gate["stage"] != "infra_validator" for gate in refused)

    def _rejected(self, results: Sequence[StageResult]) -> dict[str, str]:
        """The spans to leave out: number -> reason.

        These are the spans that the span validator refused. If the data failed another check, it
        is the new span, provided that only one is new, or that the error names the file of one.
        """
        spans = self.situation.spans
        if not self.situation.known or spans is None or len(spans) < 2:
            return {}

        validated = next(
            (result for result in results if result.stage.name == "span_validator"), None
        )
        if validated and any(gate["passed"] is False for gate in validated.figures["gates"]):
            return SpanVerdict.read(validated.artifact.uri).refused
        if not {result.stage.name for result in results} <= set(DATA_STAGES):
            return {}

        new, reason = self.attempt.new, self.record["reason"]
        named = [
            number
            for number in new
            if any(f"{path} " in f"{reason} " for path in self._files(number))
        ]
        for candidates in (named, new):
            if len(candidates) == 1:
                return {str(candidates[0]): reason}
        return {}

    def _files(self, number: int) -> list[str]:
        """The paths of a span's files."""
        window = sources.window(self.config.example_gen, self.store.memory("example_gen"))
        return [
            file.path
            for span in window
            if span.number == number
            for part in span.parts
            for file in part.files
        ]


def options(attempt: RetrainAttempt, jobs: int, beam_args: Sequence[str]) -> Options:
    """How the runner runs an attempt."""

    def about(results: list[StageResult], error: BaseException | None) -> dict[str, Any]:
        return {
            **reproduce.about(attempt.config, attempt.pipe, ["seqline", *sys.argv[1:]]),
            **attempt.about(results, error),
        }

    return Options(jobs=jobs, beam_args=beam_args, about=about)


def _pipeline(config: Config) -> Pipeline:
    pipe = Pipeline()
    define(pipe, config)
    return pipe


def _pushed_version(results: Sequence[StageResult]) -> dict[str, Any]:
    push = verdicts.figures(results, "pusher")
    return {"version": push["version"], "uri": f"{push['serving_dir']}/{push['version']}"}


def _exists(config: Config, served: Baseline) -> bool:
    """Whether the version that an attempt compares with can still be asked."""
    place = staging.path_of(f"{config.pusher.serving_dir.rstrip('/')}/{served.version}")
    return (place / f"{SAVED_MODEL}.pb").is_file()


def _end_killed(store: Store, run: str, by: str) -> None:
    """Records the end of a run that was killed before it could do so itself."""
    path = store.root / "runs" / run / RUN
    try:
        record = RunRecord.read(path)
    except (FileNotFoundError, UserError):
        return
    if record.verdict == RUNNING:
        record.verdict, record.finished = STOPPED, now()
        record.error = f"its process died; run {by} went on from there"
        record.write(path)
