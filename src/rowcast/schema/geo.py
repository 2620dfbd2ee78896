"""Places on the globe (tools/types/geo_point.go)."""

from __future__ import annotations

import msgspec

from rowcast.schema.casts import plain_number
from rowcast.schema.jsontext import go_number

_decode = msgspec.json.Decoder().decode


class GeoPoint(msgspec.Struct, frozen=True):
    """A place in degrees; encoded as {"lon":0,"lat":0}."""

    lon: float = 0
    lat: float = 0

    def to_json(self) -> str:
        """Return the JSON text that stands in the database."""
        return f'{{"lon":{go_number(self.lon)},"lat":{go_number(self.lat)}}}'


ZERO = GeoPoint()


def parse(raw: object) -> GeoPoint:
    """Return a place from an object or its JSON text; what isn't a number counts as 0.

    Names are found in any letter case, as Go's decoder finds them.
    """
    if isinstance(raw, GeoPoint):
        return raw
    if isinstance(raw, bytes):
        raw = raw.decode("utf-8", "replace")
    if isinstance(raw, str):
        try:
            raw = _decode(raw) if raw else None
        except (msgspec.DecodeError, RecursionError):
            return ZERO
    if not isinstance(raw, dict):
        return ZERO
    degrees: dict[str, float] = {}
    for name, value in raw.items():
        axis = str(name).lower()
        if axis in ("lon", "lat") and isinstance(value, int | float) and not isinstance(value, bool):
            degrees[axis] = plain_number(value)
    return GeoPoint(degrees.get("lon", 0), degrees.get("lat", 0)) if degrees else ZERO
