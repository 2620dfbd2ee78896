from __future__ import annotations

import pytest

from rowcast.config import MetaSettings
from rowcast.mail.layout import FOOT, HEAD
from rowcast.mail.render import escape, render
from rowcast.schema.collection import AuthOptions, Collection, EmailTemplate
from rowcast.schema.defaults import AUTH_FIELDS, ID_FIELD
from rowcast.schema.fields import (
    BoolField,
    DateField,
    GeoPointField,
    JSONField,
    NumberField,
    PasswordField,
    SelectField,
    TextField,
)
from rowcast.schema.record import Record
from rowcast.schema.rows import new_record

META = MetaSettings(
    app_name="Acme & Co", app_url="https://acme.example", sender_name="S", sender_address="s@example.com"
)

USERS = Collection(
    id="users",
    name="users",
    type="auth",
    auth=AuthOptions(),
    fields=(
        ID_FIELD,
        *AUTH_FIELDS,
        TextField(name="name"),
        TextField(name="secret", hidden=True),
        TextField(name="tokenKey2"),
        PasswordField(name="pin"),
        NumberField(name="n"),
        BoolField(name="is_on"),
        DateField(name="day"),
        SelectField(name="tags", values=("a", "b"), max_select=2),
        JSONField(name="data"),
        GeoPointField(name="place"),
    ),
)


def account(**values: object) -> Record:
    record = new_record(USERS)
    for key, value in ({"email": "a@example.com"} | values).items():
        record.set(key, value)
    record.values["pin"] = record.values["password"] = "$2a$hash"
    record.values["tokenKey"] = "the key"
    return record


def body(text: str, values: dict[str, str] | None = None, **record: object) -> str:
    message = render(META, account(**record), EmailTemplate(subject="subject", body=text), values or {})
    assert message.html.startswith(HEAD)
    assert message.html.endswith(FOOT)
    return message.html[len(HEAD) : -len(FOOT)]


def test_a_mail_goes_from_the_application_to_the_account() -> None:
    message = render(META, account(), EmailTemplate(subject="{APP_NAME}: {TOKEN}", body="x"), {"TOKEN": "t"})
    assert (message.sender_name, message.sender, message.to) == ("S", "s@example.com", "a@example.com")
    assert message.subject == "Acme & Co: t"


def test_a_mail_may_go_elsewhere() -> None:
    assert render(META, account(), EmailTemplate(), {}, to="b@example.com").to == "b@example.com"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("{APP_NAME} {APP_URL}", "Acme & Co https://acme.example"),
        ("{APP_URL}/_/#/auth/x/{TOKEN}", "https://acme.example/_/#/auth/x/t.o.k"),
        ("{RECORD:name}", "&lt;b&gt;&#39;Ann&#39;&lt;/b&gt;"),
        ("{RECORD:email}", "a@example.com"),
        ("{RECORD:n} {RECORD:is_on} {RECORD:day}", "1.5 true 2022-01-01 00:00:00.000Z"),
        ("{RECORD:tags}", ""),
        ("{RECORD:data}", "{&#34;a&#34;:1}"),
        ("{RECORD:place}", "{&#34;lon&#34;:1,&#34;lat&#34;:2}"),
        ("{RECORD:password}{RECORD:tokenKey}{RECORD:pin}", "{RECORD:password}{RECORD:tokenKey}{RECORD:pin}"),
        ("{RECORD:secret} {RECORD:missing} {RECORD:}", "{RECORD:secret} {RECORD:missing} {RECORD:}"),
        ("{OTP} {UNKNOWN} {token} {", "{OTP} {UNKNOWN} {token} {"),
    ],
)
def test_placeholders(text: str, shown: str) -> None:
    known = {"TOKEN": "t.o.k"}
    values = {
        "name": "<b>'Ann'</b>", "n": 1.5, "is_on": True, "day": "2022-01-01", "tags": ["a", "b"], "data": {"a": 1},
        "place": {"lon": 1, "lat": 2}, "secret": "hidden",
    }  # fmt: skip
    assert body(text, known, **values) == shown


def test_a_value_that_looks_like_a_placeholder_stays() -> None:
    assert body("{RECORD:name}", {"TOKEN": "t"}, name="{TOKEN}") == "{TOKEN}"
    assert body("{ALERT_INFO}", {"ALERT_INFO": "{TOKEN}", "TOKEN": "t"}) == "{TOKEN}"


def test_html_is_escaped_as_the_reference_escapes_it() -> None:
    assert escape("<a href='x'>\"&amp;\"</a>") == "&lt;a href=&#39;x&#39;&gt;&#34;&amp;amp;&#34;&lt;/a&gt;"
