"""Client secrets for Apple: a token that the developer signs, valid for half a year at most.

A home of joserfc. Copies forms/apple_client_secret_create.go.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from rowcast.errors import BadRequestError, FieldError
from rowcast.schema import checks
from rowcast.schema.checks import collect, first, required

_LONGEST_S = 15_777_000
_AUDIENCE = "https://appleid.apple.com"
_KEY = re.compile(r"-----BEGIN PRIVATE KEY----[\s\S]+-----END PRIVATE KEY-----")


@dataclass(frozen=True, slots=True)
class AppleSecretForm:
    """What is submitted; `duration` is in seconds."""

    client_id: str = ""
    team_id: str = ""
    key_id: str = ""
    private_key: str = ""
    duration: int = 0

    @classmethod
    def from_values(cls, values: Mapping[str, object]) -> AppleSecretForm:
        """Read submitted values by their names in JSON."""
        duration = values["duration"]
        return cls(
            str(values["clientId"]),
            str(values["teamId"]),
            str(values["keyId"]),
            str(values["privateKey"]),
            duration if isinstance(duration, int) else 0,
        )


def create(form: AppleSecretForm, now: Callable[[], float]) -> str:
    """Return a client secret. Raises BadRequestError, with `data` by field where the form is wrong."""
    errors = collect(
        clientId=required(form.client_id),
        teamId=first(required(form.team_id), checks.length(form.team_id, 10, 10)),
        keyId=first(required(form.key_id), checks.length(form.key_id, 10, 10)),
        privateKey=first(required(form.private_key), _key_error(form.private_key)),
        duration=first(
            required(form.duration), checks.at_least(form.duration, 1), checks.at_most(form.duration, _LONGEST_S)
        ),
    )
    if errors:
        raise BadRequestError("Invalid client secret data.", errors)
    begin = int(now())
    claims = {
        "aud": [_AUDIENCE],
        "exp": begin + form.duration,
        "iat": begin,
        "iss": form.team_id,
        "sub": form.client_id,
    }
    try:
        key = ECKey.import_key(form.private_key.strip())
        return jwt.encode({"alg": "ES256", "kid": form.key_id, "typ": "JWT"}, claims, key, algorithms=["ES256"])
    except (JoseError, ValueError, TypeError) as error:
        raise BadRequestError(f"Failed to generate client secret. Raw error: \n{error}") from error


def _key_error(text: str) -> FieldError | None:
    return None if _KEY.search(text) else FieldError("validation_match_invalid", "Must be in a valid format.")
