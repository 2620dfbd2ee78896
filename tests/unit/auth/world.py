"""A new data directory with accounts, a clock that is set by hand and mails that are kept."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from rowcast.auth import Accounts, Device
from rowcast.auth.passwords import Passwords, PasswordSignInForm
from rowcast.blobs import LocalBlobs
from rowcast.config import SettingsRef
from rowcast.credentials import hash_password, is_password
from rowcast.errors import ApiError
from rowcast.mail import Message
from rowcast.mail.outbox import Outbox
from rowcast.records import Records
from rowcast.records.finding import find_all
from rowcast.records.output import Output
from rowcast.rules import Rules
from rowcast.schema import dates
from rowcast.schema.catalog import CatalogRef
from rowcast.schema.collection import AuthOptions, Collection
from rowcast.schema.record import Change, Record
from rowcast.schema.request import RequestInfo
from rowcast.schema.rows import new_record
from rowcast.storage.directory import open_directory

PASSWORD = "correct horse"
HASH = hash_password(PASSWORD, 4)
Refusal = tuple[int, str, dict[str, object]]
INVALID = "An error occurred while validating the submitted data."
REQUIRED = {"code": "validation_required", "message": "Cannot be blank."}
HOME = Device("127.0.0.1", "browser")


class KeptMails(Outbox):
    """Writes and sends at once, on the thread that asks; `is_broken` has every mail fail.

    With `is_held` what shall be written waits in `held`.
    """

    def __init__(self) -> None:
        super().__init__(self)
        self.sent: list[Message] = []
        self.held: list[Callable[[], None]] = []
        self.is_broken = self.is_held = False

    def later(self, write: Callable[[], None]) -> None:
        if self.is_held:
            self.held.append(write)
        else:
            write()

    def send(
        self,
        message: Message,
        *,
        then: Callable[[], None] | None = None,
        otherwise: Callable[[], None] | None = None,
    ) -> None:
        if not self.is_broken:
            self.sent.append(message)
        follow_up = otherwise if self.is_broken else then
        if follow_up is not None:
            follow_up()

    def placed(self, name: str) -> str:
        """Return what stands for a placeholder in the last mail, whose template is `name=value;`."""
        found = re.search(rf"{name}=([^;]*);", self.sent[-1].html)
        assert found is not None
        return found[1]


class CountedPasswords:
    """Compares passwords and counts how often."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, plain: str, hashed: str) -> bool:
        self.count += 1
        return is_password(plain, hashed)


class World:
    """Accounts without the edge."""

    def __init__(self, path: Path) -> None:
        self.directory = open_directory(path, budget_s=10)
        self.storage = self.directory.data
        self.catalog = CatalogRef(self.directory.catalog)
        self.settings = SettingsRef(self.directory.settings)
        self.rules = Rules(self.catalog)
        self.records = Records(
            storage=self.storage,
            catalog=self.catalog,
            blobs=LocalBlobs(self.directory.files),
            rules=self.rules,
            output=Output(self.catalog, self.rules),
        )
        self.now = dates.to_unix(dates.now())
        self.mails = KeptMails()
        self.accounts = Accounts(
            storage=self.storage,
            catalog=self.catalog,
            settings=self.settings,
            records=self.records,
            rules=self.rules,
            outbox=self.mails,
            now=lambda: self.now,
        )
        self.is_password = CountedPasswords()
        self.passwords = Passwords(self.storage, self.accounts.signin, is_password=self.is_password)
        self.changes: list[Change] = []
        self.storage.publish = lambda logged: self.changes.extend(c for c in logged if isinstance(c, Change))

    def close(self) -> None:
        self.storage.publish = None
        self.directory.close()

    def of(self, name: str) -> Collection:
        found = self.catalog.current.find(name)
        assert found is not None
        return found

    def alter(self, name: str, **options: object) -> Collection:
        """Give an auth collection other options; `fields` and `indexes` are those of the collection."""
        collection = self.of(name)
        assert collection.auth is not None
        own = {key: options.pop(key) for key in ("fields", "indexes", "view_rule", "list_rule") if key in options}
        auth: AuthOptions = msgspec.structs.replace(collection.auth, **options)
        changed = collection.replaced(auth=auth, **own)
        self.catalog.current = self.catalog.current.replaced(changed)
        return changed

    def add(self, collection: str, **values: object) -> Record:
        """Save a record without asking any rule."""
        record = new_record(self.of(collection))
        for key, value in values.items():
            if key == "password":
                record.values[key] = value
            else:
                record.set(key, value)
        with self.storage.write() as tx:
            self.records.save(tx, record)
        return record

    def user(self, email: str = "a@example.com", **values: object) -> Record:
        return self.add("users", **({"email": email, "password": HASH} | values))

    def superuser(self, email: str = "root@example.com") -> Record:
        return self.add("_superusers", email=email, password=HASH)

    def save(self, record: Record, **values: object) -> None:
        """Change a record without asking any rule."""
        for key, value in values.items():
            record.values[key] = value
        with self.storage.write() as tx:
            self.records.save(tx, record)

    def delete(self, record: Record) -> None:
        with self.storage.write() as tx:
            self.records.delete_record(tx, record)

    def changed(self, record: Record) -> dict[str, Any]:
        """Return the stored values of a record."""
        (row,) = [row for row in self.rows(record.collection.name) if row["id"] == record.id]
        return row

    def rows(self, collection: str) -> list[dict[str, Any]]:
        with self.storage.read() as reader:
            return [dict(record.values) for record in find_all(reader, self.of(collection), {})]

    def authenticated(self, token: str) -> str:
        """Return the id of the account of a token, "" where it has none."""
        with self.storage.read() as reader:
            account = self.accounts.authenticate(reader, token)
        return account.id if account is not None else ""

    def sign_in(
        self,
        identity: str = "a@example.com",
        password: str = PASSWORD,
        *,
        collection: str = "users",
        field: str = "",
        device: Device = HOME,
        mfa_id: str = "",
        query: Mapping[str, str] | None = None,
        auth: Record | None = None,
    ) -> dict[str, Any]:
        form = PasswordSignInForm(identity, password, field)
        request = RequestInfo(auth, "POST", "password", query or {})
        answer = self.passwords.sign_in(self.of(collection), form, request, device, mfa_id=mfa_id)
        decoded: dict[str, Any] = msgspec.json.decode(answer)
        return decoded

    def refusal(self, **how: Any) -> Refusal:
        """Return status, message and data of a sign-in that must fail."""
        return refused(lambda: self.sign_in(**how))


def refused(call: Callable[[], object]) -> Refusal:
    """Return status, message and data of a call that must fail."""
    try:
        answer = call()
    except ApiError as error:
        return error.status, error.message, error.data.to_json()
    raise AssertionError(f"it did not fail: {answer}")


__all__ = ["HASH", "HOME", "INVALID", "PASSWORD", "REQUIRED", "Device", "Refusal", "World", "refused"]
