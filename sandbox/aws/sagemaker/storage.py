"""Job inputs from S3 and outputs to S3, over the wire with the job role's own credentials."""

from __future__ import annotations

import gzip
import os
import re
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import urllib3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError, ClientError

from sandbox.aws.core import Cloud

THREADS = 4
_MESSAGE = re.compile(r"<Message>(.*?)</Message>", re.DOTALL)


class StorageError(Exception):
    """A transfer failed; the text says which object and why."""


def parse_uri(uri: str) -> tuple[str, str]:
    """Bucket and key of an `s3://` URI.

    Raises `StorageError` for anything else.
    """
    parts = urlsplit(uri)
    if parts.scheme != "s3" or not parts.netloc:
        raise StorageError(f"{uri} is not an S3 URI")
    return parts.netloc, uri.removeprefix(f"s3://{parts.netloc}").lstrip("/")


class Storage:
    """S3 as one role sees it. All methods raise `StorageError`."""

    def __init__(self, cloud: Cloud, credentials: Mapping[str, Any]) -> None:
        self._s3 = cloud.client("s3", credentials)
        self._endpoint, self._region = cloud.endpoint_url, cloud.region
        self._keys = Credentials(
            credentials["AccessKeyId"], credentials["SecretAccessKey"], credentials["SessionToken"]
        )
        self._pool = urllib3.PoolManager(maxsize=THREADS, retries=False)

    def read(self, bucket: str, key: str) -> bytes:
        """One object's content. A job has hundreds of small inputs, and boto3 needs longer around a GET than in it."""
        url = f"{self._endpoint}/{bucket}/{quote(key, safe='/~')}"
        request = AWSRequest("GET", url)
        S3SigV4Auth(self._keys, "s3", self._region).add_auth(request)
        try:
            response = self._pool.request("GET", url, headers=dict(request.headers.items()))
        except urllib3.exceptions.HTTPError as error:
            raise StorageError(f"s3://{bucket}/{key}: {error}") from error
        if response.status != 200:
            said = _MESSAGE.search(response.data.decode(errors="replace"))
            raise StorageError(f"s3://{bucket}/{key}: {said[1] if said else f'HTTP {response.status}'}")
        return response.data

    def download(self, uri: str, folder: Path, *, optional: bool = False, share: tuple[int, int] = (0, 1)) -> int:
        """Copy the object at `uri`, or everything below it, into `folder`; the number of files found.

        Nothing there is an error too, unless `optional`. With a `share` (i, n) only every n-th file is copied, from
        the i-th on, in the order of their keys.
        """
        bucket, key = parse_uri(uri)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            found = dict(self._targets(bucket, key, folder))
            mine = [(name, found[name]) for name in sorted(found)[share[0] :: share[1]]]
            for parent in {target.parent for _, target in mine}:
                parent.mkdir(parents=True, exist_ok=True)
            with ThreadPoolExecutor(THREADS, "download") as pool:
                list(pool.map(lambda item: item[1].write_bytes(self.read(bucket, item[0])), mine))
        except (ClientError, BotoCoreError, OSError, StorageError) as error:
            raise StorageError(f"Failed to download data from {uri}: {error}") from error
        if not found and not optional:
            raise StorageError(
                f'No S3 objects found under S3 URL "{uri}" given in input data source. Please ensure that the bucket '
                "exists in the selected region, that objects exist under that S3 prefix, and that the role has "
                '"s3:ListBucket" permissions on the bucket.'
            )
        return len(found)

    def _targets(self, bucket: str, key: str, folder: Path) -> Iterator[tuple[str, Path]]:
        below = key if not key or key.endswith("/") else key + "/"
        for answer in self._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key):
            for entry in answer.get("Contents", ()):
                name = entry["Key"]
                if name == key and not name.endswith("/"):
                    yield name, folder / Path(name).name
                elif name.startswith(below) and not name.endswith("/"):
                    target = folder / name.removeprefix(below)
                    if not target.resolve().is_relative_to(folder.resolve()):
                        raise StorageError(f"object {name} would be written outside its folder")
                    yield name, target

    def upload(self, folder: Path, uri: str) -> None:
        """Copy every file of a folder below `uri`; symbolic links are left out, as SageMaker does."""
        bucket, prefix = parse_uri(uri)
        files = [
            Path(base) / name
            for base, _, names in os.walk(folder)
            for name in sorted(names)
            if not (Path(base) / name).is_symlink()
        ]

        def put(file: Path) -> None:
            key = "/".join(part for part in (prefix.rstrip("/"), file.relative_to(folder).as_posix()) if part)
            with file.open("rb") as content:
                self._s3.put_object(Bucket=bucket, Key=key, Body=content)

        try:
            with ThreadPoolExecutor(THREADS, "upload") as pool:
                list(pool.map(put, files))
        except (ClientError, BotoCoreError, OSError) as error:
            raise StorageError(f"Failed to upload output to {uri}: {error}") from error

    def upload_archive(self, folder: Path, uri: str) -> None:
        """Pack a folder's content as one tar.gz object at `uri`."""
        bucket, key = parse_uri(uri)
        try:
            with tempfile.TemporaryFile(dir=folder.parent) as file:
                # Stored, not compressed: weights hardly shrink, and a job's end should not wait for trying.
                with (
                    gzip.GzipFile(fileobj=file, mode="wb", compresslevel=0) as zipped,
                    tarfile.open(fileobj=zipped, mode="w") as archive,
                ):
                    for child in sorted(folder.iterdir()):
                        archive.add(child, child.name)
                file.seek(0)
                self._s3.put_object(Bucket=bucket, Key=key, Body=file)
        except (ClientError, BotoCoreError, OSError) as error:
            raise StorageError(f"Failed to upload output to {uri}: {error}") from error

    def extract(self, uri: str, folder: Path) -> None:
        """Unpack the tar.gz object at `uri` into `folder`, as serving does with a model. Unsafe paths are refused."""
        bucket, key = parse_uri(uri)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with tempfile.TemporaryFile(dir=folder.parent) as file:
                file.write(self.read(bucket, key))
                file.seek(0)
                with tarfile.open(fileobj=file, mode="r:gz") as archive:
                    archive.extractall(folder, filter="data")
        except (OSError, tarfile.TarError, StorageError) as error:
            raise StorageError(f"Failed to extract model data archive from {uri}: {error}") from error
