"""What the stack engine refuses, in CloudFormation's own codes and words."""

from __future__ import annotations

from moto.core.exceptions import ServiceException


class ValidationError(ServiceException):
    """The request or the template cannot be used; `message` is what CloudFormation would say."""

    code = "ValidationError"


class AlreadyExists(ServiceException):
    """A stack of that name exists."""

    code = "AlreadyExistsException"


class ChangeSetNotFound(ServiceException):
    """The stack has no change set of that name."""

    code = "ChangeSetNotFound"


class InvalidChangeSetStatus(ServiceException):
    """The change set cannot be executed as it is."""

    code = "InvalidChangeSetStatus"


class InsufficientCapabilities(ServiceException):
    """The template makes IAM resources and the caller did not acknowledge that."""

    code = "InsufficientCapabilitiesException"


class ResourceFailure(Exception):
    """One resource could not be created, changed or deleted; the text becomes its ResourceStatusReason."""


class Cancelled(Exception):
    """The work on the stack was cancelled by a deletion or by the server's end."""
