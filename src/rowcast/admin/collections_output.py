"""Collections as the API shows them: the order of the keys is part of the contract.

Copies core/collection_model.go, MarshalJSON: secrets of tokens and of OAuth2
clients never leave.
"""

from __future__ import annotations

from typing import Any

import msgspec

from rowcast.schema.collection import AuthOptions, Collection
from rowcast.schema.fieldlist import field_json


def collection_json(collection: Collection) -> dict[str, object]:
    """Return a collection as JSON values without its secrets."""
    return {
        "id": collection.id,
        "listRule": collection.list_rule,
        "viewRule": collection.view_rule,
        "createRule": collection.create_rule,
        "updateRule": collection.update_rule,
        "deleteRule": collection.delete_rule,
        "name": collection.name,
        "type": collection.type,
        "fields": [field_json(field) for field in collection.fields],
        "indexes": list(collection.indexes),
        "created": collection.created,
        "updated": collection.updated,
        "system": collection.system,
        **_options(collection),
    }


def _options(collection: Collection) -> dict[str, Any]:
    if collection.auth is not None:
        return _auth_options(collection.auth)
    if collection.view is not None:
        return {"viewQuery": collection.view.view_query}
    return {}


def _auth_options(options: AuthOptions) -> dict[str, Any]:
    out: dict[str, Any] = msgspec.to_builtins(options)
    for name in ("authToken", "passwordResetToken", "emailChangeToken", "verificationToken", "fileToken"):
        del out[name]["secret"]
    for provider in out["oauth2"]["providers"]:
        del provider["clientSecret"]
    return out
