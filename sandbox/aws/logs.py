"""CloudWatch Logs from the inside: services write lines here without an API call."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from moto.logs.models import logs_backends

if TYPE_CHECKING:
    from sandbox.aws.core import Cloud


def append(cloud: Cloud, group: str, stream: str, lines: Iterable[str]) -> None:
    """Append lines to a stream with the time of now, making group and stream when they are missing."""
    # CloudWatch refuses empty messages.
    events = [{"timestamp": int(time.time() * 1000), "message": line} for line in lines if line]
    backend = logs_backends[cloud.account][cloud.region]
    with cloud.lock:
        if group not in backend.groups:
            backend.create_log_group(group, {})
        if stream not in backend.groups[group].streams:
            backend.create_log_stream(group, stream)
        if events:
            backend.put_log_events(group, stream, events)
