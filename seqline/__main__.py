"""`python -m seqline`: the command line, where its script is not on the PATH."""

import runpy
import sys

from seqline.errors import UserError
from seqline.host.rooms import check_rooms

if __name__ == "__main__":
    try:
        check_rooms()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    runpy.run_module("pipeline", run_name="__main__", alter_sys=True)
