"""Accounts: who somebody is, and how they prove it.

`Accounts` is what handlers call. One module for each flow, and below them what
they share: `tokens`, and `signin` with the answer that every sign-in ends with.
Knows no HTTP: requests come as `RequestInfo`, answers go as JSON text.
"""

from __future__ import annotations

from rowcast.auth.accounts import Accounts
from rowcast.auth.origins import Device
from rowcast.auth.second_factor import SecondFactorError

__all__ = ["Accounts", "Device", "SecondFactorError"]
