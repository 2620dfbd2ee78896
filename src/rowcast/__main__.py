"""`python -m rowcast` is the command `rowcast`."""

from rowcast.cli import main

main()
