"""The table of routes: every method and path of the API, what answers it and what guards it.

Copies the `bind…Api` functions of the reference's apis/*.go. The matcher does not
depend on the order of the rows.
"""

from __future__ import annotations

from rowcast.api import dashboard
from rowcast.api.auth import AuthApi, same_collection_only
from rowcast.api.backups import unlimited
from rowcast.api.batch import BatchApi
from rowcast.api.collections import CollectionsApi
from rowcast.api.files import FilesApi
from rowcast.api.health import Health
from rowcast.api.inspector import serving as inspector
from rowcast.api.oauth2 import OAuth2Api
from rowcast.api.operators import Operators
from rowcast.api.realtime import Realtime
from rowcast.api.records import RecordsApi
from rowcast.api.route import Route, collection_body_limit, superuser_only

_NO_COLLECTION = "Missing collection context."


def table(  # noqa: PLR0913 -- one for each part of the API
    *,
    health: Health,
    collections: CollectionsApi,
    records: RecordsApi,
    batch: BatchApi,
    auth: AuthApi,
    oauth2: OAuth2Api,
    files: FilesApi,
    realtime: Realtime,
    operators: Operators,
) -> list[Route]:
    """Return all routes."""
    root = "/api/collections"
    one = root + "/{collection}"
    return [
        Route("GET", "/api/health", health.check, needs_database=False),
        Route("GET", "/api/ready", health.ready, is_success_logged=False),
        Route("GET", root, collections.list, superuser_only),
        Route("POST", root, collections.create, superuser_only),
        Route("PUT", root + "/import", collections.import_, superuser_only),
        Route("GET", root + "/meta/scaffolds", collections.scaffolds, superuser_only),
        Route("GET", root + "/meta/oauth2-providers", collections.oauth2_providers, superuser_only),
        Route("POST", root + "/meta/dry-run-view", collections.dry_run_view, superuser_only),
        Route("GET", one, collections.view, superuser_only),
        Route("PATCH", one, collections.update, superuser_only),
        Route("DELETE", one, collections.delete, superuser_only),
        Route("DELETE", one + "/truncate", collections.truncate, superuser_only),
        Route("GET", one + "/records", records.list, tags=("list",), missing=_NO_COLLECTION),
        Route("GET", one + "/records/{id}", records.view, tags=("view",), missing=_NO_COLLECTION),
        Route("POST", one + "/records", records.create, tags=("create",), body_limit=collection_body_limit),
        Route("PATCH", one + "/records/{id}", records.update, tags=("update",), body_limit=collection_body_limit),
        Route("DELETE", one + "/records/{id}", records.delete, tags=("delete",), missing=_NO_COLLECTION),
        Route("POST", "/api/batch", batch.run, body_limit=batch.body_limit),
        Route("GET", one + "/auth-methods", auth.methods, tags=("listAuthMethods",)),
        Route("POST", one + "/auth-with-password", auth.with_password, tags=("authWithPassword", "auth")),
        Route("POST", one + "/auth-with-oauth2", oauth2.sign_in, tags=("authWithOAuth2", "auth")),
        Route("GET", "/api/oauth2-redirect", oauth2.redirect, is_success_logged=False),
        Route("POST", "/api/oauth2-redirect", oauth2.redirect, is_success_logged=False),
        Route("POST", one + "/auth-refresh", auth.refresh, same_collection_only, tags=("authRefresh",)),
        Route("POST", one + "/impersonate/{id}", auth.impersonate, superuser_only),
        Route("POST", one + "/request-otp", auth.mails.request_otp, tags=("requestOTP",)),
        Route("POST", one + "/auth-with-otp", auth.mails.with_otp, tags=("authWithOTP", "auth")),
        Route("POST", one + "/request-verification", auth.mails.request_verification, tags=("requestVerification",)),
        Route("POST", one + "/confirm-verification", auth.mails.confirm_verification, tags=("confirmVerification",)),
        Route("POST", one + "/request-password-reset", auth.mails.request_reset, tags=("requestPasswordReset",)),
        Route("POST", one + "/confirm-password-reset", auth.mails.confirm_reset, tags=("confirmPasswordReset",)),
        Route(
            "POST",
            one + "/request-email-change",
            auth.mails.request_email_change,
            same_collection_only,
            tags=("requestEmailChange",),
        ),
        Route("POST", one + "/confirm-email-change", auth.mails.confirm_email_change, tags=("confirmEmailChange",)),
        Route("POST", "/api/files/token", files.token),
        Route("GET", "/api/files/{collection}/{record}/{name}", files.download, tags=("file",)),
        Route("GET", "/api/realtime", realtime.connect, is_success_logged=False),
        Route("POST", "/api/realtime", realtime.subscribe),
        Route("GET", "/api/realtime/clients", realtime.clients, superuser_only),
        Route("DELETE", "/api/realtime/clients/{id}", realtime.kick, superuser_only),
        Route("POST", "/api/realtime/publish", realtime.publish, superuser_only),
        Route("GET", "/api/settings", operators.settings.view, superuser_only),
        Route("PATCH", "/api/settings", operators.settings.update, superuser_only),
        Route("POST", "/api/settings/test/s3", operators.settings.test_s3, superuser_only),
        Route("POST", "/api/settings/test/email", operators.settings.test_email, superuser_only),
        Route("POST", "/api/settings/apple/generate-client-secret", oauth2.apple_secret, superuser_only),
        Route("GET", "/api/logs", operators.logs.list, superuser_only, is_success_logged=False),
        Route("GET", "/api/logs/stats", operators.logs.stats, superuser_only, is_success_logged=False),
        Route("GET", "/api/logs/{id}", operators.logs.view, superuser_only, is_success_logged=False),
        Route("GET", "/api/crons", operators.crons.list, superuser_only),
        Route("POST", "/api/crons/{id}", operators.crons.run, superuser_only),
        Route("POST", "/api/sql", operators.sql.run, superuser_only),
        Route("GET", "/api/backups", operators.backups.list, superuser_only),
        Route("POST", "/api/backups", operators.backups.create, superuser_only),
        Route("POST", "/api/backups/upload", operators.backups.upload, superuser_only, body_limit=unlimited),
        Route("GET", "/api/backups/{key}", operators.backups.download),
        Route("DELETE", "/api/backups/{key}", operators.backups.delete, superuser_only),
        Route("POST", "/api/backups/{key}/restore", operators.backups.restore, superuser_only),
        Route("GET", "/_/{path...}", dashboard.front, is_success_logged=False),
        Route("GET", "/_/extensions.js", dashboard.extensions, is_success_logged=False),
        Route("GET", inspector.PATH, inspector.page, is_success_logged=False),
        Route("GET", inspector.PATH + "/", inspector.slash, is_success_logged=False),
        Route("GET", inspector.PATH + "/{name}", inspector.part, is_success_logged=False),
        *operators.optional(),
    ]
