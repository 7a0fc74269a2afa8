"""An event's bytes, as the queue holds them, to what they mean.

Understood are the documented events of SageMaker, CloudWatch, Cost Anomaly Detection and Health that EventBridge
sends, and what AWS Budgets tells through SNS; wrapped by SNS or not. Everything else becomes a Happening too, of topic
"unknown": it is shown, and changes nothing. docs/alerts.md lists the events and their meaning.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

from alerts import account, endpoints, executions, jobs, packages
from alerts.envelope import Event, Members, Misshapen, envelope
from alerts.happening import Happening, Unreadable
from alerts.texts import TEXT, clean

LIMIT = 256 * 1024
"""Bytes of the largest event that EventBridge sends, and of the largest text that SNS carries."""

_SNS_DELIVERY = ("MessageId", "Timestamp", "SignatureVersion", "Signature", "SigningCertURL", "UnsubscribeURL", "Token")
"""Members of SNS's envelope that say how a message came and not what it says."""


@dataclass(frozen=True)
class Home:
    """The account and region whose events count; those of others are shown and do nothing."""

    account: str
    region: str


def _now() -> datetime:
    return datetime.now(UTC)


def read(body: str | bytes, home: Home, clock: Callable[[], datetime] = _now) -> Happening:
    """What a message of the queue says. Raises Unreadable for bytes that are no event at all.

    A time more than a few minutes ahead of `clock` counts as now, so that one wrong clock cannot outrun later events.
    """
    text = _text(body)
    try:
        return _read(text, home, clock())
    except RecursionError as fault:
        raise Unreadable("The message is nested too deeply.") from fault


def _read(text: str, home: Home, now: datetime) -> Happening:
    if text.lstrip().startswith(account.BUDGET_LETTER):
        return _budget(text, None, home, now)
    members = Members(_object(text))
    if "TopicArn" in members and "Message" in members:
        return _from_sns(members, home, now)
    return _from_bridge(members, home, now)


def _text(body: str | bytes) -> str:
    size = len(body) if isinstance(body, bytes) else len(body.encode("utf-8", "surrogatepass"))
    if size > LIMIT:
        raise Unreadable(f"The message has {size} bytes; an event has at most {LIMIT}.")
    if isinstance(body, str):
        return body
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as fault:
        raise Unreadable("The message is not UTF-8.") from fault


def _object(text: str) -> dict[str, object]:
    try:
        found = json.loads(text)
    except ValueError as fault:  # not JSON, or a number of thousands of digits
        raise Unreadable(f"The message is not JSON: {fault}") from fault
    if not isinstance(found, dict):
        raise Unreadable("The message is not a JSON object.")
    return found


def _from_bridge(body: Members, home: Home, now: datetime) -> Happening:
    event = envelope(body, now)
    known = SHAPES.get((event.source, event.kind))
    if event.account != home.account or (event.source not in ANYWHERE and event.region != home.region):
        return _unknown(event, body, f"It is of account {event.account or '?'}, region {event.region or '?'}.")
    if known is None:
        return _unknown(event, body, "Groundcrew does not know events of this type.")
    try:
        return known(event)
    except Misshapen as fault:
        return _unknown(event, body, f"It is not as events of its type are documented: {fault}.")


def _from_sns(body: Members, home: Home, now: datetime) -> Happening:
    message = body.text("Message", LIMIT)
    if message.startswith(account.BUDGET_LETTER):
        return _budget(message, body.moment("Timestamp"), home, now)
    try:
        inner = Members(_object(message))
    except Unreadable:
        inner = Members(None)
    if "detail-type" in inner:
        return _from_bridge(inner, home, now)
    source, kind = "aws.sns", body.text("Subject") or f"SNS {body.text('Type')}".strip()
    event = replace(envelope(body, now), source=source, kind=kind, time=body.moment("Timestamp"))
    event = replace(event, resources=[body.text("TopicArn")], detail=Members(None))
    return _unknown(event, body, clean(message, TEXT), without=_SNS_DELIVERY)


def _budget(letter: str, sent: datetime | None, home: Home, now: datetime) -> Happening:
    found = account.letter(letter)
    event = Event("aws.budgets", "AWS Budget Notification", found.text("AWS Account"), "", sent, [], found, now)
    if event.account != home.account:
        return _unknown(event, found, f"It is of account {event.account or '?'}.")
    try:
        return account.budget(event)
    except Misshapen as fault:
        return _unknown(event, found, f"It is not as AWS Budgets words its letters: {fault}.")


def _unknown(event: Event, body: Members, why: str, *, without: tuple[str, ...] = ("id",)) -> Happening:
    """Shown readably, in a subject and family of its own: nothing in it can move or clear what is known."""
    place = ":".join(("unknown", event.source, event.kind, *event.resources[:1]))
    where = {"Source": event.source, "Account": event.account, "Region": event.region}
    about = {"Resource": event.resources[0]} if event.resources else {}
    return event.happened(
        topic="unknown",
        subject=place,
        family=f"unknown:{event.account}:{event.source}:{event.kind}",
        state="not understood",
        key=(body.canonical(without=without),),
        at=None,
        effect="tells",
        title=f"Event not understood: {event.kind or 'without a type'}",
        text=why,
        facts=where | about | event.detail.scalars(),
    )


Shape = Callable[[Event], Happening]

_SAGEMAKER: Mapping[str, Shape] = {
    "Model Building Pipeline Execution Status Change": executions.execution,
    "Model Building Pipeline Execution Step Status Change": executions.step,
    "Training Job State Change": partial(jobs.job, kind="Training"),
    "Processing Job State Change": partial(jobs.job, kind="Processing"),
    "Transform Job State Change": partial(jobs.job, kind="Transform"),
    "HyperParameter Tuning Job State Change": partial(jobs.job, kind="HyperParameterTuning"),
    "Endpoint State Change": endpoints.endpoint,
    "Endpoint Deployment State Change": endpoints.endpoint,
    "Model Package State Change": packages.package,
}
SHAPES: Mapping[tuple[str, str], Shape] = {
    **{("aws.sagemaker", f"SageMaker {kind}"): shape for kind, shape in _SAGEMAKER.items()},
    ("aws.cloudwatch", "CloudWatch Alarm State Change"): account.alarm,
    ("aws.ce", "Anomaly Detected"): account.anomaly,
    ("aws.health", "AWS Health Event"): account.health,
    ("aws.health", "AWS Health Abuse Event"): account.health,
}
"""By source and type. Both count: only AWS can send as `aws.*`, anybody in the account can send a type."""

ANYWHERE = frozenset({"aws.ce", "aws.health"})
"""Sources whose events concern the account and may be delivered in, and be about, any region."""
