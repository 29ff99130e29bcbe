"""docs/security.md knows each package that reads bytes which somebody else wrote."""

from tests.project.untrusted import OTHERS, READERS, imported, versions


def test_every_package_that_is_imported_is_judged() -> None:
    assert imported() - set(READERS) - set(OTHERS) == set()


def test_every_package_that_is_judged_is_locked() -> None:
    assert set(READERS) - set(versions()) == set()
    assert not set(READERS) & set(OTHERS)
