"""What a valid e-mail address and a valid URL is.

The reference asks github.com/asaskevich/govalidator (IsEmail, IsURL) and Go's
net/url; the grammars here accept the same texts. They run on the linear matcher
of `patterns`, because the texts come from anybody.
"""

from __future__ import annotations

import re

from rowcast.schema.patterns import pattern_matches

_UNICODE = r"\x{00A0}-\x{D7FF}\x{F900}-\x{FDCF}\x{FDF0}-\x{FFEF}"
_ATOM = rf"[a-zA-Z0-9!#$%&'*+\-/=?^_`{{|}}~{_UNICODE}]+"
_FOLD = r"(?:(?:[ \t]*\r\n)?[ \t]+)?"
_QUOTED_CHAR = (
    rf"(?:[\x01-\x08\x0b\x0c\x0e-\x1f\x7f\x21\x23-\x5b\x5d-\x7e{_UNICODE}]|\([\x01-\x09\x0b\x0c\x0d-\x7f{_UNICODE}])"
)
_LETTER = rf"a-zA-Z{_UNICODE}"
_LABEL = rf"(?:[{_LETTER}0-9]|[{_LETTER}0-9][{_LETTER}0-9\-._~]*[{_LETTER}0-9])"
_TOP = rf"(?:[{_LETTER}]|[{_LETTER}][{_LETTER}0-9\-_~]*[{_LETTER}])"
# govalidator repeats the opening quote with each quoted character, so only `"q"@` passes of the quoted names.
_EMAIL = rf"^(?:{_ATOM}(?:\.{_ATOM})*|(?:\"{_FOLD}{_QUOTED_CHAR})*{_FOLD}\")@(?:{_LABEL}\.)+{_TOP}\.?$"

_HEX = "[0-9a-fA-F]{1,4}"
_BYTE = r"(?:25[0-5]|(?:2[0-4]|1?[0-9])?[0-9])"
_IPV4 = rf"(?:{_BYTE}\.){{3}}{_BYTE}"
_IPV6 = "|".join(
    (
        rf"(?:{_HEX}:){{7}}{_HEX}",
        rf"(?:{_HEX}:){{1,7}}:",
        *(rf"(?:{_HEX}:){{1,{7 - n}}}(?::{_HEX}){{1,{n}}}" for n in range(1, 6)),
        rf"{_HEX}:(?::{_HEX}){{1,6}}",
        rf":(?:(?::{_HEX}){{1,7}}|:)",
        r"fe80:(?::[0-9a-fA-F]{0,4}){0,4}%[0-9a-zA-Z]+",
        rf"::(?:ffff(?::0{{1,4}})?:)?{_IPV4}",
        rf"(?:{_HEX}:){{1,4}}:{_IPV4}",
    )
)
_URL_IP = (
    r"(?:[1-9]\d?|1\d\d|2[01]\d|22[0-3]|24\d|25[0-5])(?:\.(?:\d{1,2}|1\d\d|2[0-4]\d|25[0-5])){2}"
    r"\.(?:[0-9]\d?|1\d\d|2[0-4]\d|25[0-5])"
)
_WIDE = r"a-zA-Z\x{00a1}-\x{ffff}"
_SUBDOMAIN = r"(?:www\.|[a-zA-Z0-9]+(?:[-_.]?[a-zA-Z0-9])*[a-zA-Z0-9]\.[a-zA-Z0-9]+)"
_HOST = (
    rf"(?:[a-zA-Z0-9](?:[a-zA-Z0-9\-_]+)?[a-zA-Z0-9](?:[-.][a-zA-Z0-9]+)*|{_SUBDOMAIN}?)?"
    rf"(?:[{_WIDE}0-9]+-?-?)*[{_WIDE}0-9]+(?:\.[{_WIDE}]+)?"
)
_URL = (
    rf"^(?:(?:ftp|tcp|udp|wss?|https?)://)?(?:\S+(?::\S*)?@)?(?:{_URL_IP}|\[(?:{_IPV6})\]|{_HOST})"
    r"\.?(?::\d{1,5})?(?:[/?#]\S*)?$"
)
_LONGEST_URL = 2083
_SHORTEST_URL = 3

_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.\-]*):", re.ASCII)
_BAD_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2})")
_HOST_CHARS = re.compile(r"(?:[a-zA-Z0-9\-_.~!$&'()*+,;=:\[\]<>\"]|[^\x00-\x7f]|%25|%[89a-fA-F][0-9a-fA-F])*")
_USER_CHARS = re.compile(r"[a-zA-Z0-9\-._:~!$&'()*+,;=%@]*")
_OPTIONAL_PORT = re.compile(r"(?::[0-9]*)?")


def is_email(text: str) -> bool:
    """Whether `text` is an address like name@example.com. Says nothing about its domain's existence."""
    return pattern_matches(_EMAIL, text)


def is_url(text: str) -> bool:
    """Whether `text` is a URL; the scheme may be left out ("example.com/path")."""
    size = len(text.encode("utf-8", "surrogatepass"))
    if len(text) >= _LONGEST_URL or size <= _SHORTEST_URL or text.startswith("."):
        return False
    split = split_url("http://" + text if ":" in text and "://" not in text else text)
    if split is None:
        return False
    host, path = split
    if host.startswith(".") or (not host and path and "." not in path):
        return False
    return pattern_matches(_URL, text)


def host_of(url: str) -> str:
    """Return the host of a URL with its port; "" where it names none, as one without scheme does."""
    split = split_url(url)
    return split[0] if split else ""


def split_url(url: str) -> tuple[str, str] | None:
    """Return host (with port) and path of a URL, None where Go's url.Parse fails."""
    if any(char < " " or char == "\x7f" for char in url) or url.startswith(":"):
        return None
    rest, _, fragment = url.partition("#")
    scheme = _SCHEME.match(rest)
    if scheme is not None:
        rest = rest[scheme.end() :]
    rest = rest.partition("?")[0]
    if _BAD_ESCAPE.search(fragment):
        return None
    if not rest.startswith("/"):
        if scheme is not None:
            return "", ""
        return None if ":" in rest.partition("/")[0] or _BAD_ESCAPE.search(rest) else ("", rest)
    host, path = "", rest
    if rest.startswith("//") and (scheme is not None or not rest.startswith("///")):
        authority, slash, after = rest[2:].partition("/")
        path = slash + after
        user, _, host = authority.rpartition("@")
        if not _is_host(host) or not _USER_CHARS.fullmatch(user) or _BAD_ESCAPE.search(user):
            return None
    return None if _BAD_ESCAPE.search(path) else (host, path)


def _is_host(host: str) -> bool:
    if host.startswith("["):
        _, closing, port = host.rpartition("]")
        return bool(closing) and _OPTIONAL_PORT.fullmatch(port) is not None
    _, colon, port = host.rpartition(":")
    if colon and not _OPTIONAL_PORT.fullmatch(colon + port):
        return False
    return _HOST_CHARS.fullmatch(host) is not None
