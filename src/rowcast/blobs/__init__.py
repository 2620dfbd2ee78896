"""Files by key: `<collection id>/<record id>/<file name>`.

`Blobs` is what a driver offers: `LocalBlobs` keeps files below one directory,
`s3.S3Blobs` in a bucket, each as the reference does, so that its files can be used
as they are. A file appears whole or not at all. Calls block; run them in a thread.
"""

from rowcast.blobs.driver import BlobError, BlobInfo, BlobNotFoundError, Blobs
from rowcast.blobs.local import LocalBlobs

__all__ = ["BlobError", "BlobInfo", "BlobNotFoundError", "Blobs", "LocalBlobs"]
