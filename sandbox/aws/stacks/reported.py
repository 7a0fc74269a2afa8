"""How a resource's failure is told: the refused call in CloudFormation's wording, on the resource and on its stack."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError

from .errors import Cancelled, ResourceFailure
from .stack import Resource, Stack

log = logging.getLogger(__name__)
_VERBS = {"CREATE_FAILED": "create", "UPDATE_FAILED": "update", "DELETE_FAILED": "delete"}


@contextmanager
def reported(stack: Stack, resource: Resource, status: str, service: str) -> Iterator[None]:
    """A step on a resource: what goes wrong marks it with `status` and is raised as ResourceFailure for the stack."""
    try:
        yield
    except Cancelled:
        raise
    except ResourceFailure as failure:
        raise fail(stack, resource, status, str(failure)) from failure
    except ClientError as refusal:
        raise fail(stack, resource, status, _quoted(refusal, service)) from refusal
    except BotoCoreError as fault:
        words = f'Resource handler returned message: "{fault}" (HandlerErrorCode: InvalidRequest)'
        raise fail(stack, resource, status, words) from fault
    except Exception as fault:
        log.exception("%s of %s failed inside the stack engine", resource.logical, stack.name)
        raise fail(stack, resource, status, f"Internal Failure: {fault!r}") from fault


def fail(stack: Stack, resource: Resource, status: str, reason: str) -> ResourceFailure:
    """Mark the resource with a failed status; the answer is what the stack says about it."""
    stack.mark(resource, status, reason)
    return ResourceFailure(f"The following resource(s) failed to {_VERBS[status]}: [{resource.logical}]. ")


def _quoted(refusal: ClientError, service: str) -> str:
    error, meta = refusal.response["Error"], refusal.response.get("ResponseMetadata", {})
    where = f"Service: {service}, Status Code: {meta.get('HTTPStatusCode')}, Request ID: {meta.get('RequestId')}"
    words = f"{error.get('Message', '')} ({where})"
    return f'Resource handler returned message: "{words}" (HandlerErrorCode: {error.get("Code")})'
