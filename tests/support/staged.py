"""A run of three small stages, as `seqline run` shows it.

python -m tests.support.staged FOLDER [--jobs 2] [--line-seconds 1] [--refuse]
"""

import argparse
import logging
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from pipeline.cli import console, launch
from pipeline.cli.display import LINE_SECONDS
from pipeline.runner.plan import Pipeline
from pipeline.runner.run import Options
from pipeline.store import layout
from pipeline.store.folder import Store
from seqline.component import Component, Figures, Params
from seqline.errors import NotBlessedError, UserError
from seqline.host import progress

DESCRIPTION = (
    "4,884 rows were read from the files; 6 classes; tokens unknown to train: 10.7% of eval, 8.8%"
    " of test"
)


class NumberParams(Params):
    seconds: float = 0.6
    refuse: bool = False


def read(*, params: NumberParams, output: Path) -> Figures:
    for number in range(1, 21):
        progress.tell("reading", number * 1e6, 20e6, "bytes")
        time.sleep(params.seconds / 20)
    return {"warnings": [f"Row {number} is odd." for number in range(1, 8)]}


def train(*, rows: Path, params: NumberParams, output: Path) -> Figures:
    progress.tell("compiling the network")
    time.sleep(params.seconds / 3)
    logging.getLogger("seqline.trainer").info("epoch 1/4: loss 0.7")
    for epoch in range(1, 5):
        progress.tell(f"epoch {epoch} of 4", epoch - 1, 4, left=100.0 * (5 - epoch))
        time.sleep(params.seconds / 6)
    print("a library's noise", file=sys.stderr)
    if params.refuse:
        raise NotBlessedError(
            "The model is not blessed and was not pushed: accuracy 0.4 is under min_accuracy 0.8."
        )
    return {"blessed": True}


def pipeline(params: NumberParams) -> Pipeline:
    def component(name: str, run: Any, inputs: dict[str, str], output: str, text: str) -> Component:
        return Component(name, inputs, output, NumberParams, run, lambda figures: text)

    pipe = Pipeline()
    rows = pipe.add(
        component("example_gen", read, {}, "Rows", DESCRIPTION),
        NumberParams(seconds=params.seconds),
    )
    pipe.add(
        component("trainer", train, {"rows": "Rows"}, "Model", "860,358 parameters; blessed"),
        params,
        rows=rows,
    )
    pipe.add(
        component("baseline", train, {"rows": "Rows"}, "Baseline", "12 parameters; blessed"),
        params,
        rows=rows,
    )

    return pipe


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0.6)
    parser.add_argument("--line-seconds", type=float, default=LINE_SECONDS)
    parser.add_argument("--refuse", action="store_true")
    parser.add_argument("--verbose", action="store_true")
    given = parser.parse_args()
    layout.code_digest = lambda module: "code"
    store, out = Store(given.folder), Console()

    pipe = pipeline(NumberParams(seconds=given.seconds, refuse=given.refuse))
    try:
        done = launch.execute(
            pipe,
            store,
            store.start_run(),
            Options(jobs=given.jobs),
            out,
            given.verbose,
            line_seconds=given.line_seconds,
        )
        console.print_warnings(out, done)
    except UserError as error:
        console.print_error(error)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
