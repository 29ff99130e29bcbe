"""The console script.

What may be broken is imported here, so that `seqline doctor` can still say what it is.
"""

import sys


def main() -> None:
    """`seqline`.

    An installation whose command line cannot be imported ends with its traceback and the way out.
    """
    if sys.argv[1:2] == ["doctor"]:
        from pipeline.doctor import __main__ as doctor

        sys.exit(doctor.main(sys.argv[2:]))
    try:
        from pipeline.cli import app
    except Exception:
        print(
            "seqline's libraries cannot be imported; `seqline doctor` (or python -m"
            " pipeline.doctor) says what is wrong:",
            file=sys.stderr,
        )
        raise
    app.main()


if __name__ == "__main__":
    main()
