"""Bodies of writes: what is JSON and what is a file, and the bytes of forms.

A file is read piece by piece while it is sent; none is ever in memory as a whole, unless it
was given as bytes.
"""

from __future__ import annotations

import asyncio
import dataclasses
import io
import mimetypes
import os
import secrets
from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import msgspec

_PIECE_BYTES = 256 * 1024

Content = bytes | bytearray | memoryview | os.PathLike[str] | IO[bytes] | AsyncIterable[bytes]
"""A file: bytes, a path, an open binary file, or pieces as they come."""

Body = object
"""What is written: a mapping, a dataclass or a msgspec.Struct."""


@dataclasses.dataclass(frozen=True, slots=True)
class Upload:
    """A file to upload.

    name: its file name; that of the path or open file if left out.
    content_type: guessed from the name if left out. The server looks at the content.
    size: the number of bytes, where only the application knows it. Without one that
        can be found out the form is sent in chunks.
    """

    content: Content
    name: str = ""
    content_type: str = ""
    size: int | None = None

    @property
    def file_name(self) -> str:
        """The name that is sent."""
        if self.name:
            return self.name
        told = self.content if isinstance(self.content, os.PathLike) else getattr(self.content, "name", "")
        return Path(told).name if isinstance(told, str | os.PathLike) and os.fspath(told) else "file"

    @property
    def is_repeatable(self) -> bool:
        """Whether it can be sent a second time."""
        return isinstance(self.content, bytes | bytearray | memoryview | os.PathLike)

    def length(self) -> int | None:
        """Return the number of bytes; None if nobody knows. Raises OSError for a file that is not there."""
        content = self.content
        if self.size is not None:
            return self.size
        if isinstance(content, bytes | bytearray | memoryview):
            return memoryview(content).nbytes
        if isinstance(content, os.PathLike):
            return Path(content).stat().st_size
        if isinstance(content, AsyncIterable):
            return None
        try:
            here = content.tell()
            size = content.seek(0, io.SEEK_END) - here
            content.seek(here)
        except (OSError, AttributeError):
            return None
        return size

    async def pieces(self) -> AsyncIterator[bytes]:
        """Return the content piece by piece; files are read in a thread. Raises OSError."""
        content = self.content
        if isinstance(content, bytes | bytearray | memoryview):
            view = memoryview(content).cast("B")
            for start in range(0, len(view), _PIECE_BYTES):
                yield bytes(view[start : start + _PIECE_BYTES])
        elif isinstance(content, os.PathLike):
            with await asyncio.to_thread(Path(content).open, "rb") as file:
                while piece := await asyncio.to_thread(file.read, _PIECE_BYTES):
                    yield piece
        elif isinstance(content, AsyncIterable):
            async for piece in content:
                yield piece
        else:
            while piece := await asyncio.to_thread(content.read, _PIECE_BYTES):
                yield piece


Files = Sequence[tuple[str, Upload]]


def split(body: Body) -> tuple[dict[str, Any], list[tuple[str, Upload]]]:
    """Return the JSON and the files of a body, in their order.

    A field that mixes names of stored files with new ones keeps the former and gets the
    latter. Raises TypeError for a body that has no fields.
    """
    values: dict[str, Any] = {}
    files: list[tuple[str, Upload]] = []
    for name, value in _fields(body).items():
        if _is_list(value):
            new = [_upload(item) for item in value if _is_file(item)]
            rest = [item for item in value if not _is_file(item)]
            files += [(name, upload) for upload in new]
            if rest or not new:
                values[name] = rest
        elif _is_file(value):
            files.append((name, _upload(value)))
        elif not isinstance(value, msgspec.UnsetType):
            values[name] = value
    return values, files


def _fields(body: Body) -> Mapping[str, Any]:
    if isinstance(body, Mapping):
        return body
    if isinstance(body, msgspec.Struct):
        names = {item.name: item.encode_name for item in msgspec.structs.fields(body)}
        return {names[name]: value for name, value in msgspec.structs.asdict(body).items()}
    if dataclasses.is_dataclass(body) and not isinstance(body, type):
        return {item.name: getattr(body, item.name) for item in dataclasses.fields(body)}
    raise TypeError(f"{type(body).__name__} has no fields: write a mapping, a dataclass or a msgspec.Struct")


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple)


def _is_file(value: object) -> bool:
    return isinstance(value, Upload | os.PathLike | io.IOBase) or hasattr(value, "read")


def _upload(value: Any) -> Upload:  # noqa: ANN401 - checked by _is_file
    return value if isinstance(value, Upload) else Upload(value)


class Form:
    """A multipart form of one JSON part and some files."""

    def __init__(self, payload: bytes, files: Files) -> None:
        boundary = secrets.token_hex(16)
        self.content_type = f"multipart/form-data; boundary={boundary}"
        self._files = files
        self._mark = f"--{boundary}\r\n".encode()
        self._end = f"--{boundary}--\r\n".encode()
        self._first = self._mark + b'Content-Disposition: form-data; name="@jsonPayload"\r\n\r\n' + payload + b"\r\n"

    @property
    def is_repeatable(self) -> bool:
        """Whether it can be sent a second time."""
        return all(upload.is_repeatable for _, upload in self._files)

    def length(self) -> int | None:
        """Return the number of bytes; None if nobody knows. Raises OSError for a file that is not there."""
        total = len(self._first) + len(self._end)
        for name, upload in self._files:
            size = upload.length()
            if size is None:
                return None
            total += len(self._mark) + len(_head(name, upload)) + size + 2
        return total

    async def pieces(self) -> AsyncIterator[bytes]:
        """Return the form piece by piece. Raises OSError, and whatever a source of pieces raises."""
        yield self._first
        for name, upload in self._files:
            yield self._mark + _head(name, upload)
            async for piece in upload.pieces():
                yield piece
            yield b"\r\n"
        yield self._end


def _head(name: str, upload: Upload) -> bytes:
    file_name = upload.file_name
    kind = upload.content_type or mimetypes.guess_type(file_name)[0] or "application/octet-stream"
    disposition = f'form-data; name="{_quoted(name)}"; filename="{_quoted(file_name)}"'
    return f"Content-Disposition: {disposition}\r\nContent-Type: {_quoted(kind)}\r\n\r\n".encode()


def _quoted(text: str) -> str:
    """Return a text as it stands between the quotes of a form's header, by the rules of HTML."""
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
