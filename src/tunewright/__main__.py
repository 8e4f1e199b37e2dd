"""`python -m tunewright` is the `tunewright` command."""

from tunewright.cli.main import main

main()
