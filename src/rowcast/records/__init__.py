"""Records: read, written and shown, by rule.

`Records` is what handlers and other parts call. Behind it: `reads` and `writes` for
requests, `saving` for writes without rules, `finding` for reads without rules,
`output` for what is shown.
"""

from __future__ import annotations

from rowcast.records.desk import Records

__all__ = ["Records"]
