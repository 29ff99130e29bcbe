"""`python -m pipeline.serve`."""

import sys

from pipeline.serve.main import main

sys.exit(main(sys.argv[1:]))
