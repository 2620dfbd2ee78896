"""The command `rowcast`: serve, superuser, backup, restore, doctor.

Reads arguments, calls the server and says how it went. Names, arguments and texts
are those of the reference's commands (cmd/*.go), except that a failure ends with a
status that is not 0. Modules are imported by the command that needs them, so that
`rowcast --version` and `rowcast superuser` do not wait for a web server's imports.
"""

from rowcast.cli.entry import command, main, ordered

__all__ = ["command", "main", "ordered"]
