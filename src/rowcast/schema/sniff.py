"""The type of a file by its first bytes.

Names and types that clients send prove nothing, so only the content counts. The
tables hold the types that people upload; they give the same names, aliases and
extensions as github.com/gabriel-vasile/mimetype (tree.go), which the reference
asks. What isn't known is application/octet-stream, or text/plain if it is text.
"""

from __future__ import annotations

import csv
import re
from itertools import islice
from typing import NamedTuple

import msgspec

HEAD = 3072
"""How many bytes of a file are looked at."""


class FileType(NamedTuple):
    """A MIME type with the extension of its files and its other names."""

    name: str
    extension: str = ""
    aliases: tuple[str, ...] = ()

    def is_one_of(self, names: tuple[str, ...]) -> bool:
        """Whether one of `names` is a name of this type; parameters ("; charset=utf-8") don't count."""
        own = {self.name, *self.aliases}
        return any(name.partition(";")[0].strip().lower() in own for name in names)


_MARKS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\x00\x00\xfe\xff", "utf-32be"),
    (b"\xff\xfe\x00\x00", "utf-32le"),
    (b"\xfe\xff", "utf-16be"),
    (b"\xff\xfe", "utf-16le"),
)

OCTETS = FileType("application/octet-stream")
TEXT = FileType("text/plain", ".txt")

_ZIP = FileType("application/zip", ".zip", ("application/x-zip", "application/x-zip-compressed"))
_GZIP_NAMES = ("x-gzip", "x-gunzip", "gzipped", "gzip-compressed", "x-gzip-compressed")

# Offset, first bytes, type; the first that fits counts.
_MAGIC: tuple[tuple[int, bytes, FileType], ...] = (
    (0, b"7z\xbc\xaf\x27\x1c", FileType("application/x-7z-compressed", ".7z")),
    (0, b"%PDF-", FileType("application/pdf", ".pdf", ("application/x-pdf",))),
    (0, b"\n%PDF-", FileType("application/pdf", ".pdf", ("application/x-pdf",))),
    (0, b"\xef\xbb\xbf%PDF-", FileType("application/pdf", ".pdf", ("application/x-pdf",))),
    (0, b"%FDF", FileType("application/vnd.fdf", ".fdf")),
    (0, b"%!PS-Adobe-", FileType("application/postscript", ".ps")),
    (0, b"8BPS", FileType("image/vnd.adobe.photoshop", ".psd", ("image/x-psd", "application/photoshop"))),
    (0, b"\xff\xd8\xff", FileType("image/jpeg", ".jpg")),
    (0, b"\xff\x0a", FileType("image/jxl", ".jxl")),
    (0, b"\x00\x00\x00\x0cJXL\x20\x0d\x0a\x87\x0a", FileType("image/jxl", ".jxl")),
    (20, b"jp2 ", FileType("image/jp2", ".jp2")),
    (20, b"jpx ", FileType("image/jpx", ".jpf")),
    (20, b"jpm ", FileType("image/jpm", ".jpm", ("video/jpm",))),
    (0, b"GIF87a", FileType("image/gif", ".gif")),
    (0, b"GIF89a", FileType("image/gif", ".gif")),
    (0, b"MZ", FileType("application/vnd.microsoft.portable-executable", ".exe")),
    (0, b"!<arch>", FileType("application/x-archive", ".a", ("application/x-unix-archive",))),
    (257, b"ustar", FileType("application/x-tar", ".tar")),
    (0, b"xar!", FileType("application/x-xar", ".xar")),
    (0, b"BZh", FileType("application/x-bzip2", ".bz2")),
    (0, b"SIMPLE  =                    T", FileType("application/fits", ".fits", ("image/fits",))),
    (0, b"II*\x00", FileType("image/tiff", ".tiff")),
    (0, b"MM\x00*", FileType("image/tiff", ".tiff")),
    (0, b"II+\x00", FileType("image/tiff", ".tiff")),
    (0, b"MM\x00+", FileType("image/tiff", ".tiff")),
    (0, b"\x00\x00\x01\x00", FileType("image/x-icon", ".ico")),
    (0, b"\x00\x00\x02\x00", FileType("image/x-icon", ".ico")),
    (0, b"ID3", FileType("audio/mpeg", ".mp3", ("audio/x-mpeg", "audio/mp3"))),
    (0, b"fLaC\x00\x00\x00\x22", FileType("audio/flac", ".flac")),
    (0, b"MThd", FileType("audio/midi", ".midi", ("audio/mid", "audio/sp-midi", "audio/x-mid", "audio/x-midi"))),
    (0, b"MAC ", FileType("audio/ape", ".ape")),
    (0, b"MPCK", FileType("audio/musepack", ".mpc")),
    (0, b"#!AMR", FileType("audio/amr", ".amr", ("audio/amr-nb",))),
    (0, b".snd", FileType("audio/basic", ".au")),
    (0, b"\x00\x00\x01\xba", FileType("video/mpeg", ".mpeg")),
    (0, b"\x00\x00\x01\xb3", FileType("video/mpeg", ".mpeg")),
    (0, b"FLV\x01", FileType("video/x-flv", ".flv")),
    (0, b"0&\xb2u\x8ef\xcf\x11\xa6\xd9\x00\xaa\x00b\xcel", FileType(
        "video/x-ms-asf", ".asf", ("video/asf", "video/x-ms-wmv"))),
    (0, b"Creative Voice File", FileType("audio/x-unknown", ".voc")),
    (0, b"#EXTM3U", FileType("application/vnd.apple.mpegurl", ".m3u", ("audio/mpegurl", "application/x-mpegurl"))),
    (0, b"\x1f\x8b", FileType(
        "application/gzip", ".gz", (*(f"application/{name}" for name in _GZIP_NAMES), "gzip/document"))),
    (0, b"/* XPM */", FileType("image/x-xpixmap", ".xpm")),
    (0, b"wOFF", FileType("font/woff", ".woff")),
    (0, b"wOF2", FileType("font/woff2", ".woff2")),
    (0, b"OTTO\x00", FileType("font/otf", ".otf")),
    (0, b"ttcf", FileType("font/collection", ".ttc")),
    (0, b"\x00asm", FileType("application/wasm", ".wasm")),
    (0, b"Rar!\x1a\x07\x00", FileType("application/x-rar-compressed", ".rar", ("application/x-rar",))),
    (0, b"Rar!\x1a\x07\x01\x00", FileType("application/x-rar-compressed", ".rar", ("application/x-rar",))),
    (0, b"SQLite format 3\x00", FileType("application/vnd.sqlite3", ".sqlite", ("application/x-sqlite3",))),
    (0, b"BPG\xfb", FileType("image/bpg", ".bpg")),
    (0, b"icns", FileType("image/x-icns", ".icns")),
    (0, b"\x28\xb5\x2f\xfd", FileType("application/zstd", ".zst")),
    (0, b"MSCF\x00\x00\x00\x00", FileType("application/vnd.ms-cab-compressed", ".cab")),
    (0, b"\xed\xab\xee\xdb", FileType("application/x-rpm", ".rpm")),
    (0, b"\xfd7zXZ\x00", FileType("application/x-xz", ".xz")),
    (0, b"LZIP", FileType("application/lzip", ".lz", ("application/x-lzip",))),
    (0, b"d8:announce", FileType("application/x-bittorrent", ".torrent")),
    (0, b"glTF\x02\x00\x00\x00", FileType("model/gltf-binary", ".glb")),
    (0, b"glTF\x01\x00\x00\x00", FileType("model/gltf-binary", ".glb")),
    (0, b"PAR1", FileType("application/vnd.apache.parquet", ".parquet", ("application/x-parquet",))),
)  # fmt: skip

_OFFICE = "application/vnd.openxmlformats-officedocument."
_OPEN_DOCUMENT = "application/vnd.oasis.opendocument."
_BRANDS = {
    b"avif": FileType("image/avif", ".avif"), b"avis": FileType("image/avif", ".avif"),
    b"heic": FileType("image/heic", ".heic"), b"heix": FileType("image/heic", ".heic"),
    b"hevc": FileType("image/heic-sequence", ".heic"), b"hevx": FileType("image/heic-sequence", ".heic"),
    b"mif1": FileType("image/heif", ".heif"), b"heim": FileType("image/heif", ".heif"),
    b"msf1": FileType("image/heif-sequence", ".heif"),
    b"M4A ": FileType("audio/x-m4a", ".m4a"), b"M4V ": FileType("video/x-m4v", ".m4v"),
    b"F4A ": FileType("audio/mp4", ".mp4", ("audio/x-mp4a",)),
    b"qt  ": FileType("video/quicktime", ".mov"), b"mqt ": FileType("video/quicktime", ".mqv"),
}  # fmt: skip
_MP4 = FileType("video/mp4", ".mp4")
_3GP = FileType("video/3gpp", ".3gp", ("video/3gp", "audio/3gpp"))
_3G2 = FileType("video/3gpp2", ".3g2", ("video/3g2", "audio/3gpp2"))

_HTML_TAGS = (
    b"<!DOCTYPE HTML", b"<HTML", b"<HEAD", b"<SCRIPT", b"<IFRAME", b"<H1", b"<DIV", b"<FONT", b"<TABLE", b"<A",
    b"<STYLE", b"<TITLE", b"<B", b"<BODY", b"<BR", b"<P", b"<!--",
)  # fmt: skip
_HTML_END = b" >\t\r\n/"
_XML_ROOTS = (
    (b"<rss", FileType("application/rss+xml", ".rss", ("text/rss",))),
    (b"<feed", FileType("application/atom+xml", ".atom")),
    (b"<kml", FileType("application/vnd.google-earth.kml+xml", ".kml")),
    (b"<gpx", FileType("application/gpx+xml", ".gpx")),
    (b"<html", FileType("application/xhtml+xml", ".html")),
)
_XML = FileType("text/xml", ".xml", ("application/xml",))
_SVG = FileType("image/svg+xml", ".svg")
_HTML = FileType("text/html", ".html")
_SHEBANGS = (
    (rb"node|js", FileType("text/javascript", ".js", ("application/x-javascript", "application/javascript"))),
    (rb"lua", FileType("text/x-lua", ".lua")),
    (rb"perl", FileType("text/x-perl", ".pl")),
    (rb"python", FileType("text/x-python", ".py", ("text/x-script.python", "application/x-python"))),
    (rb"ruby", FileType("text/x-ruby", ".rb", ("application/x-ruby",))),
    (rb"(?:ba|da|z|k|c|tc|fi)?sh\b", FileType(
        "text/x-shellscript", ".sh", ("text/x-sh", "application/x-shellscript", "application/x-sh"))),
)  # fmt: skip
_JSON = re.compile(rb"""\s*[\[{]""")
_JSON_FILE = FileType("application/json", ".json")
_GEO_TYPES = frozenset(("Feature", "FeatureCollection", "GeometryCollection", "Point", "LineString", "Polygon")).union(
    ("MultiPoint", "MultiLineString", "MultiPolygon")
)
_SVG_START = re.compile(
    rb"""(?:<!--.*?-->)*<svg\s[^>]*xmlns\s*=\s*["']http://www\.w3\.org/2000/svg["']|<\?xml\s[^>]*version.*<svg""",
    re.DOTALL,
)
_FONT_TABLES = frozenset(
    b"acnt ankr avar bdat bhed bloc bsln cmap cvar cvt\x20 EBSC fdsc feat fmtx fond fpgm fvar gasp gcid glyf gvar hdmx "
    b"head hhea hmtx hvgl hvpm just kern kerx lcar loca ltag maxp meta mort morx name opbd OS/2 post prep prop sbix "
    b"trak vhea vmtx xref Zapf".split(b" ")
)
_BMP_FORMATS = (12, 16, 24, 40, 48, 52, 56, 64, 108, 124)


def detect(head: bytes) -> FileType:
    """Return the type of a file that starts with `head` (its first `HEAD` bytes are enough)."""
    head = head[:HEAD]
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")):
        return _zip_type(head)
    if (found := _container(head)) is not None:
        return found
    for offset, magic, kind in _MAGIC:
        if head.startswith(magic, offset):
            return kind
    if head[:1] == b"\xff" and head[1:2] in (b"\xfb", b"\xf3", b"\xf2"):
        return FileType("audio/mpeg", ".mp3", ("audio/x-mpeg", "audio/mp3"))
    return _text_type(head) if _is_text(head) else OCTETS


def charset(head: bytes) -> str:
    """Return the charset of a text by its first bytes: that of its byte order mark, UTF-8 where it fits, else Latin."""
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name
    try:
        # A character may be cut at the end.
        head.decode("utf-8") if len(head) < HEAD else head[: HEAD - 4].decode("utf-8")
    except UnicodeDecodeError:
        return "windows-1252" if any(0x80 <= byte <= 0x9F for byte in head) else "iso-8859-1"
    return "utf-8"


def _container(head: bytes) -> FileType | None:
    """Return the type of a file in one of the formats that wrap several."""
    wrapped = head[8:12]
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return FileType("image/vnd.mozilla.apng" if head[37:41] == b"acTL" else "image/png", ".png")
    if head.startswith(b"RIFF"):
        return _RIFF.get(wrapped)
    if head.startswith(b"FORM") and wrapped in (b"AIFF", b"AIFC"):
        return FileType("audio/aiff", ".aiff", ("audio/x-aiff",))
    if head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _BMP_FORMATS:
        return FileType("image/bmp", ".bmp", ("image/x-bmp", "image/x-ms-bmp"))
    if head.startswith(b"\x00\x01\x00\x00") and head[12:16] in _FONT_TABLES:
        return FileType("font/ttf", ".ttf", ("font/sfnt", "application/x-font-ttf", "application/font-sfnt"))
    if head[4:8] == b"ftyp":
        return _mp4_type(wrapped)
    if head[4:8] in (b"moov", b"mdat", b"free", b"skip", b"pnot"):
        return FileType("video/quicktime", ".mov")
    wrapper = next((read for magic, read in _WRAPPERS.items() if head.startswith(magic)), None)
    return wrapper(head) if wrapper else None


_RIFF = {
    b"WEBP": FileType("image/webp", ".webp"),
    b"WAVE": FileType("audio/wav", ".wav", ("audio/x-wav", "audio/vnd.wave", "audio/wave")),
    b"AVI ": FileType("video/x-msvideo", ".avi", ("video/avi", "video/msvideo")),
}


def _matroska_type(head: bytes) -> FileType:
    if b"webm" in head[:64]:
        return FileType("video/webm", ".webm", ("audio/webm",))
    return FileType("video/x-matroska", ".mkv")


def _elf_type(head: bytes) -> FileType:
    kinds = {1: "application/x-object", 2: "application/x-executable", 3: "application/x-sharedlib"}
    return FileType(kinds.get(head[16] if len(head) > 16 else 0, "application/x-elf"))


def _ogg_type(head: bytes) -> FileType:
    if head[28:].startswith((b"\x7fFLAC", b"\x01vorbis", b"OpusHead", b"Speex   ")):
        return FileType("audio/ogg", ".oga")
    if head[28:].startswith((b"\x80theora", b"fishead\x00", b"\x01video")):
        return FileType("video/ogg", ".ogv")
    return FileType("application/ogg", ".ogg", ("application/x-ogg",))


def _mp4_type(brand: bytes) -> FileType:
    if brand.startswith((b"3gp", b"3gs", b"3ge", b"3gg")):
        return _3GP
    if brand.startswith((b"3g2", b"3ga", b"3gb", b"3gc")):
        return _3G2
    return _BRANDS.get(brand, _MP4)


def _ole_type(head: bytes) -> FileType:
    """Return the type of an old Office file, told apart by the names of its streams."""
    streams = (
        ("WordDocument", FileType("application/msword", ".doc", ("application/vnd.ms-word",))),
        ("Workbook", FileType("application/vnd.ms-excel", ".xls", ("application/msexcel",))),
        ("PowerPoint Document", FileType("application/vnd.ms-powerpoint", ".ppt", ("application/mspowerpoint",))),
    )
    for stream, kind in streams:
        if stream.encode("utf-16-le") in head:
            return kind
    return FileType("application/x-ole-storage")


_WRAPPERS = {
    b"OggS": _ogg_type,
    b"\x1a\x45\xdf\xa3": _matroska_type,
    b"\x7fELF": _elf_type,
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": _ole_type,
}


def _zip_type(head: bytes) -> FileType:
    """Return the type of an archive by the names of its first files."""
    if (start := head.find(b"mimetype")) == 30:
        mime = head[start + 8 : start + 108]
        if mime.startswith(b"application/epub+zip"):
            return FileType("application/epub+zip", ".epub")
        for name, extension in (
            ("text", ".odt"),
            ("spreadsheet", ".ods"),
            ("presentation", ".odp"),
            ("graphics", ".odg"),
        ):
            if mime.startswith(f"{_OPEN_DOCUMENT}{name}".encode()):
                template = mime.startswith(f"{_OPEN_DOCUMENT}{name}-template".encode())
                kind = name + ("-template" if template else "")
                end = extension.replace(".od", ".ot") if template else extension
                return FileType(f"{_OPEN_DOCUMENT}{kind}", end, (f"application/x-vnd.oasis.opendocument.{kind}",))
    names = _zip_names(head)
    for folder, kind, extension in (
        (b"word/", "wordprocessingml.document", ".docx"),
        (b"xl/", "spreadsheetml.sheet", ".xlsx"),
        (b"ppt/", "presentationml.presentation", ".pptx"),
    ):
        if any(name.startswith(folder) for name in names):
            return FileType(f"{_OFFICE}{kind}", extension)
    if b"AndroidManifest.xml" in names or b"classes.dex" in names:
        return FileType("application/vnd.android.package-archive", ".apk")
    if b"META-INF/MANIFEST.MF" in names or b"META-INF/" in names:
        aliases = ("application/jar", "application/jar-archive", "application/x-java-archive")
        return FileType("application/java-archive", ".jar", aliases)
    return _ZIP


def _zip_names(head: bytes) -> list[bytes]:
    names = []
    for part in head.split(b"PK\x03\x04")[1:]:
        size = int.from_bytes(part[22:24], "little")
        names.append(part[26 : 26 + size])
    return names


def _is_text(head: bytes) -> bool:
    """Whether there are no bytes that texts don't have (the rule of mimesniff.spec.whatwg.org)."""
    if head.startswith((b"\xef\xbb\xbf", b"\xfe\xff", b"\xff\xfe")):
        return True
    return not any(byte <= 8 or byte == 0x0B or 0x0E <= byte <= 0x1A or 0x1C <= byte <= 0x1F for byte in set(head))


def _text_type(head: bytes) -> FileType:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\n\x0c\r")
    upper = text[:64].upper()
    if _SVG_START.match(text):
        return _SVG
    if any(upper.startswith(tag) and upper[len(tag) : len(tag) + 1] in tuple(_split(_HTML_END)) for tag in _HTML_TAGS):
        return _HTML
    if text.startswith(b"<?xml"):
        return next((kind for root, kind in _XML_ROOTS if root in text), _XML)
    if text.startswith((b"<?php", b"<?\n", b"<?\r", b"<? ")):
        return FileType("text/x-php", ".php")
    if text.startswith(b"#!"):
        line = text.partition(b"\n")[0]
        return next((kind for name, kind in _SHEBANGS if re.search(name, line)), TEXT)
    if text.startswith(b"{\\rtf"):
        return FileType("text/rtf", ".rtf", ("application/rtf",))
    return _structured_text(head, text)


def _split(chars: bytes) -> list[bytes]:
    return [bytes((char,)) for char in chars]


def _structured_text(head: bytes, text: bytes) -> FileType:
    if _JSON.match(text) and (kind := _json_type(text, len(head) >= HEAD)) is not None:
        return kind
    if (kind := _lines_type(text, len(head) >= HEAD)) is not None:
        return kind
    if text.startswith(b"WEBVTT"):
        return FileType("text/vtt", ".vtt")
    if text.upper().startswith((b"BEGIN:VCARD\n", b"BEGIN:VCARD\r\n")):
        return FileType("text/vcard", ".vcf")
    if text.upper().startswith((b"BEGIN:VCALENDAR\n", b"BEGIN:VCALENDAR\r\n")):
        return FileType("text/calendar", ".ics")
    if re.match(rb"1\r?\n\d\d:\d\d:\d\d[,.]\d{3} --> ", text):
        return FileType("application/x-subrip", ".srt", ("application/x-srt", "text/x-srt"))
    for separator, name, extension in ((b",", "text/csv", ".csv"), (b"\t", "text/tab-separated-values", ".tsv")):
        if _is_table(head, separator):
            return FileType(name, extension)
    return TEXT


def _json_type(text: bytes, is_cut: bool) -> FileType | None:
    """Return the type of a JSON text; of one that goes on behind the head only the beginning counts."""
    try:
        decoded = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        return _JSON_FILE if is_cut and str(error) == "Input data was truncated" else None
    except RecursionError:
        return None
    is_geo = isinstance(decoded, dict) and decoded.get("type") in _GEO_TYPES
    return FileType("application/geo+json", ".geojson") if is_geo else _JSON_FILE


def _lines_type(text: bytes, is_cut: bool) -> FileType | None:
    lines = [line for line in text.split(b"\n") if line.strip()]
    if is_cut:
        lines = lines[:-1]
    if len(lines) < 2 or not all(_JSON.match(line) and _json_type(line, False) for line in lines):
        return None
    return FileType("application/x-ndjson", ".ndjson")


def _is_table(head: bytes, separator: bytes) -> bool:
    """Whether the first ten lines have the same number of columns, at least two."""
    lines = head.decode("utf-8", "replace").splitlines()
    if len(head) >= HEAD:
        lines = lines[:-1]
    kept = [line for line in lines if line and not line.startswith("#")]
    try:
        rows = list(islice(csv.reader(kept, delimiter=separator.decode()), 10))
    except csv.Error:
        return False
    return len(rows) >= 2 and len(rows[0]) > 1 and all(len(row) == len(rows[0]) for row in rows)
