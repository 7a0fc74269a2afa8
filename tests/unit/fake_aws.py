"""A stand-in for one boto3 client in a unit test: answers by operation, calls remembered."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from botocore.exceptions import ClientError

Answer = Mapping[str, Any] | Exception | Callable[..., Any]


class FakeClient:
    """`FakeClient(describe_stacks={...})`; an answer may be a value, an exception to raise, or a function.

    An operation without an answer fails the test. A paginator gives its operation's answer as the only page.
    """

    def __init__(self, **answers: Answer) -> None:
        self.answers = answers
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        if operation not in self.answers:
            raise AssertionError(f"unexpected call of {operation}")

        def call(**request: Any) -> Any:
            self.calls.append((operation, request))
            answer = self.answers[operation]
            if isinstance(answer, Exception):
                raise answer
            return answer(**request) if callable(answer) else answer

        return call

    def get_paginator(self, operation: str) -> Any:
        client = self

        class Pages:
            def paginate(self, **request: Any) -> Iterator[Any]:
                yield getattr(client, operation)(**request)

        return Pages()

    def requests(self, operation: str) -> list[dict[str, Any]]:
        """What was sent to one operation."""
        return [request for name, request in self.calls if name == operation]


def refusal(code: str, message: str, **more: Any) -> ClientError:
    """An error as boto3 raises it."""
    return ClientError({"Error": {"Code": code, "Message": message}, **more}, "Operation")  # type: ignore[arg-type]
