"""The packages that read bytes which somebody else wrote, for docs/security.md."""

import ast
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions

from packaging.utils import canonicalize_name

from tests.project.locks import pins, read
from tests.support import CHECKOUT

ROOMS = ("pipeline", "components", "serving", "seqline")
CLIENTS, DATA, STORE = "clients of the server", "whoever writes the data", "whoever writes the root"
SERVED = "whoever writes serving_dir"
CLOUD = "Google's services, over TLS"
TRACKER = "the server that `--track` names"

# Package -> (what it reads, who may have written it).
READERS = {
    "httptools": ("HTTP requests (llhttp)", CLIENTS),
    "h11": ("HTTP requests, where uvicorn is told to", CLIENTS),
    "uvicorn": ("HTTP requests, headers, TLS by Python's ssl", CLIENTS),
    "starlette": ("paths, headers and bodies of requests", CLIENTS),
    "grpcio": ("HTTP/2 frames and gRPC messages", CLIENTS),
    "grpcio-health-checking": ("health requests over gRPC", CLIENTS),
    "tensorflow-serving-api": ("PredictRequest and other messages; warm-up requests", CLIENTS),
    "protobuf": ("tf.Example, SavedModel, statistics, models.config (upb)", f"{CLIENTS}; {DATA}"),
    "tensorflow": (
        "tf.Example in the graph; TFRecord; SavedModels, which are programs: load only your own",
        f"{CLIENTS}; {DATA}; {SERVED}",
    ),
    "numpy": ("arrays of numbers; checkpoints (.npz, without pickle)", f"{CLIENTS}; {STORE}"),
    "pyarrow": ("CSV, JSON, Parquet, Arrow, ORC and Feather files", f"{DATA}; {STORE}"),
    "zstandard": ("compressed sources", DATA),
    "google-crc32c": ("checksums of TFRecord", DATA),
    "apache-beam": ("the elements of its own jobs (pickle between its workers)", STORE),
    "tensorflow-transform": ("transform graphs", STORE),
    "tensorflow-metadata": ("schema.pbtxt, statistics and anomalies", STORE),
    "tensorflow-datasets": ("data sets that were prepared before", DATA),
    "keras": ("the layout of networks; weights", STORE),
    "h5py": ("weights (HDF5)", STORE),
    "pydantic": ("configurations and records", f"{STORE}; the user"),
    "pydantic-core": ("configurations and records", f"{STORE}; the user"),
    "jinja2": ("nothing: its templates are ours; it escapes what they show", DATA),
    "markupsafe": ("texts that reports show, which it escapes", DATA),
    "requests": ("answers of services", CLOUD),
    "google-auth": ("credentials and tokens", CLOUD),
    "google-cloud-storage": ("objects of a bucket", CLOUD),
    "obstore": ("objects of a bucket under s3:// or az://, answers of these services", CLOUD),
    "google-api-core": ("answers of services", CLOUD),
    "mlflow-skinny": ("answers of the tracking server", TRACKER),
    "openlineage-python": ("the status of an answer; openlineage.yml", f"{TRACKER}; the user"),
    "wandb": ("answers of the service", TRACKER),
}
# Packages that the code imports and that read nothing of this kind.
OTHERS = {
    "mlflow": "is mlflow-skinny with a server, which is not called",
    "mlflow-tracing": "is a part of mlflow",
    "ml-dtypes": "gives numpy more types of numbers",
    "optuna": "chooses numbers; its study is in memory",
    "pandas": "holds the rows that a model of MLflow is asked about",
    "packaging": "reads versions of installed packages",
    "pip": "is looked for, not called",
    "prometheus-client": "writes metrics",
    "rich": "writes to a terminal",
    "scikit-learn": "fits a linear model on counts",
    "scipy": "multiplies sparse matrices of counts",
    "setuptools": "packs our own code",
    "typer": "reads the command line",
    "typing-extensions": "has TypedDict for older Pythons",
}


@cache
def versions() -> dict[str, str]:
    """Package -> its locked versions, by comma.

    Those of extras that neither a run nor Google Cloud needs are in the lock of everything.
    """
    found: dict[str, list[str]] = {}
    for lock in ("requirements-gcp.lock", "requirements-runtime.lock"):
        for pin in pins(read(lock)):
            known = found.setdefault(pin.name, [])
            if pin.version not in known:
                known.append(pin.version)
    for pin in pins(read("requirements.lock")):
        found.setdefault(pin.name, [pin.version])
    return {name: ", ".join(known) for name, known in found.items()}


def table() -> str:
    """The table of docs/security.md."""
    lines = ["| package | version | reads | written by |\n", "|---|---|---|---|\n"]
    for name, (what, whom) in sorted(READERS.items()):
        lines.append(f"| {name} | {versions()[name]} | {what} | {whom} |\n")
    return "".join(lines)


def imported() -> set[str]:
    """The packages that the four rooms import, as the locks name them."""
    packages = packages_distributions()
    names = set()
    for room in ROOMS:
        for path in (CHECKOUT / room).rglob("*.py"):
            for module in _modules(ast.parse(path.read_bytes())):
                top = module.partition(".")[0]
                if top not in ROOMS and top not in sys.stdlib_module_names and top != "google":
                    names |= {canonicalize_name(name) for name in packages.get(top, [top])}
    return names


def _modules(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
