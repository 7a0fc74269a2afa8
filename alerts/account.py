"""What concerns the account: CloudWatch alarms, cost anomalies, budgets, AWS Health."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from alerts.envelope import Event, Members, environment_of, failure, last_part
from alerts.happening import Effect, Happening, Severity
from alerts.texts import ARN, NAME, TEXT, words
from pipeline.names import Environment

BUDGET_LETTER = "AWS Budget Notification"
"""How every letter of AWS Budgets begins; Budgets sends no event, only such a text through SNS."""

_LINE = re.compile(r"^(AWS Budget Notification|AWS Account|[\w ]{1,40}:) +(.+)$", re.MULTILINE)


def alarm(event: Event) -> Happening:
    """An alarm's state; `reasonData` inside is JSON as a text and is left alone. Raises Misshapen."""
    detail = event.detail
    state_now, configuration = detail.members("state"), detail.members("configuration")
    name, state = detail.need("alarmName"), state_now.status("value")
    arn = event.resources[0] if event.resources else f"arn:aws:cloudwatch:{event.region}:{event.account}:alarm:{name}"
    tags = detail.tags("alarmTags")
    metric = _metric(configuration)
    watched = metric.members("dimensions").text("EndpointName")
    environment = environment_of(arn, tags) or environment_of(watched)
    why, about = state_now.text("reason", TEXT), configuration.text("description", TEXT)
    effects: dict[str, Effect] = {"alarm": "fires", "ok": "clears"}
    said = {"alarm": "is in alarm", "ok": "is ok again", "insufficient data": "has too little data"}
    return event.happened(
        topic="alarm",
        subject=arn,
        state=state,
        at=state_now.moment("timestamp"),
        severity=failure(environment) if state == "alarm" else Severity.INFO,
        effect=effects.get(state, "moves"),
        environment=environment,
        tags=tags,
        title=f"Alarm {name} {said.get(state, f'is {state}')}",
        text=about or why,
        facts={
            "Why": why if about else "",
            "Alarm": name,
            "Metric": " ".join(filter(None, (metric.text("namespace"), metric.text("name")))),
            "Endpoint": watched,
            "Rule": configuration.text("alarmRule"),
        },
    )


def _metric(configuration: Members) -> Members:
    """The first metric that an alarm watches; a composite alarm has none."""
    for each in configuration.listed("metrics"):
        if "metricStat" in (found := Members(each)):
            return found.members("metricStat").members("metric")
    return Members(None)


def anomaly(event: Event) -> Happening:
    """Spending that is not as usual; told again as it grows. Raises Misshapen."""
    detail, impact = event.detail, event.detail.members("impact")
    identity, monitor = detail.need("anomalyId"), detail.text("monitorArn", ARN) or "anomalymonitor"
    causes = [Members(each) for each in detail.listed("rootCauses")[:3]]
    what = detail.text("dimensionValue") or (causes[0].text("service") if causes else "") or "spending"
    return event.happened(
        topic="cost",
        subject=f"{monitor}/anomaly/{identity}",
        family=f"{monitor}/{what}",
        state="detected",
        at=event.time,
        severity=Severity.WARNING,
        effect="fires",
        title=f"Cost anomaly: {what} {_money(impact.text('totalImpact'))} above what was expected",
        text="; ".join(" ".join(filter(None, map(each.text, ("service", "region", "usageType")))) for each in causes),
        facts={
            "Monitor": detail.text("monitorName"),
            "Spent": _money(impact.text("totalActualSpend")),
            "Expected": _money(impact.text("totalExpectedSpend")),
            "Since": detail.text("anomalyStartDate")[:10],
            "Details": detail.text("anomalyDetailsLink", TEXT),
        },
    )


def _money(amount: str) -> str:
    return f"${amount}" if amount else ""


def letter(text: str) -> Members:
    """The labelled lines of a letter of AWS Budgets, by label."""
    return Members({label.rstrip(":"): value for label, value in _LINE.findall(text[: TEXT * 2])})


def budget(event: Event) -> Happening:
    """A budget's threshold is passed or forecast to be; `event.detail` is the `letter`. Raises Misshapen."""
    detail = event.detail
    name, kind = detail.need("Budget Name"), detail.need("Alert Type")
    day, amount = detail.text(BUDGET_LETTER), detail.text(f"{kind} Amount")
    arn = f"arn:aws:budgets::{event.account}:budget/{name}"
    threshold = detail.text("Alert Threshold")
    return event.happened(
        topic="budget",
        subject=arn,
        state=f"{kind.lower()} over threshold",
        at=event.time or _day(day),
        key=(day, threshold, amount),  # of a raw letter and of one in SNS's envelope the same
        severity=Severity.WARNING,
        effect="fires",
        title=f"Budget {name}: {kind.lower()} {detail.text('Budget Type').lower()} {amount}, threshold {threshold}",
        facts={
            "Budget": name,
            "Budgeted": detail.text("Budgeted Amount"),
            "Threshold": threshold,
            kind.capitalize(): amount,
        },
    )


def _day(text: str) -> datetime | None:
    """A day such as "May 13, 2024", all that a letter outside SNS's envelope says of its time."""
    try:
        return datetime.strptime(text, "%B %d, %Y").replace(tzinfo=UTC)
    except ValueError:
        return None


def health(event: Event) -> Happening:
    """An event of AWS Health. Raises Misshapen.

    Copies and further pages of one communication carry its id. A page beyond the first only adds affected resources:
    it fires when it names one of ours, and moves otherwise.
    """
    detail = event.detail
    arn, code = detail.need("eventArn", ARN), detail.need("eventTypeCode")
    state, category = detail.status("statusCode"), detail.text("eventTypeCategory")
    affected = [
        entity for each in detail.listed("affectedEntities") if (entity := Members(each).text("entityValue", ARN))
    ]
    ours = [found for each in affected if (found := environment_of(each))]
    environment: Environment | None = "prod" if "prod" in ours else ours[0] if ours else None
    page = detail.text("page") or "1"
    at = detail.moment("lastUpdatedTime", "startTime")
    issue = category == "issue" or "Abuse" in event.kind
    effect: Effect = "clears" if state == "closed" else "fires" if issue and state == "open" else "tells"
    if page != "1" and not ours:
        effect = "moves"
    region, pages = detail.text("eventRegion") or event.region, detail.text("totalPages") or "1"
    return event.happened(
        topic="health",
        subject=arn,
        state=state,
        at=at,
        key=(event.account, detail.text("communicationId") or at, page),
        severity=failure(environment) if issue and state == "open" else Severity.INFO,
        effect=effect,
        environment=environment,
        title=f"AWS Health: {words(code.removeprefix('AWS_'))} in {region} ({state})",
        text=_described(detail),
        facts={
            "Service": detail.text("service"),
            "Category": category,
            "Region": region,
            "Affected": ", ".join(last_part(each) for each in affected[:5])[:NAME],
            "Page": f"{page} of {pages}" if pages != "1" else "",
        },
    )


def _described(detail: Members) -> str:
    texts = [Members(each) for each in detail.listed("eventDescription")]
    english = [each for each in texts if each.text("language").startswith("en")]
    return next((each.text("latestDescription", TEXT) for each in english + texts), "")
