"""The launcher of a Flex Template: it submits one Dataflow job whose one worker runs `seqline run`.

A launch makes exactly one job. The launcher, a small machine with a time limit, builds the graph of
one Beam pipeline, writes it to `--template_location` and ends; it does not wait for the job. But a
run has several jobs, and work between them. So the job of a launch is the run's own machine: its
only step runs the command, on a worker of the same image. The Beam stages run in that worker, or
as jobs of their own, which it submits and watches.
"""

import logging
import re
import shlex
import subprocess
import sys
import tempfile
from argparse import ArgumentParser, Namespace
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from seqline.errors import UserError
from seqline.jobs.dataflow import option, options
from seqline.storage.objects import is_google

log = logging.getLogger("seqline")

# The values of the parameter beam_stages.
HERE = "here"
JOBS = "jobs"
# One worker with one process for the one element; the run within uses all of the machine.
ONE_WORKER = (
    "--num_workers=1",
    "--max_num_workers=1",
    "--number_of_worker_harness_threads=1",
    "--experiments=no_use_multiple_sdk_containers",
)
# The launch's own flags that the run passes on to the jobs that it submits.
HANDED_ON = (
    "project",
    "region",
    "temp_location",
    "staging_location",
    "sdk_container_image",
    "service_account_email",
    "network",
    "subnetwork",
    "dataflow_kms_key",
    "dataflow_endpoint",
    "machine_type",
    "worker_machine_type",
    "disk_size_gb",
    "disk_type",
    "worker_disk_type",
    "num_workers",
    "max_num_workers",
    "autoscaling_algorithm",
    "worker_region",
    "worker_zone",
    "zone",
    "impersonate_service_account",
)
# Those that may be given several times.
LISTS_HANDED_ON = (
    "label",
    "labels",
    "experiment",
    "experiments",
    "dataflow_service_option",
    "dataflow_service_options",
)
SWITCHES_HANDED_ON = ("--no_use_public_ips",)
NUM_LAST_LINES = 30


@dataclass(frozen=True)
class Parameter:
    """One parameter of the template."""

    name: str
    label: str
    help: str
    regex: str = r"[\s\S]*"  # the service matches a value against it before it launches
    type: str = "TEXT"  # how the console asks for it
    needed: bool = False
    default: str = ""
    choices: tuple[str, ...] = ()


GS = r"gs://[^/]+(/.*)?"
PARAMETERS = (
    Parameter(
        "config",
        "Configuration",
        "A TOML file under gs://, or the name of a configuration that ships.",
        r".+",
        needed=True,
    ),
    Parameter(
        "root",
        "Root",
        "Where artifacts, records and logs lie: gs://bucket/path.",
        GS,
        "GCS_WRITE_FOLDER",
        needed=True,
    ),
    Parameter(
        "serving_dir",
        "Serving folder",
        "Where versions are published: gs://bucket/path.",
        GS,
        "GCS_WRITE_FOLDER",
    ),
    Parameter(
        "data_dir",
        "Data folder",
        "Where tensorflow-datasets keeps what it prepared: gs://bucket/path.",
        GS,
        "GCS_WRITE_FOLDER",
    ),
    Parameter(
        "settings",
        "Settings",
        "Laid over the configuration, as words of a shell: trainer.num_epochs=3"
        " 'example_gen.text=the text'.",
    ),
    Parameter(
        "to",
        "Last stage",
        "The last stage that may run, e.g. transform; all of them if none is given.",
        r"[a-z_]*",
    ),
    Parameter(
        "beam_stages",
        "Beam stages",
        "Where the stages that read or write rows run: here, in this job's worker, or as Dataflow"
        " jobs of their own, which it submits.",
        f"{HERE}|{JOBS}",
        "ENUM",
        default=HERE,
        choices=(HERE, JOBS),
    ),
    Parameter(
        "sdk_container_image",
        "Workers' image",
        "The image of the workers; the template's own if none is given.",
        r"\S+",
    ),
)


def main() -> None:
    """Runs the launcher's process.

    Its arguments are the template's parameters and the launch's flags, all as `--name=value`.
    """
    logging.basicConfig(level=logging.INFO)
    try:
        launch(sys.argv[1:])
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def launch(arguments: Sequence[str]) -> None:
    """Writes the job's graph to --template_location, or submits the job without that flag.

    It does not wait for the job.

    Raises:
        UserError: parameters, configuration or places are wrong. Data are not checked.
    """
    given, flags = parse(arguments)
    check(given, flags)

    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    pipeline = beam.Pipeline(options=PipelineOptions([*flags, *ONE_WORKER]))
    _ = pipeline | "Command" >> beam.Create([command(given, flags)]) | "Run" >> beam.Map(work)
    pipeline.run()


def parse(arguments: Sequence[str]) -> tuple[Namespace, list[str]]:
    """Splits the arguments into (the template's parameters, Beam's flags)."""
    parser = ArgumentParser(prog="flex_template.py", allow_abbrev=False)
    for parameter in PARAMETERS:
        parser.add_argument(f"--{parameter.name}", default=parameter.default)

    given, flags = parser.parse_known_args(arguments)
    if given.sdk_container_image:  # also a flag of Beam's
        flags.append(f"--sdk_container_image={given.sdk_container_image}")
    return given, flags


def check(given: Namespace, flags: Sequence[str]) -> None:
    """Raises UserError for parameters with which no run can work.

    Problems with places are reported all at once.
    """
    from pipeline import config as configuration
    from pipeline.dataflow import preflight
    from pipeline.definition import define
    from pipeline.runner.plan import Pipeline

    for parameter in PARAMETERS:
        _check_value(parameter, getattr(given, parameter.name))

    if not option(flags, "sdk_container_image"):
        raise UserError(
            "the parameter sdk_container_image is missing: "
            "the image of this template, which has the code in it"
        )

    places = {
        "root": given.root,
        "pusher.serving_dir": given.serving_dir,
        "example_gen.data_dir": given.data_dir,
    }
    loaded = configuration.load(
        given.config, _settings(given), {name: place for name, place in places.items() if place}
    )

    pipe = Pipeline()
    define(pipe, loaded)
    names = [stage.name for stage in pipe.stages]
    if given.to and given.to not in names:
        raise UserError(
            f"the parameter to is {given.to!r}, which is not a stage; "
            f"the stages are {', '.join(names)}"
        )

    pipe.stages = pipe.stages[: names.index(given.to) + 1 if given.to else None]
    pushes = "pusher" in [stage.name for stage in pipe.stages]
    problems = list(preflight.of_places(pipe, loaded.root, flags))
    if pushes and not is_google(loaded.pusher.serving_dir):
        problems.append(
            f"serving_dir {loaded.pusher.serving_dir!r} is a folder of the worker and is deleted "
            "with it: give gs://bucket/path"
        )
    if problems:
        raise preflight.PreflightError(problems)


def _check_value(parameter: Parameter, value: str) -> None:
    if parameter.needed and not value:
        raise UserError(f"the parameter {parameter.name} is missing: {parameter.help}")
    if value and not re.fullmatch(parameter.regex, value):
        raise UserError(
            f"the parameter {parameter.name} is {value!r}, which is not {parameter.regex}: "
            f"{parameter.help}"
        )


def _settings(given: Namespace) -> list[str]:
    try:
        return shlex.split(given.settings)
    except ValueError as error:
        raise UserError(
            f"the parameter settings is {given.settings!r}, which a shell cannot read: {error}"
        ) from None


def command(given: Namespace, flags: Sequence[str]) -> list[str]:
    """The arguments with which a launch calls `seqline`."""
    places = {
        "config": given.config,
        "root": given.root,
        "serving-dir": given.serving_dir,
        "data-dir": given.data_dir,
        "to": given.to,
    }
    arguments = [
        "run",
        "--verbose",
        *(f"--{name}={value}" for name, value in places.items() if value),
    ]
    arguments += [f"--set={setting}" for setting in _settings(given)]

    if given.beam_stages == HERE:
        return arguments

    handed = [f"--{name}={value}" for name in HANDED_ON if (value := option(flags, name))]
    handed += [f"--{name}={value}" for name in LISTS_HANDED_ON for value in options(flags, name)]
    switches = [switch for switch in SWITCHES_HANDED_ON if switch in flags]
    return [*arguments, "--runner=DataflowRunner", "--", *handed, *switches]


def work(arguments: Sequence[str]) -> None:
    """Runs `seqline` and logs its output.

    Dataflow may call it again on another machine, even while the first call still runs. That does
    no harm: a run continues where a killed run of the same root stopped, and the locks of the root
    keep two runs from making the same artifact at once.

    Raises:
        RuntimeError: `seqline` failed; the message holds its last lines.
    """
    last_lines: deque[str] = deque(maxlen=NUM_LAST_LINES)
    with tempfile.TemporaryDirectory(prefix="seqline-run-") as folder:
        command = [sys.executable, "-m", "pipeline", *arguments]
        with subprocess.Popen(
            command,
            cwd=folder,
            text=True,
            errors="replace",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as process:
            assert process.stdout
            for line in process.stdout:
                log.info("%s", line.rstrip())
                last_lines.append(line)

    if process.returncode:
        raise RuntimeError(
            f"seqline run ended with exit code {process.returncode}:\n{''.join(last_lines)}"
        )
