"""The refusals of SageMaker, with AWS's own codes and words."""

from __future__ import annotations

from moto.core.exceptions import ServiceException


class ValidationException(ServiceException):
    """The request is malformed, or names something that cannot be used so."""

    code = "ValidationException"


class ResourceNotFound(ServiceException):
    """A pipeline, an execution or a part of Studio that does not exist."""

    code = "ResourceNotFound"


class ResourceInUse(ServiceException):
    """A name is taken, or something else still needs the thing."""

    code = "ResourceInUse"


class ResourceLimitExceeded(ServiceException):
    """A service quota would be exceeded."""

    code = "ResourceLimitExceeded"


class ConflictException(ServiceException):
    """The thing exists, but its state forbids the change."""

    code = "ConflictException"


class UnknownOperation(ServiceException):
    """An operation that this stand-in does not have. Clients do not retry it."""

    code = "UnknownOperationException"
