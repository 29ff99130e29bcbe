from components.example_validator import SEVERITIES
from pipeline.cli.app import app
from pipeline.config import reference
from tests.conftest import commands_of
from tests.support import CHECKOUT

README = (CHECKOUT / "README.md").read_text(encoding="utf-8")


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
    documented = (CHECKOUT / "docs" / "data.md").read_text(encoding="utf-8")
    errors, warnings = documented[documented.index("Errors unless") :].split("Warnings: ", 1)
    for kind, severity in SEVERITIES.items():
        assert (f"`{kind}`" in errors) == (severity == "error"), kind
        assert severity != "warning" or f"`{kind}`" in warnings.partition("\n\n")[0], kind


def test_the_tree_names_every_component() -> None:
    for path in (CHECKOUT / "components").iterdir():
        if not path.name.startswith("_"):
            assert path.name in README
