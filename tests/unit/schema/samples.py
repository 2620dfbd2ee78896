"""Collections and a database stand-in that the tests of this package share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from rowcast.schema.catalog import Catalog
from rowcast.schema.collection import AuthOptions, Collection
from rowcast.schema.defaults import AUTH_FIELDS, ID_FIELD
from rowcast.schema.fields import Field, GeoPointField, JSONField, SelectField, TextField


@dataclass
class Known:
    """What the database holds, as far as validation asks for it."""

    ids: dict[str, set[str]] = field(default_factory=dict)
    catalog: Catalog = field(default_factory=Catalog)

    def has_id(self, collection: Collection, record_id: str) -> bool:
        return record_id.lower() in {one.lower() for one in self.ids.get(collection.id, set())}

    def count_ids(self, collection: Collection, ids: Sequence[str]) -> int:
        return len(set(ids) & self.ids.get(collection.id, set()))


def collection_of(*fields: Field, name: str = "posts") -> Collection:
    return Collection(id="pbc_1", name=name, fields=(ID_FIELD, *fields))


def accounts(*fields: Field) -> Collection:
    return Collection(
        id="pbc_2", name="users", type="auth", fields=(ID_FIELD, *AUTH_FIELDS, *fields), auth=AuthOptions()
    )


POSTS = collection_of(
    TextField(name="title", required=True, max=20),
    TextField(name="secret", hidden=True),
    SelectField(name="tags", values=("a", "b", "c"), max_select=3),
    JSONField(name="data"),
    GeoPointField(name="place"),
)
