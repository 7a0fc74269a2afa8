"""Pages of Cost Explorer's answers: a token belongs to the request it was given for."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from sandbox.aws.errors import AwsError

T = TypeVar("T")
PAGE_TOKEN = "NextPageToken"  # noqa: S105 (a parameter's name)


def page(items: Sequence[T], params: Mapping[str, Any], size: int, token: str = PAGE_TOKEN) -> tuple[list[T], str]:
    """The items from the request's token on, and the token of the next page (empty at the end).

    Raises AwsError for a token that is none, and for one of another request.
    """
    of = _of({name: value for name, value in params.items() if name != token})
    start = _start(params[token], of) if params.get(token) else 0
    end = start + size
    return list(items[start:end]), _written(end, of) if end < len(items) else ""


def _of(params: Mapping[str, Any]) -> str:
    text = json.dumps(params, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _written(start: int, of: str) -> str:
    return base64.b64encode(json.dumps([start, of]).encode()).decode()


def _start(token: str, of: str) -> int:
    try:
        start, given = json.loads(base64.b64decode(token, validate=True))
        start = int(start)
    except (ValueError, TypeError) as error:
        raise AwsError(
            "InvalidNextTokenException", "The pagination token is invalid. Try again without a pagination token."
        ) from error
    if given != of:
        raise AwsError(
            "RequestChangedException",
            "Your request parameters changed between pages. Try again with the old parameters or without a token.",
        )
    return start
