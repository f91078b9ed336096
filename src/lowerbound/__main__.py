"""`python -m lowerbound` is the `lowerbound` command."""

from lowerbound.cli import main

if __name__ == "__main__":
    main()
