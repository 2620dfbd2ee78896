"""What may be wrong with a data directory, the machine and the way from clients to a server.

Every check returns findings; nothing is changed unless `repairs` is asked to, and that
deletes only what nobody can miss. Safe beside a server that uses the directory.
"""
