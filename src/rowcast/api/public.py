"""The directory of public files, served at every path that is no route.

Copies apis/base.go, Static: a directory shows its index.html, one spelling of each
path counts, and a path that is not there may get the root index.html. Nothing
outside of the directory is reachable, whatever the spelling.
"""

from __future__ import annotations

import asyncio
import mimetypes
import os
import stat
from pathlib import Path
from typing import BinaryIO

from rowcast.api.request import Request, escape, unescape
from rowcast.api.responses import Answer, redirect
from rowcast.api.sending import FileAnswer
from rowcast.errors import NotFoundError

_INDEX = "index.html"

_MISSING = "File not found"


class PublicFiles:
    """Serves one directory, which may come and go."""

    def __init__(self, root: str | Path, *, index_fallback: bool) -> None:
        self._root = Path(root).absolute()
        self._index_fallback = index_fallback

    async def serve(self, request: Request) -> Answer:
        """Answer a request that no route is for. Raises NotFoundError."""
        path = unescape(request.raw_path)
        if request.method not in {"GET", "HEAD"} or path is None or path.startswith(("/api/", "/_/")):
            raise NotFoundError
        return await asyncio.to_thread(self._answer, request, path)

    def _answer(self, request: Request, path: str) -> Answer:
        names = [name for name in path.split("/") if name not in {"", "."}]
        is_safe = not any(name == ".." or "\\" in name or "\0" in name for name in names)
        found = self._root.joinpath(*names) if is_safe else None
        mode = _mode(found) if found is not None else 0
        if found is None or not mode:
            return self._fallback()
        if stat.S_ISDIR(mode):
            if not path.endswith("/"):
                return _moved(request, path + "/")
            return self._file(found / _INDEX) or self._fallback()
        if path.endswith("/"):
            return _moved(request, path.rstrip("/"))
        if path.endswith("/" + _INDEX):
            return _moved(request, path.removesuffix(_INDEX))
        return self._file(found) or self._fallback()

    def _fallback(self) -> Answer:
        answer = self._file(self._root / _INDEX) if self._index_fallback else None
        if answer is None:
            raise NotFoundError(_MISSING)
        return answer

    def _file(self, path: Path) -> Answer | None:
        try:
            # A link that leads out of the directory was put there by who owns it; a device or a pipe is no file.
            file: BinaryIO = path.open("rb")
        except (OSError, ValueError):
            return None
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            file.close()
            return None
        return FileAnswer(
            file,
            size=status.st_size,
            modified=status.st_mtime,
            headers=[(b"content-type", _content_type(path.name).encode())],
            may_be_compressed=True,
        )


def _mode(path: Path) -> int:
    """Return the mode of a file or directory, 0 for what is neither or not there."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return 0
    return mode if stat.S_ISREG(mode) or stat.S_ISDIR(mode) else 0


def _content_type(name: str) -> str:
    kind, encoding = mimetypes.guess_type(name)
    if kind is None or encoding is not None:
        return "application/octet-stream"
    is_text = kind.startswith("text/") or kind in {"application/javascript", "application/json"}
    return f"{kind}; charset=utf-8" if is_text and kind != "application/json" else kind


def _moved(request: Request, path: str) -> Answer:
    """Return a redirect that no browser takes for one to another host (apis/base.go, safeRedirectPath)."""
    one_slash = "/" + path.lstrip("/\\") if path[1:2] in {"/", "\\"} else path
    return redirect(301, request.mounted(escape(one_slash)))
