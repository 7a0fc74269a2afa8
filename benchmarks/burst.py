"""Ten thousand events over two hundred jobs, each three times, shuffled: what is sent, and what must be left of it."""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import boto3
from sqlalchemy import Engine, text

from bot.alerts.queue import CRITICAL, EVENTS
from sandbox.environment import ACCOUNT, REGION
from sandbox.record import Record

JOBS = 200
IN_FAMILY = 5
COPIES = 3
SENDERS = 3
ENVIRONMENTS = ("dev", "staging", "prod")
ROUTES = """
fallback: C0ALERTS
routes:
  - {name: production, match: {environment: prod}, channel: C0PROD}
  - {name: staging, match: {environment: staging}, channel: C0STAGING}
  - {name: development, match: {environment: dev}, channel: C0DEV}
"""


@dataclass(frozen=True)
class Burst:
    """Events as EventBridge puts them into the queue, and their effect: states by ARN, failed jobs by family."""

    bodies: Sequence[str]
    states: Mapping[str, str]
    failed: Mapping[str, int]

    def shuffled(self, chance: random.Random) -> list[str]:
        """Every event `COPIES` times, in any order."""
        some = [*self.bodies] * COPIES
        chance.shuffle(some)
        return some


def burst(events: int, jobs: int = JOBS) -> Burst:
    """`events` events about `jobs` jobs in families of five; in every second family three of the five fail."""
    began = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)
    bodies: list[str] = []
    states: dict[str, str] = {}
    failed: Counter[str] = Counter()
    each = events // jobs
    for number in range(jobs):
        family, place = divmod(number, IN_FAMILY)
        series = f"groundcrew-{ENVIRONMENTS[family % 3]}-night{''.join(chr(97 + int(digit)) for digit in str(family))}"
        arn = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:training-job/{series}"
        fails = family % 2 == 0 and place < 3
        end = "Failed" if fails else "Completed"
        for step in range(each):
            state = end if step == each - 1 else "InProgress"
            bodies.append(job_event(f"{arn}-{place}", state, began + timedelta(seconds=step)))
        states[f"{arn}-{place}"] = end.lower()
        failed[arn] += fails
    return Burst(bodies, states, +failed)


def job_event(arn: str, state: str, at: datetime) -> str:
    """What the queue gets about a training job."""
    name = arn.rpartition("/")[2]
    detail = {
        "TrainingJobName": name,
        "TrainingJobArn": arn,
        "TrainingJobStatus": state,
        "SecondaryStatus": "Training" if state == "InProgress" else state,
        "LastModifiedTime": int(at.timestamp() * 1000),
        "FailureReason": "AlgorithmError: out of memory" if state == "Failed" else "",
        "Tags": {},
    }
    return envelope("aws.sagemaker", "SageMaker Training Job State Change", arn, at, detail)


def alarm_event(name: str, at: datetime) -> str:
    """What the queue gets about an alarm."""
    arn = f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{name}"
    state = {"value": "ALARM", "reason": "Threshold Crossed", "timestamp": at.isoformat()}
    detail = {"alarmName": name, "state": state, "previousState": {"value": "OK"}, "configuration": {}}
    return envelope("aws.cloudwatch", "CloudWatch Alarm State Change", arn, at, detail)


def envelope(source: str, kind: str, arn: str, at: datetime, detail: Mapping[str, Any]) -> str:
    """The envelope EventBridge puts around an event."""
    id = f"{hash((arn, at, json.dumps(detail))) & 0xFFFFFFFF:08x}"
    moment = at.strftime("%Y-%m-%dT%H:%M:%SZ")
    head = {"version": "0", "id": id, "detail-type": kind, "source": source, "account": ACCOUNT, "time": moment}
    return json.dumps(head | {"region": REGION, "resources": [arn], "detail": detail})


@contextmanager
def operator(state: Path) -> Iterator[Any]:
    """SQS of a sandbox, as its operator."""
    settings = {key: value for key, value in Record(state).read("settings.json").items() if key.startswith("AWS_")}
    with patch.dict(os.environ, settings):
        client = boto3.Session().client("sqs")
    yield client
    client.close()


def send(sqs: Any, bodies: Sequence[str], before: Callable[[int], object] = lambda sent: None) -> None:
    """Put messages into the queue of events, ten a call; `before` is told how many were sent."""
    url = sqs.get_queue_url(QueueName=EVENTS)["QueueUrl"]

    def ten(start: int) -> None:
        before(start)
        some = bodies[start : start + 10]
        entries = [{"Id": str(place), "MessageBody": body} for place, body in enumerate(some)]
        sqs.send_message_batch(QueueUrl=url, Entries=entries)

    with ThreadPoolExecutor(SENDERS) as pool:
        list(pool.map(ten, range(0, len(bodies), 10)))


def left(sqs: Any) -> int:
    """Messages in both queues, hidden ones too."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    urls = [sqs.get_queue_url(QueueName=name)["QueueUrl"] for name in (EVENTS, CRITICAL)]
    found = [sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"] for url in urls]
    return sum(int(each[name]) for each in found for name in names)


def taken(engine: Engine, wanted: Burst) -> int:
    """How many different events of the burst are in the database; a sandbox has trainings of its own."""
    query = text("SELECT count(*) FROM events WHERE lower(subject) = ANY(:arns)")
    with engine.begin() as connection:
        return connection.scalar(query, {"arns": [arn.lower() for arn in wanted.states]}) or 0


def missing(engine: Engine, wanted: Burst) -> int:
    """How much of the burst's effect is not in the database: events, states of jobs, failures on alerts."""
    events = taken(engine, wanted)
    with engine.begin() as connection:
        states = {row.arn: row.state for row in connection.execute(text("SELECT arn, state FROM subjects"))}
        firing = text("SELECT family, sum(count) AS count FROM alerts WHERE state = 'firing' GROUP BY family")
        counts = {row.family: int(row.count) for row in connection.execute(firing)}
    wrong = sum(states.get(arn) != state for arn, state in wanted.states.items())
    unsaid = sum(abs(counts.get(family, 0) - count) for family, count in wanted.failed.items())
    return abs(len(wanted.bodies) - events) + wrong + unsaid


def queued(engine: Engine) -> int:
    """Alerts still to be drawn, and messages still to be sent."""
    with engine.begin() as connection:
        dirty = connection.scalar(text("SELECT count(*) FROM alerts WHERE dirty")) or 0
        open_rows = text("SELECT count(*) FROM outbox WHERE state IN ('queued', 'sending', 'held')")
        return dirty + (connection.scalar(open_rows) or 0)
