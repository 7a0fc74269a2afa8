"""Anchoring: the leader keeps the end of the audit chain in the object-locked bucket, where nobody can change it.

It writes as groundcrew-bot, which may put anchors there and neither read nor delete them. What an anchor says was true
when it was written; comparing it is the business of `audit verify`, in the session of whoever asks.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from pipeline.errors import GroundcrewError, Refused
from state import anchors

log = logging.getLogger(__name__)

LOOK_S = 5.0
RETRY_S = 30.0

Vault = Callable[[], tuple[Any, str]]
"""A fresh S3 client of groundcrew-bot, and the name of the bucket."""


def keep_anchored(engine: Engine, vault: Vault, stop: threading.Event) -> None:
    """Runs in the leader: once a minute at most, and only when the chain has moved."""
    pause = 0.0
    while not stop.wait(pause):
        try:
            anchor(engine, vault)
            pause = LOOK_S
        except (ClientError, BotoCoreError, GroundcrewError) as error:
            log.error("the audit log cannot be anchored, trying again in %s s: %s", RETRY_S, error)
            pause = RETRY_S
        except SQLAlchemyError as error:
            log.error("the audit log cannot be read: %s", type(error).__name__)
            pause = LOOK_S


def anchor(engine: Engine, vault: Vault) -> bool:
    """Write the anchor that is due, if one is. Raises what AWS, the sessions and the database raise, and Refused."""
    with engine.begin() as connection:
        due, last = anchors.due(connection), anchors.newest(connection)
    if due is None:
        return False
    if last is not None and due.record <= last.record:
        raise Refused(f"The audit log ends at record {due.record}, but {last.record} was anchored before.")
    s3, bucket = vault()
    try:
        s3.put_object(
            Bucket=bucket,
            Key=due.key,
            Body=due.document,
            ContentType="application/json",
            ChecksumAlgorithm="SHA256",
            IfNoneMatch="*",  # an anchor that stands is never covered by another
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "PreconditionFailed":
            raise
        log.warning("%s stands already: written by a leader that stopped, or for a log that is no more", due.key)
    with engine.begin() as connection:
        anchors.add(connection, due)
    return True
