"""Files: bytes on disk under the state folder, and the JSON Slack shows of them."""

from __future__ import annotations

import io
import mimetypes
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from PIL import Image, UnidentifiedImageError

from sandbox.slack.errors import SlackError
from sandbox.slack.messages import Json

LARGEST = 100 * 2**20
"""Bytes one file may have."""


@dataclass
class File:
    """An uploaded file; `complete` once its bytes are there and the upload was completed."""

    id: str
    name: str
    size: int
    user: str
    path: Path
    title: str = ""
    alt: str = ""
    mimetype: str = "application/octet-stream"
    width: int = 0
    height: int = 0
    created: int = 0
    uploaded: bool = False
    complete: bool = False

    @property
    def is_image(self) -> bool:
        """Whether a browser may show it as a picture."""
        return self.width > 0


class Files:
    """All files of the workspace."""

    def __init__(self, folder: Path, base_url: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._base_url = base_url
        self._files: dict[str, File] = {}

    def get(self, file: str) -> File:
        """A completed or awaited file by id. Raises `SlackError` `file_not_found`."""
        if file not in self._files:
            raise SlackError("file_not_found")
        return self._files[file]

    def find(self, file: str | None) -> File | None:
        """A file by id, if there is one."""
        return self._files.get(file or "")

    def by_url(self, url: str) -> File | None:
        """The file behind one of our own `url_private` or permalinks."""
        prefix = f"{self._base_url}/files/"
        return self._files.get(url.removeprefix(prefix).split("/")[0]) if url.startswith(prefix) else None

    def expect(self, name: str, size: int, user: str, alt: str = "") -> File:
        """Announce an upload; its id is hard to guess because the upload address carries no other secret."""
        file_id = "F" + uuid.uuid4().hex[:12].upper()
        file = File(file_id, name, size, user, self._folder / file_id, name, alt, created=int(time.time()))
        self._files[file_id] = file
        return file

    def store(self, file: File, data: bytes) -> None:
        """Keep the bytes. Raises `SlackError` when there are more or fewer than announced."""
        if len(data) != file.size or len(data) > LARGEST:
            raise SlackError("file_upload_size_restricted")
        file.path.write_bytes(data)
        file.mimetype = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        try:
            with Image.open(io.BytesIO(data)) as picture:
                if picture.format in ("PNG", "JPEG", "GIF", "WEBP"):
                    file.width, file.height = picture.size
                    file.mimetype = Image.MIME[picture.format]
        except (UnidentifiedImageError, OSError, ValueError):
            file.width = file.height = 0
        file.uploaded = True

    def add(self, name: str, data: bytes, user: str, title: str = "") -> File:
        """Keep a file in one step, as when a person drops it into a channel."""
        file = self.expect(name, len(data), user)
        self.store(file, data)
        file.title = title or name
        file.complete = True
        return file

    def json(self, file: File) -> Json:
        """The file as Slack's API shows it."""
        name = quote(file.name, safe="")
        url = f"{self._base_url}/files/{file.id}/{name}"
        body = {
            "id": file.id,
            "created": file.created,
            "timestamp": file.created,
            "name": file.name,
            "title": file.title,
            "mimetype": file.mimetype,
            "filetype": Path(file.name).suffix.removeprefix(".").lower(),
            "user": file.user,
            "size": file.size,
            "mode": "hosted",
            "is_external": False,
            "url_private": url,
            "url_private_download": f"{url}?download=1",
            "permalink": url,
        }
        if file.alt:
            body["alt_txt"] = file.alt
        if file.is_image:
            body |= {"original_w": file.width, "original_h": file.height}
        return body
