"""`python -m seqline`: the command line, where its script is not on the PATH."""

import runpy

if __name__ == "__main__":
    runpy.run_module("pipeline", run_name="__main__", alter_sys=True)
