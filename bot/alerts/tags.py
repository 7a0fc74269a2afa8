"""Tags of SageMaker resources, read with the bot's own eyes and remembered for a while."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from pipeline.errors import GroundcrewError

log = logging.getLogger(__name__)

KEPT = 500
"""Resources remembered at most."""
FRESH_S = 600.0
PATIENCE_S = 1.0
"""So long may asking take for one batch of events; a critical alert among them must not wait for tags of others."""


class TagReader:
    """Answers with what it can find out in time; threads may share it."""

    def __init__(self, sagemaker: Callable[[], Any], clock: Callable[[], float] = time.monotonic) -> None:
        self._sagemaker = sagemaker
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[float, Mapping[str, str]]] = {}

    def of(self, arns: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
        """The tags of resources, by ARN. One that AWS will not tell about has none; it is asked again later."""
        began, found = self._clock(), {}
        for place, arn in enumerate(arns):
            known = self._known(arn)
            if known is None and self._clock() - began > PATIENCE_S:
                log.warning("no time to ask for the tags of %s resources: their routes go without", len(arns) - place)
                break
            found[arn] = self._ask(arn) if known is None else known
        return found

    def _known(self, arn: str) -> Mapping[str, str] | None:
        with self._lock:
            until, tags = self._kept.get(arn, (0.0, {}))
        return tags if self._clock() < until else None

    def _ask(self, arn: str) -> Mapping[str, str]:
        try:
            answer = self._sagemaker().list_tags(ResourceArn=arn)
            tags = {str(tag["Key"]): str(tag["Value"]) for tag in answer["Tags"]}
        except (ClientError, BotoCoreError, GroundcrewError) as error:
            log.warning("the tags of %s are not known, its route goes without: %s", arn, error)
            tags = {}
        with self._lock:
            self._kept.pop(arn, None)
            self._kept[arn] = (self._clock() + FRESH_S, tags)
            for old in [*self._kept][:-KEPT]:
                del self._kept[old]
        return tags
