"""A file that a request brings, before it is stored.

Copies tools/filesystem/file.go: the final name is made of the original one, in
snake case, with ten random characters, so that it can't be guessed and never
collides.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from rowcast.schema.generate import ID_ALPHABET, random_text
from rowcast.schema.names import snake_case
from rowcast.schema.sniff import HEAD, charset, detect

_EXTENSION_REST = re.compile(r"[^\w.*\-+=#]+", re.ASCII)

_WITH_CHARSET = frozenset(("text/plain", "text/html", "text/xml"))
_LONGEST_ORIGINAL = 300
_LONGEST_NAME = 100
_SHORTEST_NAME = 3
_LONGEST_EXTENSION = 20


@dataclass(slots=True, eq=False)
class Ahead:
    """How far an upload is that is stored before its record: first its key gets known, then it is stored and taken."""

    key: str = ""
    is_stored: bool = False
    is_taken: bool = False


@dataclass(slots=True, eq=False)
class Upload:
    """One uploaded file. Its content is in memory, or in a temporary file if it is large.

    `md5` is that of a temporary file. `ahead` is set where it is stored before the
    transaction of its record.
    """

    name: str
    original_name: str
    size: int
    content: bytes | Path
    md5: bytes = b""
    ahead: Ahead | None = None

    def head(self) -> bytes:
        """Return the first bytes, for `sniff.detect`."""
        if isinstance(self.content, bytes):
            return self.content[:HEAD]
        with self.content.open("rb") as file:
            return file.read(HEAD)

    def read(self) -> bytes:
        """Return the whole content."""
        return self.content if isinstance(self.content, bytes) else self.content.read_bytes()

    def is_of_type(self, mime_types: tuple[str, ...]) -> bool:
        """Whether the content, whatever the name says, is of one of these types."""
        return detect(self.head()).is_one_of(mime_types)

    def content_type(self) -> str:
        """Return the MIME type of the content, for texts with their charset."""
        head = self.head()
        kind = detect(head).name
        return f"{kind}; charset={charset(head)}" if head and kind in _WITH_CHARSET else kind

    def to_filter(self) -> dict[str, object]:
        """Return what a rule sees of it (`@request.body.file.name`)."""
        return {"name": self.name, "originalName": self.original_name, "size": self.size}


def upload(original_name: str, content: bytes | Path, md5: bytes = b"") -> Upload:
    """Return an upload with a new final name."""
    size = len(content) if isinstance(content, bytes) else content.stat().st_size
    made = Upload("", original_name, size, content, md5)
    made.name = final_name(original_name, made)
    return made


def final_name(original: str, content: Upload) -> str:
    """Return the name under which a file is stored: "myFile.tar.gz" may be "my_file_x8f0a91b2c.tar.gz"."""
    raw = original.encode("utf-8", "surrogatepass")[-_LONGEST_ORIGINAL:]
    name = raw.decode("utf-8", "replace")
    ending = extension_of(name)
    extension = "." + _EXTENSION_REST.sub("", ending).strip(".")
    if extension == ".":
        extension = detect(content.head()).extension
    if len(extension) > _LONGEST_EXTENSION:
        extension = "." + extension[-_LONGEST_EXTENSION:].strip(".")
    stem = snake_case((name[: -len(ending)] if ending else name).strip("."))
    if len(stem) < _SHORTEST_NAME:
        stem += random_text(10, ID_ALPHABET)
    return f"{stem[:_LONGEST_NAME]}_{random_text(10, ID_ALPHABET)}{extension}"


def extension_of(name: str) -> str:
    """Return the extension with its dot, at most two parts of it: ".tar.gz" of "a.b.tar.gz"."""
    primary = name.rfind(".")
    if primary < 0:
        return ""
    secondary = name.rfind(".", 0, primary)
    return name[secondary if secondary >= 0 else primary :]
