"""Sign-in with other services: the exchange of codes, who the user is there, and which account that is here.

The only place that talks to providers and reads their tokens. Its libraries take a
third of a second to load, so the rest of the program reaches it through
`Accounts.oauth2`, which loads it when the first user comes that way.
"""
