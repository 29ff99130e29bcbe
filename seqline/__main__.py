"""`python -m seqline`: the console script without its folder on the PATH."""

from pipeline.__main__ import main

if __name__ == "__main__":
    main()
