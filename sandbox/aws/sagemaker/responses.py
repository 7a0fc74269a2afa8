"""The door of SageMaker's API: moto parses and writes the protocol, the parts given to `bind` answer.

An operation is a method with its name in snake case on one of the parts. Operations of this service that we answer
not, but moto does (domains, experiments, ...), stay moto's; all others answer a modelled error.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from moto.core.responses import ActionResult, EmptyResult
from moto.core.utils import camelcase_to_underscores, get_service_model
from moto.sagemaker.responses import SageMakerResponse
from moto.sagemakerruntime.responses import SageMakerRuntimeResponse

from sandbox.aws.sagemaker import constraints
from sandbox.aws.sagemaker.errors import UnknownOperation
from sandbox.aws.sagemaker.runtime import Runtime

log = logging.getLogger(__name__)


class _Door(SageMakerResponse):
    """moto's response class with a refusal instead of an HTTP 500 for what nobody implements."""

    def call_action(self) -> Any:
        try:
            return super().call_action()
        except NotImplementedError:
            action = self._get_action()
            log.error("SageMaker operation %s is not implemented", action)
            return self.serialized(ActionResult(UnknownOperation(f"Operation {action} does not exist here.")))


def bind(parts: Iterable[object]) -> type[SageMakerResponse]:
    """Moto's response class for SageMaker with our parts' operations in place of its own."""
    parts = list(parts)
    methods: dict[str, Any] = {}
    for operation in get_service_model("sagemaker").operation_names:
        name = camelcase_to_underscores(operation)
        for part in parts:
            if handler := getattr(part, name, None):
                methods[name] = _answer(handler, operation)
    return type("SageMakerDoor", (_Door,), methods)


def _answer(handler: Callable[[dict[str, Any]], dict[str, Any]], operation: str) -> Callable[[Any], ActionResult]:
    model = get_service_model("sagemaker").operation_model(operation)

    def method(self: SageMakerResponse) -> ActionResult:
        request = {key: value for key, value in self.params.items() if value is not None}
        constraints.check(request, model.input_shape)
        answer = handler(request)
        return ActionResult(answer) if model.output_shape is not None else EmptyResult()

    return method


def bind_runtime(runtime: Runtime) -> type[SageMakerRuntimeResponse]:
    """Moto's response class for the runtime with a real InvokeEndpoint."""

    class RuntimeDoor(SageMakerRuntimeResponse):
        use_raw_body = True

        def invoke_endpoint(self) -> Any:
            name = self.path.split("/")[2]
            answer = runtime.invoke(name, self.raw_body, dict(self.headers))
            return 200, answer.headers, answer.body

        def invoke_endpoint_async(self) -> Any:
            raise UnknownOperation("Asynchronous endpoints do not exist here.")

    return RuntimeDoor
