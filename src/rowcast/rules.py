"""Rules: may this request see, create, change or delete this record?

The evaluator is chosen here: a Python closure where the rule needs nothing but
the record and the request, else SQL over the row image. Null rules are for
superusers only, empty ones for everybody.
"""

from __future__ import annotations
