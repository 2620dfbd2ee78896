"""Fields whose value is a text: text, editor, email, url and password.

Copies core/field_text.go, field_editor.go, field_email.go, field_url.go and
field_password.go. Of a password the record keeps the bcrypt hash; the plain text
of this request stands in `record.passwords`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from rowcast.errors import ErrorData, FieldError
from rowcast.schema import addresses, checks
from rowcast.schema.casts import column_text, to_text
from rowcast.schema.fields.field import Field, Lookup, Modifier, common_settings
from rowcast.schema.generate import random_by_pattern
from rowcast.schema.patterns import PatternError, pattern_matches, validate_pattern

if TYPE_CHECKING:
    from rowcast.schema.catalog import Catalog
    from rowcast.schema.collection import Collection
    from rowcast.schema.record import Record

DEFAULT_ID_PATTERN = "^[a-z0-9]+$"
UUID_PATTERN = "^(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$"
NUMBER_ID_PATTERN = "^(?:[1-9][0-9]{0,17})$"
DEFAULT_MAX_TEXT = 5000
DEFAULT_MAX_EDITOR = 5 << 20
MAX_PASSWORD = 71
_BCRYPT_BYTES = 72

_FORBIDDEN_IN_ID = (
    ".", "/", "\\", "|", '"', "'", "`", "<", ">", ":", "?", "*", "%", "$", "\0", "\t", "\n", "\r", " ",
)  # fmt: skip
_ONE_CASE = frozenset((DEFAULT_ID_PATTERN, UUID_PATTERN, NUMBER_ID_PATTERN))
"""Patterns of ids that have no capital letters: two of them never differ in letter case alone. The last two are
those of adopted tables, where a look in any letter case would read all rows."""

_RESERVED_IDS = ("CON", "PRN", "AUX", "NUL", *(f"{port}{n}" for port in ("COM", "LPT") for n in range(1, 10)))

_INVALID_FORMAT = FieldError("validation_invalid_format", "Invalid value format.")
_ID_CHANGED = FieldError("validation_pk_change", "The record primary key cannot be changed.")
_ID_TAKEN = FieldError("validation_pk_invalid", "The record primary key is invalid or already exists.")
_COMPOSITE_ID = FieldError(
    "validation_unsupported_composite_pk",
    "Composite PKs are not supported and the collection must have only 1 PK.",
)
_ID_NAME = FieldError("validation_in_invalid", 'The primary key must be named "id".')
_INVALID_EMAIL = FieldError("validation_is_email", "Must be a valid email address.")
_EMAIL_DOMAIN = FieldError("validation_email_domain_not_allowed", "Email domain is not allowed.")
_INVALID_URL = FieldError("validation_invalid_url", "Must be a valid url.")
_URL_DOMAIN = FieldError("validation_url_domain_not_allowed", "Url domain is not allowed.")


def _text(record: Record, field: Field) -> str:
    value = record.values.get(field.name)
    return value if isinstance(value, str) else ""


class _Text(Field, frozen=True, kw_only=True):
    def prepare(self, raw: object) -> str:
        return to_text(raw)

    from_db = staticmethod(column_text)


class TextField(_Text, frozen=True, kw_only=True, tag="text"):
    kind = "text"
    modifiers = ("set", "autogenerate")
    help: str = ""
    min: int = 0
    max: int = 0
    pattern: str = ""
    autogenerate_pattern: str = ""
    required: bool = False
    primary_key: bool = False

    @property
    def column_type(self) -> str:
        if self.primary_key:
            return "TEXT PRIMARY KEY DEFAULT ('r'||lower(hex(randomblob(7)))) NOT NULL"
        return "TEXT DEFAULT '' NOT NULL"

    def modify(self, modifier: Modifier, current: object, raw: object) -> str:
        text = to_text(raw)
        return text + self.generate() if modifier == "autogenerate" else text

    def generate(self) -> str:
        """Return a random text by `autogenerate_pattern`, "" where there is none or it is broken."""
        if not self.autogenerate_pattern:
            return ""
        try:
            return random_by_pattern(self.autogenerate_pattern)
        except PatternError:
            return ""

    def validate_value(self, record: Record, lookup: Lookup) -> FieldError | None:
        value = _text(record, self)
        if not self.primary_key:
            return self.validate_plain(value)
        if not record.is_new:
            # An id that is there already may break today's rules: it can't be changed any more.
            saved = record.original.get(self.name)
            if saved != value:
                return _ID_CHANGED
            return None if saved else self.validate_plain(value)
        if self.pattern not in _ONE_CASE and lookup.has_id(record.collection, value):
            return _ID_TAKEN
        return self.validate_plain(value)

    def validate_plain(self, value: str) -> FieldError | None:
        """Return what is wrong with a text on its own."""
        if not value:
            return checks.REQUIRED if self.required or self.primary_key else None
        size = len(value)
        if self.min > 0 and size < self.min:
            text = f"Must be at least {self.min} character(s)."
            return FieldError("validation_min_text_constraint", text, {"min": self.min})
        most = self.max or DEFAULT_MAX_TEXT
        if size > most > 0:
            text = f"Must be no more than {most} character(s)."
            return FieldError("validation_max_text_constraint", text, {"max": most})
        if self.pattern and not pattern_matches(self.pattern, value):
            return _INVALID_FORMAT
        if self.primary_key and self.pattern != DEFAULT_ID_PATTERN:
            return _unusable_id(value)
        return None

    def validate_settings(self, collection: Collection, catalog: Catalog) -> ErrorData:
        errors = common_settings(self)
        key = self.primary_key
        if key and self.name != "id" and "name" not in errors:
            errors["name"] = _ID_NAME
        keys = sum(1 for f in collection.fields if isinstance(f, TextField) and f.primary_key)
        errors.update(
            checks.collect(
                primaryKey=_COMPOSITE_ID if key and keys > 1 else None,
                min=checks.within(self.min, 0),
                max=checks.within(self.max, self.min),
                pattern=checks.first(checks.required(self.pattern) if key else None, validate_pattern(self.pattern)),
                hidden=checks.empty(self.hidden) if key else None,
                required=checks.required(self.required) if key else None,
                autogeneratePattern=checks.first(validate_pattern(self.autogenerate_pattern), self._check_generated()),
            )
        )
        return errors

    def _check_generated(self) -> FieldError | None:
        """Try the pattern a few times, as the reference does: it is random, so this is a loose check."""
        if not self.autogenerate_pattern:
            return None
        for _ in range(10):
            try:
                text = random_by_pattern(self.autogenerate_pattern)
            except PatternError as error:
                return FieldError("validation_invalid_autogenerate_pattern", str(error))
            if self.validate_plain(text) is not None:
                return FieldError(
                    "validation_invalid_autogenerate_pattern_value",
                    f'The provided autogenerate pattern could produce invalid field values, ex.: "{text}".',
                )
        return None


def _unusable_id(value: str) -> FieldError | None:
    """Refuse ids that some file system can't hold as a name: an id names a folder."""
    for char in _FORBIDDEN_IN_ID:
        if char in value:
            text = f"'{char}' is not a valid primary key character."
            return FieldError("validation_forbidden_pk_character", text, {"ch": char})
    if value.upper() in _RESERVED_IDS:
        reserved = value.upper()
        text = f"The primary key '{reserved}' is reserved and cannot be used."
        return FieldError("validation_reserved_pk", text, {"reserved": reserved})
    return None


class EditorField(_Text, frozen=True, kw_only=True, tag="editor"):
    kind = "editor"
    help: str = ""
    max_size: int = 0
    convert_urls: bool = msgspec.field(default=False, name="convertURLs")
    required: bool = False

    @property
    def max_body_size(self) -> int:
        return self.max_size if self.max_size > 0 else DEFAULT_MAX_EDITOR

    def validate_value(self, record: Record, lookup: Lookup) -> FieldError | None:
        value = _text(record, self)
        if self.required and not value:
            return checks.REQUIRED
        most = self.max_body_size
        if len(value) * 4 > most and len(value.encode("utf-8", "surrogatepass")) > most:
            text = f"The maximum allowed content size is {most} bytes."
            return FieldError("validation_content_size_limit", text, {"maxSize": most})
        return None

    def validate_settings(self, collection: Collection, catalog: Catalog) -> ErrorData:
        errors = common_settings(self)
        errors.update(checks.collect(maxSize=checks.within(self.max_size, 0)))
        return errors


class _DomainField(_Text, frozen=True, kw_only=True):
    help: str = ""
    except_domains: tuple[str, ...] | None = None
    only_domains: tuple[str, ...] | None = None
    required: bool = False

    def allows_domain(self, domain: str) -> bool:
        """Whether the lists of allowed and refused domains let `domain` pass."""
        if self.only_domains and domain not in self.only_domains:
            return False
        return not (self.except_domains and domain in self.except_domains)

    def validate_settings(self, collection: Collection, catalog: Catalog) -> ErrorData:
        errors = common_settings(self)
        except_domains, only_domains = self.except_domains or (), self.only_domains or ()
        both = bool(except_domains and only_domains)
        errors.update(
            checks.collect(
                exceptDomains=checks.EMPTY if both else checks.each(except_domains, checks.domain),
                onlyDomains=checks.EMPTY if both else checks.each(only_domains, checks.domain),
            )
        )
        return errors


class EmailField(_DomainField, frozen=True, kw_only=True, tag="email"):
    kind = "email"

    def validate_value(self, record: Record, lookup: Lookup) -> FieldError | None:
        value = _text(record, self)
        if not value:
            return checks.REQUIRED if self.required else None
        if not addresses.is_email(value):
            return _INVALID_EMAIL
        return None if self.allows_domain(value[value.rfind("@") + 1 :]) else _EMAIL_DOMAIN


class URLField(_DomainField, frozen=True, kw_only=True, tag="url"):
    kind = "url"

    def validate_value(self, record: Record, lookup: Lookup) -> FieldError | None:
        value = _text(record, self)
        if not value:
            return checks.REQUIRED if self.required else None
        if not addresses.is_url(value):
            return _INVALID_URL
        if not self.only_domains and not self.except_domains:
            return None
        return None if self.allows_domain(addresses.host_of(value)) else _URL_DOMAIN


class PasswordField(_Text, frozen=True, kw_only=True, tag="password"):
    kind = "password"
    help: str = ""
    pattern: str = ""
    min: int = 0
    max: int = 0
    cost: int = 0
    required: bool = False

    def to_json(self, value: object) -> str:
        return ""

    def json_sql(self, column: str) -> str:
        return "''"

    def validate_value(self, record: Record, lookup: Lookup) -> FieldError | None:
        plain = record.passwords.get(self.name, "")
        # The reference's bcrypt refuses longer texts, and its error has no public text.
        if plain and len(plain.encode("utf-8", "surrogatepass")) > _BCRYPT_BYTES:
            return checks.INVALID_VALUE
        if self.required and not (plain or _text(record, self)):
            return checks.REQUIRED
        return self.validate_plain(plain)

    def validate_plain(self, plain: str) -> FieldError | None:
        """Return what is wrong with a new password; "" means that none is set."""
        if not plain:
            return None
        if len(plain) < self.min:
            return FieldError("validation_min_text_constraint", f"Must be at least {self.min} character(s).")
        most = self.max if self.max > 0 else MAX_PASSWORD
        if len(plain) > most:
            return FieldError("validation_max_text_constraint", f"Must be less than {most} character(s).")
        if self.pattern and not pattern_matches(self.pattern, plain):
            return _INVALID_FORMAT
        return None

    def validate_settings(self, collection: Collection, catalog: Catalog) -> ErrorData:
        errors = common_settings(self)
        errors.update(
            checks.collect(
                min=checks.within(self.min, 1, MAX_PASSWORD),
                max=checks.within(self.max, self.min, MAX_PASSWORD),
                cost=checks.within(self.cost, 4, 31),
                pattern=validate_pattern(self.pattern),
            )
        )
        return errors
