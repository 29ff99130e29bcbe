"""The console script.

Imports are inside `main`, so that `seqline doctor` runs in a broken installation.
"""

import sys


def main() -> None:
    """Runs `seqline`; if its libraries cannot be imported, points to `seqline doctor`."""
    if sys.argv[1:2] == ["doctor"]:
        from pipeline.doctor import __main__ as doctor

        sys.exit(doctor.main(sys.argv[2:]))

    try:
        from pipeline.cli import app
    except Exception:
        print(
            "seqline's libraries cannot be imported. `seqline doctor` (or python -m"
            " pipeline.doctor) says what is wrong.",
            file=sys.stderr,
        )
        raise

    app.main()


if __name__ == "__main__":
    main()
