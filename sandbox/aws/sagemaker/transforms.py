"""Batch transform jobs: a model server an instance, every object of a prefix sent to one of them, answers beside each.

Source: SageMaker developer guide, "Batch transform". Objects are whole requests (no splitting, one record each); the
answer to `<key>` is `<S3OutputPath>/<key below the prefix>.out`. An answer other than 200 fails the job, as on AWS.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import urllib3
from botocore.exceptions import ClientError

from sandbox.aws.core import Cloud
from sandbox.aws.sagemaker.errors import ResourceInUse, ValidationException
from sandbox.aws.sagemaker.events import Events
from sandbox.aws.sagemaker.fleet import Server, StartFailed, Variant
from sandbox.aws.sagemaker.images import Images
from sandbox.aws.sagemaker.jobs import SERVICE, Job
from sandbox.aws.sagemaker.models import Models
from sandbox.aws.sagemaker.resources import Body, Resources, listing, now, tag_map
from sandbox.aws.sagemaker.storage import parse_uri

WORD = "transform-job"
GROUP = "/aws/sagemaker/TransformJobs"
MOST_INSTANCES = 4
TIMEOUT_SECONDS = 60.0


class Failed(Exception):
    """The job fails; the text is its FailureReason."""


class Transforms:
    """All batch transform jobs of the account."""

    def __init__(self, cloud: Cloud, resources: Resources, events: Events, models: Models, images: Images) -> None:
        self._cloud = cloud
        self._resources = resources
        self._events = events
        self._models = models
        self._images = images
        self._servers: set[Server] = set()
        cloud.on_stop(self.shut_down)

    def create_transform_job(self, request: Body) -> Body:
        """CreateTransformJob."""
        name, tags = request["TransformJobName"], tag_map(request.pop("Tags", None))
        arn, source = self._resources.arn(WORD, name), request["TransformInput"]
        for member, wanted in (("SplitType", "None"), ("CompressionType", "None")):
            if source.get(member, wanted) != wanted:
                raise ValidationException(f"{member} {source[member]}: not available here.")
        if request.get("BatchStrategy", "SingleRecord") != "SingleRecord" or request.get("DataProcessing"):
            raise ValidationException("Only whole objects are transformed here, one a request.")
        if not 1 <= request["TransformResources"]["InstanceCount"] <= MOST_INSTANCES:
            raise ValidationException(f"This stand-in has {MOST_INSTANCES} instances: InstanceCount must be 1 to that.")
        self._models.model(request["ModelName"])
        moment = now()
        body = {**request, "TransformJobArn": arn, "TransformJobStatus": "InProgress", "CreationTime": moment}
        job = Job(WORD, name, arn, {**body, "LastModifiedTime": moment}, tags)
        with self._resources.lock:
            if self._resources.find(WORD, name):
                raise ResourceInUse(f"Job name must be unique within an AWS account and region ({arn})")
            self._resources.add(job)
            self._events.transform_job(job.body)
        threading.Thread(target=self._run, args=(job,), name=f"transform-{name}", daemon=True).start()
        return {"TransformJobArn": arn}

    def describe_transform_job(self, request: Body) -> Body:
        """DescribeTransformJob."""
        with self._resources.lock:
            return dict(self._job(request).body)

    def stop_transform_job(self, request: Body) -> Body:
        """StopTransformJob."""
        with self._resources.lock:
            job = self._job(request)
            if job.body["TransformJobStatus"] == "InProgress":
                self._change(job, TransformJobStatus="Stopping")
                job.stop.set()
        return {}

    def list_transform_jobs(self, request: Body) -> Body:
        """ListTransformJobs."""
        sort = {"Name": "TransformJobName", "Status": "TransformJobStatus"}
        records, token = listing(self._resources.all(WORD), request, status="TransformJobStatus", sort=sort)
        return {"TransformJobSummaries": [record.body for record in records], "NextToken": token}

    def _job(self, request: Mapping[str, Any]) -> Job:
        record = self._resources.find(WORD, request["TransformJobName"])
        if not isinstance(record, Job):
            raise ValidationException("Could not find requested job with name: " + request["TransformJobName"])
        return record

    def _change(self, job: Job, **changes: Any) -> None:
        job.body |= {**changes, "LastModifiedTime": now()}
        self._events.transform_job(job.body)

    # --- behind them -----------------------------------------------------------------------------------------------

    def _run(self, job: Job) -> None:
        with self._resources.lock:
            self._change(job, TransformStartTime=now())
        try:
            self._transform(job)
            ended: dict[str, Any] = {"TransformJobStatus": "Stopped" if job.stop.is_set() else "Completed"}
        except (Failed, StartFailed, ClientError, OSError) as error:
            self._cloud.log_lines(GROUP, f"{job.name}/algo-1", [f"{error}"])
            ended = {"TransformJobStatus": "Failed", "FailureReason": f"ClientError: {error}"[:1024]}
        with self._resources.lock:
            self._change(job, **ended, TransformEndTime=now())
        job.done.set()

    def _transform(self, job: Job) -> None:
        model = self._models.model(job.body["ModelName"]).body
        source = job.body["TransformInput"]
        role = model["ExecutionRoleArn"]
        s3 = self._cloud.client("s3", self._cloud.assume_service_role(role, SERVICE, "SageMaker"))
        bucket, prefix = parse_uri(source["DataSource"]["S3DataSource"]["S3Uri"])
        keys = [
            item["Key"]
            for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
            for item in page.get("Contents", ())
            if item["Size"]
        ]
        if not keys:
            raise Failed(f"No S3 objects found under S3 URL s3://{bucket}/{prefix} given in input data source.")
        count = job.body["TransformResources"]["InstanceCount"]
        variant = Variant("transform", self._models.container(model), role, 1.0)
        servers = [
            Server(self._cloud, self._images, job.name, variant, self._root(job.name), group=GROUP)
            for _ in range(min(count, len(keys)))
        ]
        self._servers |= set(servers)
        try:
            for server in servers:
                server.start()

            def share(place: int) -> None:
                for key in keys[place :: len(servers)]:
                    if not job.stop.is_set():
                        self._one(job, s3, servers[place], bucket, prefix, key)

            with ThreadPoolExecutor(len(servers)) as pool:
                list(pool.map(share, range(len(servers))))
        finally:
            for server in servers:
                server.stop(0)
            self._servers -= set(servers)

    def _root(self, name: str) -> Any:
        return self._cloud.state.resolve() / "transforms" / f"{name}-{secrets.token_hex(4)}"

    def _one(self, job: Job, s3: Any, server: Server, bucket: str, prefix: str, key: str) -> None:
        kind = job.body["TransformInput"].get("ContentType", "")
        data = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        try:
            response = urllib3.request(
                "POST",
                f"http://127.0.0.1:{server.port}/invocations",
                body=data,
                headers={"Content-Type": kind},
                timeout=TIMEOUT_SECONDS,
                retries=False,
            )
        except urllib3.exceptions.HTTPError as error:
            job.stop.set()
            raise Failed(f"{key}: the model container does not answer") from error
        if response.status != 200:
            job.stop.set()  # the other instances need not go on
            raise Failed(f"{key}: the model answered {response.status}: {response.data.decode(errors='replace')[:300]}")
        out_bucket, out = parse_uri(job.body["TransformOutput"]["S3OutputPath"])
        below = key.removeprefix(prefix).lstrip("/") or key.rsplit("/", 1)[-1]
        s3.put_object(Bucket=out_bucket, Key=f"{out.rstrip('/')}/{below}.out", Body=response.data)

    def shut_down(self) -> None:
        """Kill every model server: this server is stopping."""
        for server in list(self._servers):
            server.stop(0)
