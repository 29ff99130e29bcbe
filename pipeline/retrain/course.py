"""The course of one retraining, under the lock.

What is compared with is fixed, the pipeline runs, and its end becomes a verdict.
"""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from components.example_gen import sources
from components.span_validator import SPANS
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
    start,
    thresholds,
)
from pipeline.retrain.decide import Situation
from pipeline.retrain.state import Record, State, save
from pipeline.retrain.warm import train_both
from pipeline.runner.execute import Done, Options
from pipeline.runner.plan import Pipeline
from pipeline.store.folder import Store
from pipeline.store.layout import RUN
from seqline.data.features import SAVED_MODEL
from seqline.digests import digest
from seqline.errors import DataError, NotBlessedError, StoppedError, UserError
from seqline.host.clock import now
from seqline.storage import staging
from seqline.storage.files import is_remote

# Where data alone can be what an error is about.
OF_DATA = (
    "example_gen",
    "statistics_gen",
    "schema_gen",
    "example_validator",
    "span_validator",
    "transform",
)
# What a run at a desk only warns of, beside the comparisons of splits (example_validator.strict):
# nobody looks at the lines of a retraining before it is pushed.
STRICT = ("repeated_span", "bad_rows")
# What is told of a warm and a cold training beside each other.
COMPARED = ("eval_accuracy", "eval_loss", "seconds")


class ChangedError(UserError):
    """New data came between the look at them and their reading: they were not judged."""

    exit_code = EXIT_CODES[INTERRUPTED]


class Course:
    """One attempt, or the rest of one that was killed."""

    def __init__(self, situation: Situation, store: Store, state: State, bootstrap: bool) -> None:
        self.situation, self.store, self.state = situation, store, state
        before = (
            state.attempt
            if state.attempt and state.attempt["fingerprint"] == situation.fingerprint
            else None
        )
        if before and before["served"] and not _is_there(situation.config, before["served"]):
            before = None
        if before is None:
            kind, model, why = start.choose(
                situation.config, store, situation.served.version if situation.served else None
            )
            served = (
                {"version": situation.served.version, "digest": situation.served.digest}
                if situation.served
                else None
            )
            before = {
                "served": served,
                "new": situation.new if situation.known else [],
                "bootstrap": bootstrap,
            }
            before |= {"start": kind, "warm_start": model, "why_start": why}
        self.attempt: Record = {
            "run": "",
            **before,
            "fingerprint": situation.fingerprint,
            "started": now(),
        }
        self.config = self._prepared(situation.config)
        self.pipe = Pipeline()
        define(self.pipe, self.config)
        self.record: dict[str, Any] = {}

    def begin(self, run: Path) -> None:
        """The run begins; the one that was killed, if this goes on with it, has ended."""
        if self.attempt["run"]:
            _end_killed(self.store, self.attempt["run"], run.name)
        self.run = run
        self.attempt["run"] = run.name
        self.write_down()

    def write_down(self) -> None:
        """What is attempted, so that whoever takes over does the same."""
        self.state.attempt = self.attempt
        save(self.store, self.config.name, self.state)

    def compare_starts(self, options: Options) -> None:
        """Trains warm and cold where that is due, and goes on with the better one on the eval
        split.

        Data that are refused on the way are left to the run itself, which meets them again and
        tells of them. Raises StoppedError.
        """
        if self.attempt["start"] != start.BOTH:
            return
        self.write_down()
        try:
            best = train_both(start.lay_over(self.config, None), self.config, self.store, options)
        except StoppedError:
            raise
        except UserError:
            return
        self.attempt |= {
            "start": best.start,
            "warm_start": best.config.trainer.warm_start,
            "why_start": best.reason,
        }
        self.attempt["starts"] = {
            kind: {name: each[name] for name in COMPARED} for kind, each in best.figures.items()
        }
        self.config = best.config
        self.pipe = Pipeline()
        define(self.pipe, self.config)
        self.write_down()

    def _prepared(self, config: Config) -> Config:
        """With what only this attempt knows.

        What is served, which spans are new, where to start; and with stricter severities.
        """
        served = self.attempt["served"]
        updates: dict[str, Any] = {}
        if served and self.attempt["new"]:
            place = f"{config.pusher.serving_dir.rstrip('/')}/{served['version']}"
            new = {
                "served_model": place,
                "served": served["digest"],
                "new": tuple(self.attempt["new"]),
            }
            updates["span_validator"] = config.span_validator.model_copy(update=new)
        severities = {**dict.fromkeys(STRICT, "error"), **config.example_validator.severities}
        strict = (
            True if config.example_validator.strict is None else config.example_validator.strict
        )
        updates["example_validator"] = config.example_validator.model_copy(
            update={"severities": severities, "strict": strict}
        )
        return start.lay_over(config.model_copy(update=updates), self.attempt["warm_start"])

    def watch(self, on_done: Callable[[Done], None]) -> Callable[[Done], None]:
        """An on_done that also looks whether what was read is what was judged to be new."""

        def watched(done: Done) -> None:
            on_done(done)
            spans = self.situation.spans
            is_first = done.stage.name == "example_gen" and spans is not None
            if is_first and decide.spans_of(self.config.example_gen, self.store) != spans:
                raise ChangedError(
                    "New data came while this retraining began; nothing was trained. Run again."
                )

        return watched

    def about(self, done: list[Done], error: BaseException | None) -> dict[str, Any]:
        """What run.json says under "retrain"; also keeps the verdict for the next time."""
        verdict, reason = self._verdict(done, error)
        exit_code = 2 if verdict == FAILED and isinstance(error, UserError) else EXIT_CODES[verdict]
        figures = {each.stage.name: each.figures for each in done}
        pushed = figures.get("pusher") if verdict == PUSHED else None
        self.record = {
            "verdict": verdict,
            "exit_code": exit_code,
            "reason": reason,
            "bootstrap": self.attempt["bootstrap"],
            "start": start.WARM if self.attempt["start"] == start.BOTH else self.attempt["start"],
            "why_start": self.attempt["why_start"],
            **({"starts": self.attempt["starts"]} if "starts" in self.attempt else {}),
            "changed": self.situation.changed,
            "left_out": {
                number: entry["reason"] for number, entry in self.situation.left_out.items()
            },
            "served_before": self.attempt["served"],
            "pushed": (
                {
                    "version": pushed["version"],
                    "uri": f"{pushed['serving_dir']}/{pushed['version']}",
                }
                if pushed
                else None
            ),
            "gates": thresholds.collect(self.config, done, reason if verdict == REFUSED else ""),
        }
        self._remember(done)
        return {"retrain": self.record}

    def _verdict(self, done: Sequence[Done], error: BaseException | None) -> tuple[str, str]:
        if error is None:
            return self._pushed(next(each.figures for each in done if each.stage.name == "pusher"))
        reason = " ".join(str(error).split()) or type(error).__name__
        if (
            isinstance(error, KeyboardInterrupt)
            or getattr(error, "exit_code", None) == EXIT_CODES[INTERRUPTED]
        ):
            return INTERRUPTED, reason
        if isinstance(error, DataError):
            return REJECTED, reason
        if isinstance(error, NotBlessedError):
            return REFUSED, reason.removeprefix("The model is not blessed and was not pushed: ")
        return FAILED, (
            reason
            if isinstance(error, UserError)
            else f"{type(error).__name__}: {reason.splitlines()[-1]}"
        )

    def _pushed(self, push: dict[str, Any]) -> tuple[str, str]:
        place, before = f"{push['serving_dir']}/{push['version']}", self.attempt["served"]
        if push["rolled_back"]:
            return NOTHING_NEW, f"the candidate is the model that {place} was rolled back from"
        if before and before["digest"] == push["digest"]:
            return NOTHING_NEW, f"the candidate is the model that is served: {place}"
        return PUSHED, f"{place} is served" + (
            f", in place of version {before['version']}" if before else ", the first model"
        )

    def _remember(self, done: Sequence[Done]) -> None:
        """The verdict, what a push was trained on, and the spans that are left out from now on.

        Without a verdict the attempt goes on.
        """
        record, state, keys = (
            self.record,
            self.state,
            {each.stage.name: each.artifact.key for each in done},
        )
        if record["verdict"] in (INTERRUPTED, FAILED):
            save(self.store, self.config.name, state)
            return
        state.attempt = None
        spans = self.situation.spans
        parts, fingerprint = self.situation.parts, self.situation.fingerprint
        if spans is None and "example_gen" in keys:  # they were prepared meanwhile
            spans = decide.spans_of(self.config.example_gen, self.store)
            parts = decide.parts_of(self.situation.config, self.store)
            fingerprint = digest(parts)
        if record["verdict"] in (PUSHED, NOTHING_NEW):
            push = next(each.figures for each in done if each.stage.name == "pusher")
            if not push["rolled_back"]:
                about = {"digest": push["digest"], "version": push["version"], "run": self.run.name}
                state.pushes.append(
                    {
                        **about,
                        "spans": spans or {},
                        "model": keys["trainer"],
                        "start": self.record["start"],
                    }
                )
        rejected = self._rejected(done) if record["verdict"] == REJECTED else {}
        for number, reason in rejected.items():
            assert spans is not None, "a span that was rejected has a digest"
            about = {"digest": spans[number], "judged_by": decide.judged_by(self.situation.config)}
            state.left_out[number] = {
                **about,
                "reason": reason,
                "run": self.run.name,
                "since": now(),
            }
        state.left_out = {
            **self.situation.left_out,
            **{number: state.left_out[number] for number in rejected},
        }
        # Else the next look is one without these spans, and of that the last verdict is still true
        if not rejected:
            refused = [gate for gate in record["gates"] if gate["passed"] is False]
            # A busy machine or a server that was missing says nothing for ever.
            ends = not refused or any(gate["stage"] != "infra_validator" for gate in refused)
            about = {
                "verdict": record["verdict"],
                "reason": record["reason"],
                "run": self.run.name,
                "ends": ends,
            }
            state.last = {"fingerprint": fingerprint, "parts": parts, "spans": spans or {}, **about}
        save(self.store, self.config.name, state)

    def _rejected(self, done: Sequence[Done]) -> dict[str, str]:
        """The spans that are to be left out.

        Those that a gate named, or the only new one where everything before it was good.
        """
        if (
            not self.situation.known
            or self.situation.spans is None
            or len(self.situation.spans) < 2
        ):
            return {}
        asked = next((each for each in done if each.stage.name == "span_validator"), None)
        if asked and any(gate["passed"] is False for gate in asked.figures["gates"]):
            refused: dict[str, str] = json.loads(
                (asked.artifact.uri / SPANS).read_text(encoding="utf-8")
            )["refused"]
            return refused
        if not {each.stage.name for each in done} <= set(OF_DATA):
            return {}
        new = self.attempt["new"]
        # A file's own name tells more than that its span is the only one that came.
        named = [
            number
            for number in new
            if any(f"{path} " in f"{self.record['reason']} " for path in self._files(number))
        ]
        blamed = named if len(named) == 1 else new if len(new) == 1 else []
        return {str(number): self.record["reason"] for number in blamed}

    def _files(self, span: int) -> list[str]:
        found = sources.window(self.config.example_gen, self.store.memory("example_gen"))
        return [
            file.path
            for each in found
            if each.number == span
            for part in each.parts
            for file in part.files
        ]


def _is_there(config: Config, served: Record) -> bool:
    """Whether the version that an attempt compared with can still be asked."""
    place = staging.path_of(f"{config.pusher.serving_dir.rstrip('/')}/{served['version']}")
    return (place / f"{SAVED_MODEL}.pb").is_file()


def _end_killed(store: Store, run: str, by: str) -> None:
    """A run that was killed could not write how it ended."""
    path = store.root / "runs" / run / RUN
    try:
        record = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return
    if record.get("verdict") == "running":
        record |= {
            "verdict": "stopped",
            "error": f"its process died; run {by} went on from there",
            "finished": now(),
        }
        if is_remote(str(path)):
            path.write_text(json.dumps(record, indent=2) + "\n")
        else:
            store.save_run(path.parent, record)


def options(course: Course, jobs: int, beam_args: Sequence[str]) -> Options:
    """How the runner runs it."""

    def about(done: list[Done], error: BaseException | None) -> dict[str, Any]:
        return {
            **reproduce.about(course.config, course.pipe, ["seqline", *sys.argv[1:]]),
            **course.about(done, error),
        }

    return Options(jobs=jobs, beam_args=beam_args, about=about)
