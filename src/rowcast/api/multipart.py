"""Multipart forms, read piece by piece.

Fields stay in memory; a file larger than some hundred KB goes to a temporary file.
What is to be written there waits until `flush`, which belongs in a thread. Limits on
parts and on the size of fields follow Go's mime/multipart.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from pathlib import Path
from typing import BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from rowcast.blobs.spool import Spool
from rowcast.schema.uploads import Upload, upload

# It warns of every malformed body, which any client can send.
logging.getLogger("python_multipart").setLevel(logging.ERROR)

_MAX_PARTS = 1000
_MAX_HEADER_BYTES = 64 * 1024
_MAX_FIELD_BYTES = 10 << 20
_MAX_IN_MEMORY = 256 * 1024


class _Part:
    """One part while it is read."""

    __slots__ = ("data", "file", "file_name", "headers", "name")

    def __init__(self) -> None:
        self.headers: dict[bytes, bytes] = {}
        self.name: str | None = None
        self.file_name = ""
        self.data = bytearray()
        self.file: _Spooled | None = None


class _Spooled:
    """A file that is written to the spool in threads, one at a time."""

    __slots__ = ("_file", "_lock", "_md5", "is_whole", "path", "pending", "size")

    def __init__(self) -> None:
        self.pending: list[bytes] = []
        self.path: Path | None = None
        self.size = 0
        self.is_whole = False
        self._file: BinaryIO | None = None
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._lock = threading.Lock()

    @property
    def md5(self) -> bytes:
        return self._md5.digest()

    def flush(self, spool: Spool) -> None:
        """Write what waits. Raises OSError."""
        with self._lock:
            if self._file is None:
                self.path = spool.path()
                self._file = self.path.open("xb")
            pending, self.pending = self.pending, []
            for data in pending:
                self._file.write(data)
                self._md5.update(data)
                self.size += len(data)
            if self.is_whole:
                self._file.close()

    def remove(self) -> None:
        with self._lock:
            if self._file is not None:
                self._file.close()
            if self.path is not None:
                self.path.unlink(missing_ok=True)


class MultipartReader:
    """Reads one body. Every method raises ValueError for a malformed or oversized form."""

    def __init__(self, content_type: str, spool: Spool) -> None:
        boundary = parse_options_header(content_type)[1].get(b"boundary")
        self._parser: MultipartParser | None = None
        self._is_ended = False
        self._header_name = bytearray()
        self._header_value = bytearray()
        self._header_bytes = self._field_bytes = self._parts = 0
        self._part = _Part()
        self._files: list[tuple[str, str, bytes | _Spooled]] = []
        self._spool = spool
        self._spooled: list[_Spooled] = []
        self.waiting_bytes = 0
        self.fields: list[tuple[str, str]] = []
        if not boundary:
            raise ValueError("no boundary")
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._on_part_begin,
                "on_part_data": self._on_part_data,
                "on_part_end": self._on_part_end,
                "on_header_field": self._on_header_field,
                "on_header_value": self._on_header_value,
                "on_header_end": self._on_header_end,
                "on_headers_finished": self._on_headers_finished,
                "on_end": self._on_end,
            },
        )

    def feed(self, chunk: bytes) -> None:
        """Read the next piece of the body."""
        if self._parser is None:
            return
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise ValueError(str(error)) from error

    def end(self) -> None:
        """Check that the last boundary was there."""
        if not self._is_ended:
            raise ValueError("the last boundary is missing")

    def flush(self) -> None:
        """Write what waits for the spool, `waiting_bytes` of it. Blocks. Raises OSError."""
        self.waiting_bytes = 0
        for file in self._spooled:
            if file.pending:
                file.flush(self._spool)

    def uploads(self) -> dict[str, list[Upload]]:
        """Return the files by field name, after the last `flush`."""
        found: dict[str, list[Upload]] = {}
        for name, file_name, content in self._files:
            if isinstance(content, bytes):
                made = upload(file_name, content)
            elif content.path is not None:
                made = upload(file_name, content.path, content.md5)
            else:
                raise ValueError("the files are not written yet")
            found.setdefault(name, []).append(made)
        return found

    def close(self) -> None:
        """Remove the temporary files. Blocks."""
        for file in self._spooled:
            file.remove()

    def _on_part_begin(self) -> None:
        self._parts += 1
        if self._parts > _MAX_PARTS:
            raise ValueError("too many parts")
        self._part = _Part()

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]
        self._count_header(end - start)

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]
        self._count_header(end - start)

    def _count_header(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > _MAX_HEADER_BYTES:
            raise ValueError("too many headers")

    def _on_header_end(self) -> None:
        self._part.headers.setdefault(bytes(self._header_name).lower(), bytes(self._header_value))
        self._header_name.clear()
        self._header_value.clear()

    def _on_headers_finished(self) -> None:
        part = self._part
        kind, options = parse_options_header(part.headers.get(b"content-disposition", b""))
        if kind != b"form-data" or b"name" not in options:
            return  # Go skips a part without a name
        part.name = options[b"name"].decode("utf-8", "replace")
        part.file_name = _base_name(options.get(b"filename", b"").decode("utf-8", "replace"))

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        part = self._part
        if part.name is None:
            return
        if part.file is not None:
            self._spool_later(part.file, data[start:end])
            return
        part.data += data[start:end]
        if not part.file_name:
            self._field_bytes += end - start
            if self._field_bytes > _MAX_FIELD_BYTES:
                raise ValueError("the fields are too large")
        elif len(part.data) > _MAX_IN_MEMORY:
            part.file = _Spooled()
            self._spooled.append(part.file)
            self._spool_later(part.file, bytes(part.data))
            part.data.clear()

    def _spool_later(self, file: _Spooled, data: bytes) -> None:
        file.pending.append(data)
        self.waiting_bytes += len(data)

    def _on_part_end(self) -> None:
        part = self._part
        if part.name is None:
            return
        if not part.file_name:
            self.fields.append((part.name, part.data.decode("utf-8", "replace")))
            return
        if part.file is not None:
            part.file.is_whole = True
            # So that it is closed even where nothing of it waits.
            part.file.pending.append(b"")
        self._files.append((part.name, part.file_name, part.file or bytes(part.data)))

    def _on_end(self) -> None:
        self._is_ended = True


def _base_name(name: str) -> str:
    """Return the last element of a path, as Go's FileName does; "." and "/" stand for none."""
    base = name.rstrip("/").rpartition("/")[2]
    return "" if base == "." else base
