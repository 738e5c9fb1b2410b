"""`python -m keyhouse`."""

from keyhouse.cli import main

main()
