"""CloudWatch alarms: they begin without data, are looked at every minute and when data come, and are heard of.

Whatever changes an alarm's state, its metric or SetAlarmState, is told on EventBridge and kept in its history. As in
AWS, a state that was set by hand lasts until the next look. Composite alarms, metric math and actions do not exist;
what listens to an alarm (a scaling policy, a canary) reads its state.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sandbox.aws.errors import AwsError
from sandbox.aws.evaluation import OPERATORS, Finding, Rule, assess, is_statistic
from sandbox.aws.metrics import key

if TYPE_CHECKING:
    from sandbox.aws.core import Cloud

FIRST = "INSUFFICIENT_DATA"
REMEMBERED = 1000
"""Entries of the history, of all alarms together."""
_REFUSED = ("metric_data_queries", "alarm_actions", "ok_actions", "insufficient_data_actions")


class Alarms:
    """Looks at the alarms as time passes, and remembers what became of them."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._history: deque[dict[str, Any]] = deque(maxlen=REMEMBERED)
        self._looked: tuple[datetime, int] | None = None
        cloud.clock.follow(self.tick)

    def tick(self, now: datetime) -> None:
        """Look at every alarm if a minute has passed or something was published since the last look."""
        self._cloud.metrics.publish_own(now)
        look = (now.replace(second=0, microsecond=0), self._cloud.metrics.changes)
        if look == self._looked:
            return
        self._looked = look
        for name in list(self._backend.alarms):
            self.look(name, now)

    @property
    def _backend(self) -> Any:
        from moto.cloudwatch.models import cloudwatch_backends

        return cloudwatch_backends[self._cloud.account][self._cloud.region]

    def look(self, name: str, now: datetime) -> None:
        """Look at one alarm."""
        with self._cloud.lock:
            alarm = self._backend.alarms.get(name)
            if alarm is None:
                return
            found_in = rule(alarm)
            metric = key(alarm.namespace, alarm.metric_name, ((each.name, each.value) for each in alarm.dimensions))
            samples = self._cloud.metrics.samples(metric, now - found_in.reach)
            finding = assess(found_in, samples, now, alarm.state_value)
            if finding.state != alarm.state_value:
                data = json.dumps(_reason_data(found_in, finding, now))
                self._backend.set_alarm_state(name, finding.reason, data, finding.state)

    def note(self, alarm: Any, kind: str, summary: str, data: Mapping[str, Any]) -> None:
        """Keep an entry of DescribeAlarmHistory."""
        self._history.append(
            {
                "AlarmName": alarm.name,
                "AlarmType": "MetricAlarm",
                "Timestamp": datetime.now(UTC),
                "HistoryItemType": kind,
                "HistorySummary": summary,
                "HistoryData": json.dumps({"version": "1.0", **data}),
            }
        )

    def history(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """DescribeAlarmHistory, newest first unless asked otherwise."""
        found = [item for item in self._history if _wanted(item, params)]
        if params.get("ScanBy", "TimestampDescending") == "TimestampDescending":
            found.reverse()
        start = int(params.get("NextToken") or 0)
        end = start + (params.get("MaxRecords") or 100)
        return {"AlarmHistoryItems": found[start:end], "NextToken": str(end) if end < len(found) else None}

    def replacements(
        self, own_put: Callable[..., Any], own_set: Callable[..., Any], own_data: Callable[..., Any]
    ) -> tuple[Callable[..., Any], ...]:
        """Methods for moto's CloudWatchBackend: put_metric_alarm, set_alarm_state, put_metric_data."""
        cloud, alarms = self._cloud, self

        def put_metric_alarm(self: Any, name: str, *args: Any, **kwargs: Any) -> Any:
            _check(kwargs)
            with cloud.lock:
                before = self.alarms.get(name)
                alarm = own_put(self, name, *args, **kwargs)
                if before is None:
                    alarm.state_value = FIRST
                else:  # a new definition does not change the state
                    for member in ("state_value", "state_reason", "state_reason_data", "state_updated_timestamp"):
                        setattr(alarm, member, getattr(before, member))
                done = "created" if before is None else "updated"
                alarms.note(alarm, "ConfigurationUpdate", f'Alarm "{name}" {done}', {})
            return alarm

        def set_alarm_state(self: Any, alarm_name: str, reason: str, reason_data: str, state_value: str) -> None:
            with cloud.lock:
                alarm = self.alarms.get(alarm_name)
                before = state(alarm) if alarm is not None else {}
                own_set(self, alarm_name, reason, reason_data, state_value)
                if alarm is not None and before["value"] != state_value:
                    changed(cloud, alarm, before)
                    summary = f"Alarm updated from {before['value']} to {state_value}"
                    alarms.note(alarm, "StateUpdate", summary, {"oldState": before, "newState": state(alarm)})

        def put_metric_data(self: Any, namespace: str, metric_data: list[dict[str, Any]]) -> None:
            own_data(self, namespace, metric_data)
            cloud.metrics.take(namespace, metric_data)

        return put_metric_alarm, set_alarm_state, put_metric_data


def rule(alarm: Any) -> Rule:
    """What moto keeps of an alarm as it is evaluated."""
    return Rule(
        statistic=alarm.statistic or alarm.extended_statistic,
        period=int(alarm.period),
        periods=int(alarm.evaluation_periods),
        datapoints=int(alarm.datapoints_to_alarm or alarm.evaluation_periods),
        threshold=float(alarm.threshold),
        operator=alarm.comparison_operator,
        missing=alarm.treat_missing_data or "missing",
    )


def _check(given: Mapping[str, Any]) -> None:
    """Refuse an alarm that nobody here would look at as AWS does."""
    if others := [name for name in (*_REFUSED, "rule") if given.get(name)]:
        raise AwsError(
            "UnknownOperationException",
            f"The local AWS has alarms on one metric's statistic and no actions ({', '.join(others)} given).",
        )
    named = [given[name] for name in ("statistic", "extended_statistic") if given.get(name)]
    if len(named) != 1 or not is_statistic(named[0]) or given["comparison_operator"] not in OPERATORS:
        raise AwsError("ValidationError", "ComparisonOperator and Statistic must be those of a metric alarm.")
    period, count = int(given["period"] or 0), int(given["evaluation_periods"] or 0)
    if period < 60 or period % 60 or count < 1:
        raise AwsError("ValidationError", "Period must be a multiple of 60 here, EvaluationPeriods at least 1.")
    if period * count > (604_800 if period >= 3600 else 86_400):
        raise AwsError("ValidationError", "Metrics cannot be checked across more than a day (seven for hours).")
    if int(given["datapoints_to_alarm"] or count) > count:
        raise AwsError("ValidationError", "DatapointsToAlarm must be less than or equal to EvaluationPeriods.")


def changed(cloud: Cloud, alarm: Any, before: dict[str, Any]) -> None:
    """Tell EventBridge of an alarm's new state, in the documented shape."""
    dimensions = {dimension.name: dimension.value for dimension in alarm.dimensions}
    metric = {"dimensions": dimensions, "name": alarm.metric_name, "namespace": alarm.namespace}
    stat = {"metric": metric, "period": alarm.period, "stat": alarm.statistic or alarm.extended_statistic}
    detail = {
        "alarmName": alarm.name,
        "configuration": {
            "description": alarm.description or "",
            "metrics": [{"id": "m1", "metricStat": stat, "returnData": True}],
        },
        "previousState": before,
        "state": state(alarm),
    }
    cloud.emit("aws.cloudwatch", "CloudWatch Alarm State Change", [alarm.alarm_arn], detail)


def state(alarm: Any) -> dict[str, Any]:
    """An alarm's state as events carry it: `reasonData`, where there is any, is JSON inside a string."""
    moment = alarm.state_updated_timestamp.replace(tzinfo=UTC)
    found = {"value": alarm.state_value, "reason": alarm.state_reason, "timestamp": _timestamp(moment)}
    return found | ({"reasonData": alarm.state_reason_data} if alarm.state_reason_data not in (None, "", "{}") else {})


def _timestamp(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}+0000"


def _reason_data(looked: Rule, finding: Finding, now: datetime) -> dict[str, Any]:
    evaluated = [{"timestamp": _timestamp(since), "value": value} for since, value in finding.points]
    return {
        "version": "1.0",
        "queryDate": _timestamp(now),
        "statistic": looked.statistic,
        "period": looked.period,
        "recentDatapoints": [value for _, value in reversed(finding.points)],
        "threshold": looked.threshold,
        "evaluatedDatapoints": evaluated,
    }


def _wanted(item: Mapping[str, Any], params: Mapping[str, Any]) -> bool:
    rules: tuple[tuple[str, Callable[[Any], bool]], ...] = (
        ("AlarmName", lambda name: bool(item["AlarmName"] == name)),
        ("HistoryItemType", lambda kind: bool(item["HistoryItemType"] == kind)),
        ("StartDate", lambda moment: bool(item["Timestamp"] >= _aware(moment))),
        ("EndDate", lambda moment: bool(item["Timestamp"] <= _aware(moment))),
    )
    return all(holds(params[name]) for name, holds in rules if params.get(name))


def _aware(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
