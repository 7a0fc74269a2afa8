"""What Cost Explorer says was spent, read into exact values.

Every request (and every further page of an answer) costs a cent, so two requests hold all that a report needs:
`whole`, the account by service and by the tag Project, shows what is ours, what has no tag and what is somebody else's;
`own`, what carries our tag, by service and by another tag. Whatever is grouped afterwards is grouped here at home.

Amounts are `UnblendedCost`, in the currency that the answer names, credits and refunds included; days are UTC days.
Tags count from the day on which they were activated as cost allocation tags, never for days before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from pipeline.errors import BadInput, Denied, GroundcrewError, Refused, Unavailable
from pipeline.names import PROJECT

METRIC = "UnblendedCost"
TAG = "Project"
"""The cost allocation tag that says whose something is; ours has the value PROJECT."""
MOST_PAGES = 40
"""Pages of one answer. More is a fault, and each of them would cost a cent."""

Request = Mapping[str, Any]
"""Arguments of GetCostAndUsage."""
Results = Sequence[Mapping[str, Any]]
"""`ResultsByTime` of all pages, as Cost Explorer wrote them: what is worth keeping, for amounts are strings in it."""

_OURS = {"Tags": {"Key": TAG, "Values": [PROJECT], "MatchOptions": ["EQUALS"]}}
_BUSY = ("LimitExceededException", "ThrottlingException", "Throttling", "TooManyRequestsException")


@dataclass(frozen=True)
class Charge:
    """What one group cost on one day (UTC). `tag` is empty where the resource does not carry the tag asked for.

    `service` is the first thing grouped by; the answer to `usage` has the type of usage in it.
    """

    day: date
    service: str
    tag: str
    amount: Decimal


@dataclass(frozen=True)
class Bill:
    """An answer. `currency` is empty when nothing was charged; AWS may still change the `provisional` days."""

    charges: Sequence[Charge]
    currency: str
    provisional: frozenset[date]


def whole(start: date, end: date) -> Request:
    """The account from `start` to the day before `end`, by service and by whose it is."""
    return _request(start, end, [_dimension("SERVICE"), _tag(TAG)])


def own(start: date, end: date, tag: str = "Environment") -> Request:
    """What carries our tag, by service and by another tag."""
    return _request(start, end, [_dimension("SERVICE"), _tag(tag)], _OURS)


def usage(start: date, end: date, service: str) -> Request:
    """One service of ours by type of usage and by environment."""
    named = {"Dimensions": {"Key": "SERVICE", "Values": [service], "MatchOptions": ["EQUALS"]}}
    return _request(start, end, [_dimension("USAGE_TYPE"), _tag("Environment")], {"And": [_OURS, named]})


def ask(ce: Any, request: Request) -> Results:
    """All pages of an answer. Raises Denied, Unavailable, BadInput as `understood` does."""
    results: list[Mapping[str, Any]] = []
    token: dict[str, str] = {}
    for _ in range(MOST_PAGES):
        with understood("Cost Explorer"):
            page = ce.get_cost_and_usage(**request, **token)
        results += page["ResultsByTime"]
        if not page.get("NextPageToken"):
            return results
        token = {"NextPageToken": page["NextPageToken"]}
    raise Unavailable(f"Cost Explorer's answer does not end after {MOST_PAGES} pages.", "Ask about fewer days.")


def read(results: Results) -> Bill:
    """An answer to a request with two groups. Raises Refused when it mixes currencies: they are not added up."""
    charges, units = [], set()
    for result in results:
        day = _day(result)
        for group in result.get("Groups", ()):
            service, tagged = group["Keys"]
            found = group["Metrics"][METRIC]
            amount = Decimal(found["Amount"])
            if amount:
                units.add(found["Unit"])
                charges.append(Charge(day, service, tagged.partition("$")[2], amount))
    if len(units) > 1:
        raise Refused(
            f"Cost Explorer answers in several currencies: {', '.join(sorted(units))}.",
            "They cannot be added up. Each linked account with a currency of its own needs a Groundcrew of its own.",
        )
    provisional = frozenset(_day(result) for result in results if result.get("Estimated"))
    return Bill(charges, "".join(units), provisional)


def ask_forecast(ce: Any, start: date, end: date) -> Mapping[str, str]:
    """AWS's forecast from `start` (today or later) to the day before `end`: Amount and Unit. Raises as `ask` does."""
    with understood("Cost Explorer's forecast"):
        answer = ce.get_cost_forecast(
            TimePeriod=_period(start, end), Metric="UNBLENDED_COST", Granularity="DAILY", Filter=_OURS
        )
    total: dict[str, str] = answer["Total"]
    return total


def active_tags(ce: Any) -> Sequence[str]:
    """The keys that are active as cost allocation tags. Raises as `understood` does."""
    found: list[str] = []
    token: dict[str, str] = {}
    for _ in range(MOST_PAGES):
        with understood("Cost Explorer"):
            page = ce.list_cost_allocation_tags(Status="Active", MaxResults=100, **token)
        found += [tag["TagKey"] for tag in page["CostAllocationTags"]]
        if not page.get("NextToken"):
            break
        token = {"NextToken": page["NextToken"]}
    return found


def days(start: date, end: date) -> Sequence[date]:
    """Every day from `start` to the day before `end`."""
    return [start + timedelta(days=number) for number in range((end - start).days)]


@contextmanager
def understood(what: str) -> Iterator[None]:
    """Errors of AWS's billing services as ours, with what to do. `what` is who was asked, for the first words.

    Throttled calls were repeated by botocore before (`iam.sessions`: five tries, backing off). Raises Denied when the
    role may not ask, Unavailable when the service is off, has no data yet, is busy or away, BadInput for what it
    cannot answer.
    """
    try:
        yield
    except ClientError as refusal:
        raise _meaning(what, refusal) from refusal
    except BotoCoreError as fault:
        raise Unavailable(f"{what} does not answer: {fault}", "Try again in a minute.") from fault


def _meaning(what: str, refusal: ClientError) -> GroundcrewError:
    code = refusal.response["Error"].get("Code", "")
    words = refusal.response["Error"].get("Message") or code
    if code in ("AccessDeniedException", "AccessDenied"):
        if "not enabled" in words:
            return Unavailable(
                f"{what} is not enabled in this account: {words}",
                "Somebody who may do billing opens Cost Explorer once in the AWS console; data follows a day later.",
            )
        return Denied(words)
    if code == "DataUnavailableException":
        return Unavailable(
            f"{what} has no data for this yet: {words}",
            "It begins about a day after Cost Explorer was enabled, and forecasts want some weeks of history.",
        )
    if code in _BUSY:
        return Unavailable(f"{what} is busy: {words}", "Try again in a minute.")
    if code in ("BillExpirationException", "RequestChangedException", "InvalidNextTokenException"):
        return Unavailable(f"The bill changed while it was read: {words}", "Ask once more.")
    if code == "ValidationException":
        return BadInput(f"{what} cannot answer this: {words}", "It keeps 14 months by the day, and no future.")
    return Unavailable(f"{what} refuses: {words}", "`doctor` says what is missing.")


def _request(start: date, end: date, groups: Sequence[Request], only: Request | None = None) -> Request:
    asked = {"TimePeriod": _period(start, end), "Granularity": "DAILY", "Metrics": [METRIC], "GroupBy": list(groups)}
    return {**asked, "Filter": only} if only else asked


def _period(start: date, end: date) -> dict[str, str]:
    if start >= end:
        raise BadInput("That period has no day in it.", "It ends after it begins.")
    return {"Start": start.isoformat(), "End": end.isoformat()}


def _dimension(key: str) -> Request:
    return {"Type": "DIMENSION", "Key": key}


def _tag(key: str) -> Request:
    return {"Type": "TAG", "Key": key}


def _day(result: Mapping[str, Any]) -> date:
    return date.fromisoformat(result["TimePeriod"]["Start"])
