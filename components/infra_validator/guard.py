"""Runs a command that dies with the process that started it, however that one ends.

    python guard.py PARENT COMMAND ...

PARENT is the id of that process; on Linux this program becomes the command. It is a program of its
own, not a hook between fork and exec, because the parent has threads, TensorFlow's among them.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time

PR_SET_PDEATHSIG = 1
WATCH_SECONDS = 0.2


def main() -> None:
    parent = int(sys.argv[1])
    command = sys.argv[2:]
    if sys.platform == "linux":
        # The servers end at SIGTERM, and `docker run` hands it on to its container. The setting
        # outlives exec.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() == parent:
            os.execvp(command[0], command)
        sys.exit(1)

    process = subprocess.Popen(command)
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    while process.poll() is None:
        if os.getppid() != parent:
            process.kill()
        time.sleep(WATCH_SECONDS)
    sys.exit(process.returncode)


main()
