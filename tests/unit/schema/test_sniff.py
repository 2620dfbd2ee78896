"""Types of files by their first bytes, with the names that the reference gives."""

from __future__ import annotations

import io
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowcast.schema.sniff import HEAD, OCTETS, detect


def archive(*names: str, mimetype: str = "") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        if mimetype:
            made.writestr("mimetype", mimetype)
        for name in names:
            made.writestr(name, "x")
    return buffer.getvalue()


OFFICE = "application/vnd.openxmlformats-officedocument"
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
OGG = b"OggS" + b"\0" * 24


@pytest.mark.parametrize(
    ("head", "name", "extension"),
    [
        (b"", "text/plain", ".txt"),
        (b"hello", "text/plain", ".txt"),
        (b"\x00\x01", "application/octet-stream", ""),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "image/png", ".png"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 29 + b"acTL", "image/vnd.mozilla.apng", ".png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg", ".jpg"),
        (b"GIF89a", "image/gif", ".gif"),
        (b"RIFF\0\0\0\0WEBPVP8", "image/webp", ".webp"),
        (b"RIFF\0\0\0\0WAVEfmt", "audio/wav", ".wav"),
        (b"RIFF\0\0\0\0nope", "application/octet-stream", ""),
        (b"FORM\0\0\0\0AIFFx", "audio/aiff", ".aiff"),
        (OGG + b"\x01vorbis\0\0\0", "audio/ogg", ".oga"),
        (OGG + b"\x80theora\0\0\0", "video/ogg", ".ogv"),
        (OGG, "application/ogg", ".ogg"),
        (b"\0\0\0\x18ftypmp42", "video/mp4", ".mp4"),
        (b"\0\0\0\x18ftypM4A ", "audio/x-m4a", ".m4a"),
        (b"\0\0\0\x18ftypheic", "image/heic", ".heic"),
        (b"\0\0\0\x18ftyp3gp4", "video/3gpp", ".3gp"),
        (b"\0\0\0\x18ftyp3g2a", "video/3gpp2", ".3g2"),
        (b"\0\0\0\x08moov", "video/quicktime", ".mov"),
        (b"\x1aE\xdf\xa3\0\0\0\0B\x82\x84webm", "video/webm", ".webm"),
        (b"\x1aE\xdf\xa3\0\0\0\0B\x82\x88matroska", "video/x-matroska", ".mkv"),
        (b"BM" + b"\0" * 12 + b"\x28\0\0\0", "image/bmp", ".bmp"),
        (b"\0\1\0\0\0\x0b\0\0\0\0\0\0cmap", "font/ttf", ".ttf"),
        (b"\x7fELF\2\1\1" + b"\0" * 9 + b"\3\0", "application/x-sharedlib", ""),
        (b"\xff\xfb\x90", "audio/mpeg", ".mp3"),
        (b"%PDF-1.7", "application/pdf", ".pdf"),
        (b"\x1f\x8b\x08", "application/gzip", ".gz"),
        (OLE, "application/x-ole-storage", ""),
        (OLE + "WordDocument".encode("utf-16-le"), "application/msword", ".doc"),
        (archive("a.txt"), "application/zip", ".zip"),
        (archive("_rels/.rels", "word/document.xml"), f"{OFFICE}.wordprocessingml.document", ".docx"),
        (archive("xl/workbook.xml"), f"{OFFICE}.spreadsheetml.sheet", ".xlsx"),
        (archive("ppt/x.xml"), f"{OFFICE}.presentationml.presentation", ".pptx"),
        (archive("META-INF/MANIFEST.MF"), "application/java-archive", ".jar"),
        (archive("AndroidManifest.xml"), "application/vnd.android.package-archive", ".apk"),
        (archive("a", mimetype="application/epub+zip"), "application/epub+zip", ".epub"),
        (archive("a", mimetype="application/vnd.oasis.opendocument.text"),
         "application/vnd.oasis.opendocument.text", ".odt"),
        (archive("a", mimetype="application/vnd.oasis.opendocument.text-template"),
         "application/vnd.oasis.opendocument.text-template", ".ott"),
        (b" <!DOCTYPE html><p>", "text/html", ".html"),
        (b"<p>hi", "text/html", ".html"),
        (b"<abc>", "text/plain", ".txt"),
        (b'<svg xmlns="http://www.w3.org/2000/svg">', "image/svg+xml", ".svg"),
        (b'<!-- c --><svg width="1" xmlns="http://www.w3.org/2000/svg">', "image/svg+xml", ".svg"),
        (b'<?xml version="1.0"?><svg/>', "image/svg+xml", ".svg"),
        (b'<?xml version="1.0"?><rss>', "application/rss+xml", ".rss"),
        (b'<?xml version="1.0"?><a/>', "text/xml", ".xml"),
        (b"<?php echo 1", "text/x-php", ".php"),
        (b"#!/usr/bin/env python3\n", "text/x-python", ".py"),
        (b"#!/bin/sh\n", "text/x-shellscript", ".sh"),
        (b"#!/bin/other\n", "text/plain", ".txt"),
        (b"{\\rtf1 x}", "text/rtf", ".rtf"),
        (b'{"a":1}', "application/json", ".json"),
        (b'{"a":"' + b"x" * 5000, "application/json", ".json"),
        (b'{"type":"Point"}', "application/geo+json", ".geojson"),
        (b'{"a":1}\n{"b":2}\n', "application/x-ndjson", ".ndjson"),
        (b"[" * 3000, "text/plain", ".txt"),
        (b"a,b\n1,2\n", "text/csv", ".csv"),
        (b"#c\na\tb\n1\t2\n", "text/tab-separated-values", ".tsv"),
        (b"a,b\n" * 2000, "text/csv", ".csv"),
        (b"a,b\n1\n", "text/plain", ".txt"),
        (b"WEBVTT\n\n", "text/vtt", ".vtt"),
        (b"BEGIN:VCARD\r\n", "text/vcard", ".vcf"),
        (b"BEGIN:VCALENDAR\n", "text/calendar", ".ics"),
        (b"1\n00:00:01,000 --> 00:00:02,000\nhi", "application/x-subrip", ".srt"),
        (b"\xff\xfeh\0i\0", "text/plain", ".txt"),
    ],
)  # fmt: skip
def test_detect(head: bytes, name: str, extension: str) -> None:
    assert detect(head)[:2] == (name, extension)


def test_names_and_aliases() -> None:
    kind = detect(b"%PDF-1.7")
    assert kind.is_one_of(("image/png", "application/x-pdf"))
    assert kind.is_one_of(("APPLICATION/PDF; x=y",))
    assert not kind.is_one_of(("text/plain",))


@given(st.binary(max_size=200))
def test_any_content_has_a_type(head: bytes) -> None:
    assert detect(head).name


def test_only_the_head_counts() -> None:
    assert detect(b"\x00" * HEAD + b"<html>") == OCTETS
