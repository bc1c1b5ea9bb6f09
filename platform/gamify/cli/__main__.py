"""`python -m gamify.cli`: the `gamify` command."""

from gamify.cli import main

main()
