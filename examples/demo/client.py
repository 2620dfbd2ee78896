"""A few lines of HTTP: what the demo asks of its server goes through the public API."""

from __future__ import annotations

import http.client
import json
from typing import Any


class RefusedError(Exception):
    """The server refused a request; the message is its answer."""


class Client:
    """One connection to one server, as a guest until `sign_in`."""

    def __init__(self, address: str) -> None:
        self._connection = http.client.HTTPConnection(address, timeout=30)
        self._token = ""
        self.id = ""

    def send(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
        """Return the answer's JSON, None for an empty one. Raises RefusedError and OSError."""
        headers = {"Content-Type": "application/json", "Authorization": self._token}
        try:
            self._connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = self._connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            # The next request starts with a new connection.
            self._connection.close()
            raise ConnectionError(f"{method} {path}: no answer") from error
        if answer.status >= 400:
            raise RefusedError(f"{method} {path}: {answer.status} {text.decode(errors='replace').strip()}")
        return json.loads(text) if text else None

    def sign_in(self, collection: str, identity: str, password: str) -> None:
        """Go on as this account."""
        path = f"/api/collections/{collection}/auth-with-password"
        answer = self.send("POST", path, {"identity": identity, "password": password})
        self._token, self.id = answer["token"], answer["record"]["id"]

    def create(self, collection: str, **values: object) -> str:
        """Create a record and return its id."""
        record_id: str = self.send("POST", f"/api/collections/{collection}/records", values)["id"]
        return record_id

    def update(self, collection: str, record_id: str, **values: object) -> None:
        """Update a record."""
        self.send("PATCH", f"/api/collections/{collection}/records/{record_id}", values)

    def delete(self, collection: str, record_id: str) -> None:
        """Delete a record."""
        self.send("DELETE", f"/api/collections/{collection}/records/{record_id}")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
