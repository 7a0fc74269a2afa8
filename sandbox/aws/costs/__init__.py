"""Money in the local AWS: Cost Explorer with anomalies, Budgets, and the Price List Query API.

    prices.py    the sandbox's price list          pricing.py   the Price List Query API over it
    history.py   90 seeded days before the start   meter.py     what the sandbox really used
    ledger.py    the bill of both, and what a test or a person may change about it
    filters.py periods.py pages.py                 what Cost Explorer's requests have in common
    explorer.py forecast.py monitors.py anomalies.py   Cost Explorer
    budgets.py letters.py                          Budgets

moto's own Cost Explorer answers from a list somebody fills, its Budgets never spend; everything here is ours.
Controls, each POST with the header `X-Sandbox: 1`: /_sandbox/costs (`Ledger.control`), /_sandbox/cost-lines
(`Ledger.show`) and /_sandbox/cost-spike (`Anomalies.control`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore import xform_name

from sandbox.aws.calls import Call, unknown
from sandbox.aws.costs import prices
from sandbox.aws.costs.anomalies import Anomalies
from sandbox.aws.costs.budgets import Budgets
from sandbox.aws.costs.explorer import Explorer
from sandbox.aws.costs.forecast import Forecaster
from sandbox.aws.costs.ledger import Ledger
from sandbox.aws.costs.meter import Meter
from sandbox.aws.costs.monitors import Monitors
from sandbox.aws.costs.pricing import PriceList
from sandbox.aws.errors import AwsError

if TYPE_CHECKING:
    from sandbox.aws.core import Cloud
    from sandbox.aws.sagemaker.resources import Resources


def install(cloud: Cloud, resources: Resources) -> None:
    """Answer the three services, and meter what SageMaker's `resources` use as the account's time passes."""
    found = prices.load()
    meter = Meter(resources, cloud.region, found)
    ledger = Ledger(cloud, meter)
    forecaster = Forecaster(ledger)
    monitors = Monitors(ledger)
    anomalies, budgets = Anomalies(cloud, ledger, monitors), Budgets(cloud, ledger, forecaster)

    def enabled() -> None:
        if not ledger.conditions.enabled:
            raise AwsError("AccessDenied", "User not enabled for cost explorer access", 403)

    _answer(cloud, "ce", [Explorer(ledger), forecaster, monitors, anomalies], enabled)
    _answer(cloud, "budgets", [budgets])
    _answer(cloud, "pricing", [PriceList(found)])
    cloud.tag_readers |= {"ce": monitors.tags_of, "budgets": budgets.tags_of}
    cloud.controls |= {
        "costs": ledger.control,
        "cost-lines": ledger.show,
        "cost-spike": anomalies.control,
    }
    cloud.clock.follow(meter.tick)
    cloud.clock.follow(budgets.tick)


def _answer(cloud: Cloud, service: str, parts: list[object], first: Any = lambda: None) -> None:
    """Let the methods of `parts` answer a service, an operation being its name in snake case."""
    from moto.core.responses import ActionResult, BaseResponse, EmptyResult
    from moto.core.utils import get_service_model

    model = get_service_model(service)

    def answered(call: Call) -> Any:
        name = xform_name(call.operation)
        part = next((part for part in parts if hasattr(part, name)), None)
        if part is None:
            raise unknown(service, call.operation)
        first()
        answer = getattr(part, name)({name: value for name, value in call.params.items() if value is not None})
        return ActionResult(answer) if model.operation_model(call.operation).output_shape else EmptyResult()

    class Door(BaseResponse):
        """The answers; the request was read at the account's door."""

        def __init__(self) -> None:
            super().__init__(service_name=service)

        def call_action(self) -> Any:
            return self.serialized(answered(cloud.call()))

    cloud.responses[service] = Door
