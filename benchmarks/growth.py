"""How CPU and memory of each stage grow at ten times the rows, classes, spans and distinct tokens.

    python -m benchmarks.growth [--rows 2000] [--classes 50] [--spans 2] [--tokens 2000]
        [--factor 10] [--axes rows classes spans tokens] [--stages evaluator ...]

The sizes are those of the base; each axis is grown alone, by the factor. The largest figures of
docs/explanation/scale.md are `--rows 200000 --classes 1000 --spans 20 --tokens 100000`.

The rows are made: ten words each, of which six go through all distinct tokens in turn. Every stage
runs in a process of its own, after its imports. CPU is that of the process and of its children,
memory the largest resident size of any of them. The model is trained on a part of the rows that has
all classes, with a small network: the trainer and the exporter are measured on the axis of classes
only, and `baseline` is the evaluator's linear model. `plan` is `seqline plan` of the whole pipeline
with its start.

A cost that follows the data grows by the factor at most (a tenth more is allowed), and memory, of
which one shard is held at a time, by a fifth at most. What exceeds that is marked.
"""

import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks import common
from benchmarks.common import Table, in_own_process, measured, parser, print_result

AXES = ("rows", "classes", "spans", "tokens")
STAGES = (
    "plan",
    "example_gen",
    "statistics_gen",
    "schema_gen",
    "example_validator",
    "transform",
    "trainer",
    "exporter",
    "evaluator",
    "baseline",
    "infer",
)
# Those that read the model's part of the rows: only the number of classes changes it.
OF_MODEL = ("trainer", "exporter")
# The stages that read what a stage makes.
NEEDED_BY = {
    "example_gen": [stage for stage in STAGES if stage not in ("plan", "infer", *OF_MODEL)],
    "statistics_gen": ["schema_gen", "example_validator"],
    "schema_gen": ["example_validator"],
}
# Words of a row that go through all tokens in turn, and those of a few frequent ones.
NUM_NEW, NUM_FREQUENT, FREQUENT = 6, 4, 500
# Rows of the model's part for each class, and at least.
MODEL_ROWS_OF_CLASS, MODEL_ROWS = 8, 2000
# Every so many rows are classified by `infer`, which writes the probabilities of all classes.
EVERY_ASKED = 20
# What the goal allows over the factor in CPU, and in memory.
MORE_CPU, MORE_MEMORY = 1.1, 1.2
TRAINER = {
    "embedding_dim": 8,
    "rnn_units": 8,
    "skip_dim": 8,
    "bigram_buckets": 0,
    "num_epochs": 1,
    "wide": False,
}


@dataclass(frozen=True)
class Size:
    """How large the data are; spans, classes and tokens divide the rows among them."""

    rows: int
    classes: int
    spans: int
    tokens: int


def write_rows(folder: Path, size: Size) -> None:
    """Writes <folder>/<span>/rows.jsonl, the same number of rows for each, and some to be asked."""
    folder.mkdir(parents=True)
    with (folder / "asked.jsonl").open("w", encoding="utf-8") as file:
        for row in range(0, size.rows, EVERY_ASKED):
            file.write(json.dumps(made_row(row, size)) + "\n")

    per_span = -(-size.rows // size.spans)
    for span in range(size.spans):
        path = folder / f"{span}" / "rows.jsonl"
        path.parent.mkdir(parents=True)
        with path.open("w", encoding="utf-8") as file:
            for row in range(span * per_span, min((span + 1) * per_span, size.rows)):
                file.write(json.dumps(made_row(row, size)) + "\n")


def made_row(row: int, size: Size) -> dict[str, str]:
    """A row that no other one equals."""
    mixed = row * 2654435761 % 2**32  # another number for each row, by Knuth's multiplier
    words = [f"t{(row * NUM_NEW + place) % size.tokens:x}" for place in range(NUM_NEW)]
    label = f"class {(mixed >> 9) % size.classes}"

    for _ in range(NUM_FREQUENT):
        mixed, word = divmod(mixed, FREQUENT)
        words.append(f"f{word}")
    return {"text": " ".join(words), "label": label}


class Way:
    """The stages in order, over one source. Each method is run in a process of its own."""

    def __init__(self, source: Path, work: Path, model: Path | None = None) -> None:
        self.source, self.work = source, work
        # The folder of the SavedModel of the exporter, made on fewer rows.
        self.model = model

    def __call__(self, stage: str) -> dict[str, float]:
        """Runs a stage after its imports; returns its figures."""
        run = getattr(self, stage)()
        _, figures = measured(run)
        figures["peak_mb"] = max(figures["peak_mb"], common.children_peak_mb())
        return figures

    def output(self, stage: str) -> Path:
        path = self.work / stage
        path.mkdir(parents=True, exist_ok=True)
        return path

    def example_gen(self) -> Callable[[], Any]:
        import tensorflow  # noqa: F401 - not part of what is measured

        from components import example_gen
        from components.example_gen import ingest

        del ingest
        params = example_gen.ExampleGenParams(source=f"{self.source}/{{SPAN}}/rows.jsonl")
        return lambda: example_gen.run(
            params=params, output=self.output("example_gen"), span_cache=self.cache("example_gen")
        )

    def cache(self, stage: str) -> Any:
        from seqline.data.span_cache import SpanCache

        return SpanCache(self.work / "span_cache" / stage)

    def statistics_gen(self) -> Callable[[], Any]:
        import tensorflow  # noqa: F401 - not part of what is measured

        from components import statistics_gen
        from components.statistics_gen import window

        del window
        return lambda: statistics_gen.run(
            examples=self.work / "example_gen",
            params=statistics_gen.StatisticsGenParams(),
            output=self.output("statistics_gen"),
            span_cache=self.cache("statistics_gen"),
        )

    def schema_gen(self) -> Callable[[], Any]:
        from components import schema_gen
        from components.schema_gen import schema

        del schema
        return lambda: schema_gen.run(
            statistics=self.work / "statistics_gen",
            params=schema_gen.SchemaGenParams(),
            output=self.output("schema_gen"),
        )

    def example_validator(self) -> Callable[[], Any]:
        from components import example_validator
        from components.example_validator import validate

        del validate
        return lambda: example_validator.run(
            examples=self.work / "example_gen",
            statistics=self.work / "statistics_gen",
            schema=self.work / "schema_gen",
            params=example_validator.ExampleValidatorParams(),
            output=self.output("example_validator"),
        )

    def transform(self) -> Callable[[], Any]:
        import tensorflow_transform.beam  # noqa: F401 - not part of what is measured

        from components import transform
        from components.transform import passes

        del passes
        return lambda: transform.run(
            examples=self.work / "example_gen",
            params=transform.TransformParams(max_length=16),
            output=self.output("transform"),
            span_cache=self.cache("transform"),
        )

    def trainer(self) -> Callable[[], Any]:
        from components import trainer
        from components.trainer import fit

        del fit
        return lambda: trainer.run(
            features=self.work / "transform",
            params=trainer.TrainerParams(**TRAINER),
            output=self.output("trainer"),
        )

    def exporter(self) -> Callable[[], Any]:
        from components import exporter
        from components.exporter import export

        del export
        return lambda: exporter.run(
            examples=self.work / "example_gen",
            features=self.work / "transform",
            model=self.work / "trainer",
            params=exporter.ExporterParams(),
            output=self.output("exporter"),
        )

    def evaluator(self) -> Callable[[], Any]:
        from components import evaluator
        from components.evaluator import evaluation

        del evaluation
        assert self.model, "the evaluator needs a model"
        saved_model = self.model
        return lambda: evaluator.run(
            examples=self.work / "example_gen",
            saved_model=saved_model,
            params=evaluator.EvaluatorParams(baseline="none"),
            output=self.output("evaluator"),
        )

    def baseline(self) -> Callable[[], Any]:
        import sklearn.linear_model  # noqa: F401 - not part of what is measured

        from components.evaluator import EvaluatorParams
        from components.evaluator.linear import compare

        params = EvaluatorParams(max_baseline_rows=1000)
        return lambda: compare(self.work / "example_gen", params)

    def infer(self) -> Callable[[], Any]:
        from components import bulk_inferrer
        from components.bulk_inferrer import folder, job

        assert self.model, "the inferrer needs a model"
        saved_model = self.model / "saved_model"
        params = bulk_inferrer.BulkInferrerParams(
            source=f"{self.source}/asked.jsonl", text="text", encoding="utf-8", quoting="auto"
        )

        def infer() -> None:
            with folder.opened(self.output("infer"), saved_model, params, force=True) as task:
                job.infer(task, params, ())

        return infer

    def plan(self) -> Callable[[], Any]:
        flags = common.settings({"example_gen.source": f"{self.source}/{{SPAN}}/rows.jsonl"})
        root = str(self.output("root"))
        return lambda: common.seqline("plan", "bbc_news", "--root", root, *flags)


# Is told the name of a stage and its figures as soon as it has ended.
Told = Callable[[str, dict[str, float]], None]


def make_model(folder: Path, size: Size, told: Told) -> Path:
    """Trains and exports the model of so many classes; returns the exporter's folder."""
    rows = min(size.rows, max(MODEL_ROWS, MODEL_ROWS_OF_CLASS * size.classes))
    part = replace(size, rows=rows, spans=1, tokens=min(size.tokens, rows))
    write_rows(folder / "model source", part)
    way = Way(folder / "model source", folder / "model")

    for stage in ("example_gen", "transform", *OF_MODEL):
        figures = in_own_process(way, stage)
        if stage in OF_MODEL:
            told(stage, figures)
    return folder / "model" / "exporter"


def measure(
    folder: Path, size: Size, wanted: Sequence[str], model: Path | None, told: Told
) -> Path | None:
    """Runs the wanted stages, and those that they need, over data of a size.

    Args:
        folder: Where to work.
        size: Of the data.
        wanted: The stages.
        model: The exporter's folder of a model of as many classes; None to make one where a stage
            asks it.
        told: Is called for each stage that has ended.

    Returns:
        The model.
    """
    if model is None and {*OF_MODEL, "evaluator", "infer"} & set(wanted):
        model = make_model(folder, size, told)

    write_rows(folder / "source", size)
    way = Way(folder / "source", folder / "work", model)
    for stage in STAGES:
        if stage not in OF_MODEL and {stage, *NEEDED_BY.get(stage, ())} & set(wanted):
            told(stage, in_own_process(way, stage))
    return model


def grown(size: Size, axis: str, factor: int) -> Size:
    return replace(size, **{axis: getattr(size, axis) * factor})


def ratio(base: dict[str, float], large: dict[str, float], factor: int) -> dict[str, Any]:
    """The figures of a stage at both sizes, their ratios, and whether they are in the goal."""
    cpu = large["cpu_seconds"] / max(base["cpu_seconds"], 1e-3)
    memory = large["peak_mb"] / base["peak_mb"]
    return {
        "cpu_seconds": [base["cpu_seconds"], large["cpu_seconds"]],
        "cpu_ratio": cpu,
        "peak_mb": [base["peak_mb"], large["peak_mb"]],
        "memory_ratio": memory,
        "within": cpu <= MORE_CPU * factor and memory <= MORE_MEMORY,
    }


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--rows", type=int, default=2000)
    arguments.add_argument("--classes", type=int, default=50)
    arguments.add_argument("--spans", type=int, default=2)
    arguments.add_argument("--tokens", type=int, default=2000)
    arguments.add_argument("--factor", type=int, default=10)
    arguments.add_argument("--axes", nargs="+", choices=AXES, default=list(AXES))
    arguments.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    given = arguments.parse_args()

    size = Size(given.rows, given.classes, given.spans, given.tokens)
    table = Table(
        ("stage", "<18"),
        ("10x", "<8"),
        ("CPU s", "8.2f"),
        ("grown", "8.2f"),
        ("ratio", "6.1f"),
        ("MB", "6.0f"),
        ("grown", "6.0f"),
        ("ratio", "6.2f"),
        ("", "<1"),
    )
    base: dict[str, dict[str, float]] = {}
    ratios: dict[str, dict[str, Any]] = {}

    with tempfile.TemporaryDirectory() as name:
        model = measure(Path(name, "base"), size, given.stages, None, base.__setitem__)
        for axis in given.axes:
            ratios[axis] = {}

            def show(stage: str, large: dict[str, float], axis: str = axis) -> None:
                if stage not in given.stages:
                    return
                told = ratio(base[stage], large, given.factor)
                ratios[axis][stage] = told
                table.row(
                    stage,
                    axis,
                    *told["cpu_seconds"],
                    told["cpu_ratio"],
                    *told["peak_mb"],
                    told["memory_ratio"],
                    "" if told["within"] else "*",
                )

            own_model = None if axis == "classes" else model
            large = grown(size, axis, given.factor)
            measure(Path(name, axis), large, given.stages, own_model, show)
            shutil.rmtree(Path(name, axis))

    print_result({"size": asdict(size), "factor": given.factor, "axes": ratios})


if __name__ == "__main__":
    main()
