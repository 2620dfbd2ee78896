"""Files in a bucket that speaks S3, laid out as the reference lays them out.

Copies tools/filesystem/internal/s3blob: the same keys, types and metadata, so a
bucket of the reference can be used as it is. Every request has a time-out and few
retries, so a call may take a minute but never hangs. Large files go up in parts,
of which none stays behind where one fails; a download that breaks goes on by another
request.

Importing this takes some ms, so only a server that uses a bucket does it.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import quote, unquote

from obstore.exceptions import BaseError, PreconditionError
from obstore.store import S3Store

from rowcast.blobs.driver import (
    DEFAULT_TYPE,
    ORIGINAL_NAME,
    BlobError,
    BlobInfo,
    BlobNotFoundError,
    check_prefix,
    names_of,
    shortened,
)
from rowcast.config import S3Settings

if TYPE_CHECKING:
    from obstore import GetResult
    from obstore.store import ClientConfig, RetryConfig, S3Credential

_PART = 6 << 20
"""The size of the parts of an upload; the reference's."""

_PIECE = 256 * 1024
"""How much of a file is held at once; the rest waits in the connection."""

_PARALLEL_PARTS = 3
_ATTEMPTS = 3
_PAGE = 1000
_ROUNDS = 3
_FAILED = (BaseError, OSError, ValueError)

_ANSWER = re.compile(r"status code: (\d{3})([^:]*):?\s*(.*)", re.DOTALL)
_CODE = re.compile(r"<Code>([^<]*)</Code>")
_MESSAGE = re.compile(r"<Message>([^<]*)</Message>")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a bucket may take, in seconds, and how often it is asked again.

    `read_s` and `write_s` bound one request, `retry_s` how long after the first one
    another may begin.
    """

    connect_s: float = 5
    read_s: float = 20
    write_s: float = 60
    retry_s: float = 30
    retries: int = 3


class S3Blobs:
    """Files in the bucket that `settings` name, whether they are enabled or not.

    Raises BlobError where they are not complete.
    """

    is_remote = True

    def __init__(self, settings: S3Settings, patience: Patience | None = None) -> None:
        for name in ("bucket", "endpoint", "region"):
            if not getattr(settings, name):
                raise BlobError(f"missing {name}" + (" name" if name == "bucket" else ""))
        patience = patience or Patience()
        self._reads = _store(settings, patience, patience.read_s)
        self._writes = _store(settings, patience, patience.write_s)

    @property
    def current(self) -> S3Blobs:
        """The same."""
        return self

    def save(
        self,
        key: str,
        source: bytes | BinaryIO | Path,
        *,
        content_type: str = DEFAULT_TYPE,
        original_name: str = "",
        md5: bytes = b"",  # noqa: ARG002 -- S3 makes its own
    ) -> int:
        """Store a file, replacing one of the same key, and return its size."""
        names_of(key)
        attributes = {"Content-Type": content_type}
        if original_name:
            attributes[ORIGINAL_NAME] = quote(shortened(original_name), safe="$&+=:@")
        if isinstance(source, bytes):
            return self._put(key, source, len(source), attributes)
        try:
            if not isinstance(source, Path):
                return self._save_stream(key, source, attributes)
            with source.open("rb") as file:
                return self._save_stream(key, file, attributes)
        except OSError as error:
            raise BlobError(f"the file {key} can't be stored: {error.strerror or error}") from error

    def _save_stream(self, key: str, stream: BinaryIO, attributes: dict[str, str]) -> int:
        first = _read_whole(stream, _PART)
        if len(first) < _PART:
            return self._put(key, first, len(first), attributes)
        parts = _Parts(first, stream)
        self._put(key, parts, 0, attributes)
        return parts.size

    def _put(self, key: str, source: bytes | Iterable[bytes], size: int, attributes: dict[str, str]) -> int:
        is_parted = size > _PART or not isinstance(source, bytes)
        try:
            self._writes.put(
                key,
                source,
                attributes=attributes,
                use_multipart=is_parted,
                chunk_size=_PART,
                max_concurrency=_PARALLEL_PARTS,
            )
        except _FAILED as error:
            raise BlobError(f"the file {key} can't be stored: {_reason(error)}") from error
        return size

    def open(self, key: str) -> BinaryIO:
        """Open a file for reading."""
        return self.open_with_info(key)[1]

    def open_with_info(self, key: str) -> tuple[BlobInfo, BinaryIO]:
        """Open a file for reading, and return what is known of it: one request where the file is small."""
        result = self._get(key)
        info = _described(key, result)
        if info.size <= _PIECE:
            try:
                return info, io.BytesIO(bytes(result.bytes()))
            except _FAILED:
                # It is asked for again as a large file is.
                pass
        download = _Download(self._reads, key, info.size, result.meta["e_tag"])
        return info, io.BufferedReader(download, _PIECE)

    def info(self, key: str) -> BlobInfo:
        """Return what is known of a file."""
        return _described(key, self._get(key, is_head=True))

    def exists(self, key: str) -> bool:
        """Whether there is a file with this key. Raises BlobError where the bucket does not tell."""
        try:
            self._get(key, is_head=True)
        except BlobNotFoundError:
            return False
        return True

    def delete(self, key: str) -> None:
        """Delete a file; S3 does not tell whether there was one."""
        names_of(key)
        self._delete([key])

    def delete_prefix(self, prefix: str) -> None:
        """Delete all files whose keys begin with `prefix`."""
        check_prefix(prefix)
        # More than once, for a thumb that was stored meanwhile.
        for _ in range(_ROUNDS):
            keys = [info.key for info in self.list(prefix)]
            if not keys:
                return
            for start in range(0, len(keys), _PAGE):
                self._delete(keys[start : start + _PAGE])

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        """Give all files whose keys begin with `prefix`, without their types and original names."""
        folder = prefix.rpartition("/")[0]
        if folder:
            names_of(folder)
        try:
            for page in self._reads.list(folder or None, chunk_size=_PAGE):
                for meta in page:
                    if meta["path"].startswith(prefix):
                        yield BlobInfo(meta["path"], meta["size"], meta["last_modified"].timestamp())
        except _FAILED as error:
            raise BlobError(f"the files {prefix} can't be listed: {_reason(error)}") from error

    def _delete(self, keys: Sequence[str]) -> None:
        try:
            self._writes.delete(keys)
        except FileNotFoundError as error:
            raise BlobNotFoundError(f"there is no file {keys[0]}: {_reason(error)}") from error
        except _FAILED as error:
            raise BlobError(f"the file {keys[0]} can't be deleted: {_reason(error)}") from error

    def _get(self, key: str, *, is_head: bool = False) -> GetResult:
        try:
            names_of(key)
        except BlobError as error:
            raise BlobNotFoundError(str(error)) from error
        try:
            return self._reads.get(key, options={"head": is_head})
        except _FAILED as error:
            raise _unread(key, error) from error


class _Download(io.RawIOBase):
    """A file of a bucket, read by one request, from where the reader stands to the end.

    The connection waits for a reader that is slow. Where it breaks, or its time is up,
    another one goes on. A file that was replaced meanwhile is an error, never a mixture.
    """

    def __init__(self, store: S3Store, key: str, size: int, version: str | None) -> None:
        self._store = store
        self._key = key
        self._size = size
        self._version = version
        self._position = 0
        self._stream: Iterator[bytes] | None = None
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        position = max(start + offset, 0)
        if position != self._position:
            self._position, self._stream, self._rest = position, None, memoryview(b"")
        return position

    def tell(self) -> int:
        return self._position

    def close(self) -> None:
        self._stream = None
        super().close()

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override] # Buffer is of Python 3.12
        if self._position >= self._size:
            return 0
        if not self._rest:
            self._rest = memoryview(self._next())
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        self._position += size
        return size

    def readall(self) -> bytes:
        # The inherited one asks for some KB each time.
        buffer, parts = memoryview(bytearray(_PIECE)), []
        while size := self.readinto(buffer):
            parts.append(bytes(buffer[:size]))
        return b"".join(parts)

    def _next(self) -> bytes:
        raised: Exception = OSError("it ended too early")
        for _ in range(_ATTEMPTS):
            try:
                if self._stream is None:
                    wanted = (self._position, self._size)
                    result = self._store.get(self._key, options={"range": wanted, "if_match": self._version})
                    self._stream = iter(result.stream(_PIECE))
                if piece := next(self._stream, b""):
                    return piece
            except (FileNotFoundError, PreconditionError) as error:
                raise _unread(self._key, error) from error
            except _FAILED as error:
                raised = error
            self._stream = None
        raise _unread(self._key, raised) from raised


class _Parts:
    """A stream in parts of equal size; knows how much it was."""

    def __init__(self, first: bytes, stream: BinaryIO) -> None:
        self._first = first
        self._stream = stream
        self.size = 0

    def __iter__(self) -> Iterator[bytes]:
        part = self._first
        while part:
            self.size += len(part)
            yield part
            part = _read_whole(self._stream, _PART)


def _read_whole(stream: BinaryIO, size: int) -> bytes:
    """Read `size` bytes; less only at the end."""
    first = stream.read(size)
    if not first or len(first) == size:
        return first
    parts, left = [first], size - len(first)
    while left and (part := stream.read(left)):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _store(settings: S3Settings, patience: Patience, timeout_s: float) -> S3Store:
    """Return a client. Nothing of it comes from the environment, as with the reference."""
    endpoint = settings.endpoint.rstrip("/")
    scheme, separator, host = endpoint.rpartition("://")
    scheme = scheme if separator else "https"
    url = f"{scheme}://{host}" if settings.force_path_style else f"{scheme}://{settings.bucket}.{host}"
    client: ClientConfig = {
        "allow_http": True,
        "connect_timeout": timedelta(seconds=patience.connect_s),
        "timeout": timedelta(seconds=timeout_s),
    }
    retry: RetryConfig = {
        "max_retries": patience.retries,
        "retry_timeout": timedelta(seconds=patience.retry_s),
        "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=2), "base": 2},
    }
    credential: S3Credential = {
        "access_key_id": settings.access_key,
        "secret_access_key": settings.secret,
        "token": None,
        "expires_at": None,
    }
    try:
        return S3Store(
            settings.bucket,
            aws_endpoint_url_s3=url,
            endpoint=url,
            region=settings.region,
            virtual_hosted_style_request=not settings.force_path_style,
            unsigned_payload=True,
            skip_signature=False,
            disable_bulk_delete=True,  # which not all providers know
            client_options=client,
            retry_config=retry,
            credential_provider=lambda: credential,
        )
    except _FAILED as error:
        raise BlobError(f"the bucket can't be used: {_reason(error)}") from error


def _described(key: str, result: GetResult) -> BlobInfo:
    attributes = result.attributes
    return BlobInfo(
        key=key,
        size=result.meta["size"],
        modified=result.meta["last_modified"].timestamp(),
        content_type=attributes.get("Content-Type", DEFAULT_TYPE),
        original_name=unquote(attributes.get(ORIGINAL_NAME, "")),
    )


def _unread(key: str, error: Exception) -> BlobError:
    if isinstance(error, FileNotFoundError):
        return BlobNotFoundError(f"there is no file {key}: {_reason(error)}")
    return BlobError(f"the file {key} can't be read: {_reason(error)}")


def _reason(error: Exception) -> str:
    """Return what a bucket answered, "403 AccessDenied: Access Denied", or what stood in the way, in one line."""
    text = str(error).partition("\n\nDebug source")[0]
    answer = _ANSWER.search(text)
    if answer is None:
        return " ".join(text.split())
    status, reason, body = answer.groups()
    code, message = _CODE.search(body), _MESSAGE.search(body)
    return f"{status} {code[1] if code else reason.strip()}" + (f": {message[1]}" if message else "")
