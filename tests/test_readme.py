from pathlib import Path

from components.example_validator import SEVERITIES
from pipeline.cli import app
from pipeline.config import reference
from tests.conftest import commands_of

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_configuration_table_is_the_configuration() -> None:
    assert reference() in README


def test_every_command_and_option_of_run_is_documented() -> None:
    commands = commands_of(app)
    for name in set(commands) - {"version"}:
        assert f"`seqline {name}" in README
    row = next(line for line in README.splitlines() if line.startswith("| `seqline run "))
    for parameter in commands["run"].params:
        assert any(option in row for option in parameter.opts), parameter.opts


def test_every_kind_of_anomaly_is_documented_with_its_severity() -> None:
    documented = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    errors, warnings = documented[documented.index("Errors unless") :].split("Warnings: ", 1)
    for kind, severity in SEVERITIES.items():
        assert (f"`{kind}`" in errors) == (severity == "error"), kind
        assert severity != "warning" or f"`{kind}`" in warnings.partition("\n\n")[0], kind


def test_the_tree_names_every_component() -> None:
    for path in (ROOT / "components").iterdir():
        if not path.name.startswith("_"):
            assert path.name in README


def test_components_do_not_import_each_other() -> None:
    shared = {"base", "features", "beam", "examples", "wire", "pieces", "counts", "files", "saved_model", "model_files"}
    shared |= {"gcs", "gs_path", "staging", "lease", "dataflow", "shipping", "progress", "origins", "packages", "model_identity"}
    shared |= {"network", "layers", "recurrence", "time_loops", "rounding", "rows"}
    exceptions = {"tuner": {"trainer"}}  # a tuner is made of trainings
    for path in (ROOT / "components").rglob("*.py"):
        own = path.relative_to(ROOT / "components").parts[0].removesuffix(".py")
        for line in path.read_text(encoding="utf-8").splitlines():
            words = line.split()
            if words[:1] in (["from"], ["import"]) and words[1].startswith("components."):
                assert words[1].split(".")[1] in shared | {own} | exceptions.get(own, set()), f"{path}: {line}"
