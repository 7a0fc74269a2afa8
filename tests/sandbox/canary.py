"""A local AWS with deployments whose models answer as their files say, and people who ask them without a pause.

For the tests of deploying, and for the figure of a canary that is rolled back.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from pathlib import Path

from botocore.exceptions import ClientError

from infra import stacks
from pipeline import deployment
from pipeline.deployment import Stack
from pipeline.names import Names
from pipeline.registry import Package
from tests.sandbox.test_monitoring import Account, archive, eventually, local_aws
from tests.sandbox.test_sagemaker import SERVER

NAMES = Names("123456789012", "us-east-1")
ENDPOINT = NAMES.stack("dev")
GOOD, BAD, BETTER = ("a" * 64, "b" * 64, "c" * 64)
CODE = f"s3://{NAMES.bucket}/dev/code/0/source.tar.gz"
# A model whose file says `bad` loads, is healthy, and answers 500; `slow` in a request takes its time.
FAILING = SERVER.replace(
    '        seen = self.headers.get("X-Amzn-SageMaker-Custom-Attributes", "")\n',
    '        seen = self.headers.get("X-Amzn-SageMaker-Custom-Attributes", "")\n'
    '        if b"bad" in model:\n'
    '            return self.answer(500, b"no answer", Content_Type="text/plain")\n'
    '        if body == b"slow":\n'
    "            __import__('time').sleep(0.5)\n",
)


@contextmanager
def running(state: Path) -> Iterator[Account]:
    """The account as `infra up` leaves it."""
    assert FAILING != SERVER
    with local_aws(state, FAILING) as found:
        every = stacks.stacks("arn:aws:iam::123456789012:user/operator", NAMES)
        for file in takewhile(lambda file: file.name != "groundcrew-events", every):
            stacks.up(found.cloudformation, file, lambda line: None)
        yield found


def package(account: Account, digest: str, says: str) -> Package:
    key = f"dev/models/{digest}/model.tar.gz"
    account.s3.put_object(Bucket=NAMES.bucket, Key=key, Body=archive({"model.json": says}))
    return Package(
        arn=NAMES.arn("sagemaker", f"model-package/{NAMES.group('dev')}/1"),
        version=1,
        status="Completed",
        approval="Approved",
        created=datetime.now(UTC),
        model=f"s3://{NAMES.bucket}/{key}",
        metadata={"digest": digest},
        inference={"Containers": [{"Image": NAMES.image()}]},
    )


def begin(account: Account, made: Package, token: str, **more: str) -> str:
    given = {**deployment.parameters(NAMES, "dev", made, "ml.m5.large", code=CODE), **more}
    url = deployment.publish_template(account.s3, NAMES, "dev")
    return deployment.deploy(account.cloudformation, NAMES, "dev", template_url=url, parameters=given, token=token)[0]


def over(account: Account, seconds: float = 60) -> Stack:
    """The stack once it is at rest."""

    def read() -> bool:
        found = deployment.find(account.cloudformation, ENDPOINT)
        return found is not None and not found.busy

    assert eventually(read, True, seconds)
    found = deployment.find(account.cloudformation, ENDPOINT)
    assert found is not None
    return found


def ask(account: Account, body: bytes = b"x") -> int:
    """The status of an answer."""
    try:
        account.client("sagemaker-runtime").invoke_endpoint(EndpointName=ENDPOINT, ContentType="image/jpeg", Body=body)
    except ClientError as error:
        return int(error.response.get("OriginalStatusCode", 0))
    return 200


class Traffic:
    """People who ask without a pause; the statuses of the answers they got."""

    def __init__(self, account: Account, people: int = 2) -> None:
        self._account, self._ended = account, threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(people)]
        self.seen: list[int] = []

    def _run(self) -> None:
        while not self._ended.is_set():
            self.seen.append(ask(self._account))

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()


def answered(account: Account, digest: str) -> dict[str, float]:
    """Requests that a model's fleet was asked and failed, as CloudWatch counts them by configuration."""
    dimensions = {"EndpointName": ENDPOINT, "VariantName": "main", "EndpointConfigName": f"{ENDPOINT}-{digest[:8]}"}
    now = account.now()

    def total(metric: str) -> float:
        rows = account.cloudwatch.get_metric_statistics(
            Namespace="AWS/SageMaker",
            MetricName=metric,
            Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
            StartTime=now - timedelta(hours=3),
            EndTime=now + timedelta(minutes=1),
            Period=60,
            Statistics=["Sum"],
        )["Datapoints"]
        return float(sum(row["Sum"] for row in rows))

    return {"asked": total("Invocations"), "failed": total("Invocation5XXErrors")}


def stage(account: Account) -> str:
    pending = account.sagemaker.describe_endpoint(EndpointName=ENDPOINT).get("PendingDeploymentSummary")
    return pending["ProductionVariants"][0]["VariantStatus"][0]["Status"] if pending else ""
