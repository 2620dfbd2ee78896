"""Accounts: signing in, tokens, one-time passwords, and the superusers of the command line."""
