"""The jobs that every server has, with the reference's ids and times (core/base.go, mfa_model.go, otp_model.go)."""

from __future__ import annotations

from collections.abc import Callable

from rowcast.admin.activity import ActivityLog
from rowcast.admin.crons import Crons


def add_system_jobs(
    crons: Crons,
    *,
    optimize: Callable[[], None],
    activity: ActivityLog,
    delete_expired_mfas: Callable[[], None],
    delete_expired_otps: Callable[[], None],
) -> None:
    """Add the jobs that clean up and keep the database in shape, in the order in which the reference lists them."""
    crons.add("__pbDBOptimize__", "0 0 * * *", optimize)
    crons.add("__pbMFACleanup__", "0 * * * *", delete_expired_mfas)
    crons.add("__pbOTPCleanup__", "0 * * * *", delete_expired_otps)
    crons.add("__pbLogsCleanup__", "0 */6 * * *", activity.trim)
