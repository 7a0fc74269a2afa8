"""SimulatePrincipalPolicy, LookupEvents, Object Lock and trails: through boto3, and against what is enforced."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from sandbox.aws.core import Cloud

ACCOUNT, REGION = "123456789012", "us-east-1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/simulated"
LOCKED = "locked-bucket"


@pytest.fixture(scope="module")
def iam(cloud: Cloud, root: dict[str, str]) -> Any:
    client = cloud.client("iam", root)
    trust = [{"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": ["sts:AssumeRole", "sts:SetSourceIdentity"]}]
    client.create_role(RoleName="simulated", AssumeRolePolicyDocument=document(trust))
    client.create_user(UserName="taker")
    client.put_user_policy(UserName="taker", PolicyName="p", PolicyDocument=document([allow("sts:*", ROLE)]))
    return client


@pytest.fixture(scope="module")
def taker(iam: Any) -> dict[str, str]:
    key: dict[str, str] = iam.create_access_key(UserName="taker")["AccessKey"]
    return key


def document(statements: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def allow(action: Any, resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def code(call: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call()
    found: str = caught.value.response["Error"]["Code"]
    return found


def put(iam: Any, **policies: list[dict[str, Any]]) -> None:
    """Make these the role's only inline policies."""
    for name in iam.list_role_policies(RoleName="simulated")["PolicyNames"]:
        iam.delete_role_policy(RoleName="simulated", PolicyName=name)
    for name, statements in policies.items():
        text = json.dumps({"Version": "2012-10-17", "Statement": statements}, indent=1)
        iam.put_role_policy(RoleName="simulated", PolicyName=name, PolicyDocument=text)


def context(**values: Any) -> list[dict[str, Any]]:
    names = {"team": "aws:PrincipalTag/team", "approval": "aws:PrincipalTag/approval"}
    return [
        {"ContextKeyName": names[name], "ContextKeyValues": [value], "ContextKeyType": "string"}
        for name, value in values.items()
    ]


def simulate(iam: Any, action: str, resource: str = "*", **more: Any) -> dict[str, Any]:
    asked = {"PolicySourceArn": ROLE, "ActionNames": [action], "ResourceArns": [resource], **more}
    found: dict[str, Any] = iam.simulate_principal_policy(**asked)["EvaluationResults"][0]
    return found


# --- SimulatePrincipalPolicy -------------------------------------------------------------------------------------


def test_the_simulation_names_decision_statement_and_missing_keys(iam: Any) -> None:
    mine = allow("s3:Get*", "arn:aws:s3:::b/${aws:PrincipalTag/team}/*")
    put(iam, reading=[allow("sqs:*"), mine], walls=[allow("s3:GetObject", "arn:aws:s3:::b/x/*") | {"Effect": "Deny"}])
    allowed = simulate(iam, "s3:GetObject", "arn:aws:s3:::b/a/k", ContextEntries=context(team="a"))
    assert (allowed["EvalDecision"], allowed["MissingContextValues"]) == ("allowed", [])
    matched = allowed["MatchedStatements"]
    assert [(each["SourcePolicyId"], each["SourcePolicyType"]) for each in matched] == [
        ("role_simulated_reading", "role")
    ]
    text = iam.get_role_policy(RoleName="simulated", PolicyName="reading")["PolicyDocument"]
    lines = json.dumps(text, indent=1).split("\n")
    start, end = matched[0]["StartPosition"], matched[0]["EndPosition"]
    inside = lines[start["Line"] - 1 : end["Line"]]
    inside[-1] = inside[-1][: end["Column"] - 1]
    inside[0] = inside[0][start["Column"] - 1 :]
    assert json.loads("\n".join(inside)) == mine
    unknown = simulate(iam, "s3:GetObject", "arn:aws:s3:::b/a/k")
    assert (unknown["EvalDecision"], unknown["MissingContextValues"]) == ("implicitDeny", ["aws:PrincipalTag/team"])
    denied = simulate(iam, "s3:GetObject", "arn:aws:s3:::b/x/k", ContextEntries=context(team="x"))
    assert denied["EvalDecision"] == "explicitDeny"
    assert [each["SourcePolicyId"] for each in denied["MatchedStatements"]] == ["role_simulated_walls"]


def test_inputs_add_policies_and_replace_the_boundary(iam: Any) -> None:
    put(iam, p=[allow("s3:*")])
    edge = iam.create_policy(PolicyName="edge", PolicyDocument=document([allow("s3:GetObject")]))["Policy"]["Arn"]
    iam.put_role_permissions_boundary(RoleName="simulated", PermissionsBoundary=edge)
    try:
        within = {"AllowedByPermissionsBoundary": True}
        assert simulate(iam, "s3:GetObject")["PermissionsBoundaryDecisionDetail"] == within
        beyond = simulate(iam, "s3:PutObject")
        assert beyond["EvalDecision"] == "implicitDeny"
        assert beyond["PermissionsBoundaryDecisionDetail"] == {"AllowedByPermissionsBoundary": False}
        wider = {"PermissionsBoundaryPolicyInputList": [document([allow("*")])]}
        assert simulate(iam, "s3:PutObject", **wider)["EvalDecision"] == "allowed"
        assert simulate(iam, "sqs:SendMessage", **wider)["EvalDecision"] == "implicitDeny"
        added = wider | {"PolicyInputList": [document([allow("sqs:*")])]}
        assert simulate(iam, "sqs:SendMessage", **added)["EvalDecision"] == "allowed"
    finally:
        iam.delete_role_permissions_boundary(RoleName="simulated")
    assert "PermissionsBoundaryDecisionDetail" not in simulate(iam, "s3:GetObject")


def test_every_action_on_every_resource_in_pages(iam: Any) -> None:
    put(iam, p=[allow("s3:GetObject", "arn:aws:s3:::b/1")])
    asked = {"ActionNames": ["s3:GetObject", "s3:PutObject"], "ResourceArns": [f"arn:aws:s3:::b/{n}" for n in (1, 2)]}
    pages = iam.get_paginator("simulate_principal_policy").paginate(
        PolicySourceArn=ROLE, **asked, PaginationConfig={"PageSize": 3}
    )
    found = [page["EvaluationResults"] for page in pages]
    assert [len(rows) for rows in found] == [3, 1]
    assert [row["EvalDecision"] for rows in found for row in rows] == ["allowed", *["implicitDeny"] * 3]


def test_what_cannot_be_simulated_is_refused(iam: Any, cloud: Cloud, taker: dict[str, str]) -> None:
    missing = f"arn:aws:iam::{ACCOUNT}:role/missing"
    assert code(lambda: simulate(iam, "s3:GetObject", PolicySourceArn=missing)) == "NoSuchEntity"
    session = f"arn:aws:sts::{ACCOUNT}:assumed-role/simulated/s"
    assert code(lambda: simulate(iam, "s3:GetObject", PolicySourceArn=session)) == "InvalidInput"
    assert code(lambda: simulate(iam, "s3:GetObject", PolicyInputList=["{"])) == "InvalidInput"
    queue = {**allow("sqs:*"), "Principal": "*"}
    given = {"ResourcePolicy": document([queue]), "CallerArn": ROLE}
    assert code(lambda: simulate(iam, "sqs:SendMessage", **given)) == "InvalidInput"
    assert code(lambda: simulate(cloud.client("iam", taker), "s3:GetObject")) == "AccessDenied"


def test_policies_alone_are_simulated_with_a_resource_policy(iam: Any) -> None:
    user, policy = f"arn:aws:iam::{ACCOUNT}:user/u", document([{**allow("sqs:*"), "Principal": {"AWS": ACCOUNT}}])
    given = {"CallerArn": user, "ResourcePolicy": policy, "ActionNames": ["sqs:SendMessage"]}
    for statements, word in (([allow("s3:*")], "implicitDeny"), ([allow("sqs:*")], "allowed")):
        rows = iam.simulate_custom_policy(PolicyInputList=[document(statements)], **given)["EvaluationResults"]
        assert [row["EvalDecision"] for row in rows] == [word]


RESOURCES = [f"arn:aws:s3:::b/{folder}/k" for folder in ("dev", "prod")]
statements = st.fixed_dictionaries(
    {
        "Effect": st.sampled_from(["Allow", "Allow", "Deny"]),
        "Action": st.sampled_from(["s3:GetObject", "s3:*", "s3:Put*", "*", "sqs:*"]),
        "Resource": st.sampled_from([*RESOURCES, "*", "arn:aws:s3:::b/*", "arn:aws:s3:::b/${aws:PrincipalTag/team}/*"]),
        "Condition": st.sampled_from(
            [
                {},
                {"StringEquals": {"aws:PrincipalTag/team": "dev"}},
                {"Null": {"aws:PrincipalTag/approval": "true"}},
                {"StringNotLike": {"aws:PrincipalTag/team": "d*"}},
            ]
        ),
    }
)
several = st.lists(statements, min_size=1, max_size=3)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(several, st.none() | several, st.sampled_from(["GetObject", "PutObject"]), st.sampled_from(RESOURCES), st.data())
def test_simulation_and_enforcement_agree(
    cloud: Cloud, iam: Any, found: list[Any], edge: list[Any] | None, operation: str, resource: str, data: Any
) -> None:
    """The very function that lets a call in or not, against the API's answer with the same keys."""
    from sandbox.aws import context as keys
    from sandbox.aws import simulate
    from sandbox.aws.authorize import authorize
    from sandbox.aws.calls import Call
    from sandbox.aws.errors import AwsError
    from sandbox.aws.identity import Session

    directory, now = cloud.directory, datetime.now(UTC)
    role = directory.role(ROLE)
    assert role is not None
    tags = data.draw(st.sampled_from([{}, {"team": "dev"}, {"team": "prod", "approval": "A-1"}]))
    key = "ASIA" + uuid.uuid4().hex[:16].upper()
    directory.add(Session(key, "s", "t", ROLE, role.name, role.id, "s", now, now + timedelta(hours=1), tags=tags))
    caller = directory.find(key)
    assert caller is not None
    role.policies, role.permissions_boundary_arn = {"p": document(found)}, None
    given: dict[str, Any] = {"PolicySourceArn": ROLE, "ActionNames": [f"s3:{operation}"], "ResourceArns": [resource]}
    if edge is not None:
        name = uuid.uuid4().hex
        directory.iam.create_policy(None, "/", document(edge), name, {})
        role.permissions_boundary_arn = f"arn:aws:iam::{ACCOUNT}:policy/{name}"
    call = Call("s3", "s3", operation, {"Bucket": "b", "Key": resource.partition("/")[2]})
    values = keys.of_caller(caller, REGION, now) | keys.of_call(call)
    given["ContextEntries"] = [
        {"ContextKeyName": name, "ContextKeyValues": list(value), "ContextKeyType": "string"}
        for name, value in values.items()
    ]
    try:
        authorize(cloud, call, caller, REGION, now)
        enforced = "allowed"
    except AwsError as refusal:
        enforced = "explicitDeny" if "explicit deny" in refusal.message else "implicitDeny"
    (answer,) = simulate.simulate_principal(cloud, given)["EvaluationResults"]
    role.permissions_boundary_arn = None
    assert answer["EvalDecision"] == enforced


# --- LookupEvents ------------------------------------------------------------------------------------------------


def test_the_events_of_one_session_join_with_the_answers(cloud: Cloud, iam: Any, taker: dict[str, str]) -> None:
    put(iam, p=[allow(["s3:ListAllMyBuckets", "s3:PutObject", "sagemaker:DescribePipeline"])])
    name = f"U0DS1-{uuid.uuid4().hex[:8]}"
    taken = cloud.client("sts", taker).assume_role(RoleArn=ROLE, RoleSessionName=name, SourceIdentity="T0GC.U0DS1")
    keys = taken["Credentials"]
    listed = cloud.client("s3", keys).list_buckets()
    with pytest.raises(ClientError) as missing:
        cloud.client("sagemaker", keys).describe_pipeline(PipelineName="nowhere")
    with pytest.raises(ClientError) as denied:
        cloud.client("iam", keys).list_users()
    with pytest.raises(ClientError):
        cloud.client("s3", keys).put_object(Bucket="nowhere", Key="k", Body=b"")
    events = lookup(cloud, Username=name)
    # Newest first; what is done to objects is a data event, which is in no event history.
    assert [event["EventName"] for event in events] == ["ListUsers", "DescribePipeline", "ListBuckets"]
    inside = [json.loads(event["CloudTrailEvent"]) for event in events]
    answers = [denied.value.response, missing.value.response, listed]
    assert [event["requestID"] for event in inside] == [each["ResponseMetadata"]["RequestId"] for each in answers]
    assert {event["userIdentity"]["sessionContext"]["sourceIdentity"] for event in inside} == {"T0GC.U0DS1"}
    assert [event.get("errorCode") for event in inside][::2] == ["AccessDenied", None]
    assert {event["ReadOnly"] for event in events} == {"true"}
    pipeline = {"ResourceType": "AWS::SageMaker::Pipeline", "ResourceName": "nowhere"}
    assert events[1]["Resources"] == [pipeline]
    assert [event["EventId"] for event in lookup(cloud, ResourceName="nowhere")] == [events[1]["EventId"]]
    assert [event["EventName"] for event in lookup(cloud, EventId=events[0]["EventId"])] == ["ListUsers"]
    (taking,) = [event for event in lookup(cloud, EventName="AssumeRole") if name in event["CloudTrailEvent"]]
    assert taking["Username"] == "taker"


def client(cloud: Cloud) -> Any:
    return cloud.client("cloudtrail", json.loads((cloud.state / "root.json").read_text()))


def lookup(cloud: Cloud, size: int = 50, **attribute: str) -> list[dict[str, Any]]:
    asked = [{"AttributeKey": key, "AttributeValue": value} for key, value in attribute.items()]
    pages = (
        client(cloud)
        .get_paginator("lookup_events")
        .paginate(LookupAttributes=asked, PaginationConfig={"PageSize": size})
    )
    return [event for page in pages for event in page["Events"]]


def test_events_come_in_pages_and_in_a_window_of_time(cloud: Cloud, iam: Any) -> None:
    for _ in range(7):
        iam.list_policies(Scope="Local")
    every = [event["EventId"] for event in lookup(cloud, EventName="ListPolicies")]
    assert len(every) >= 7
    assert [event["EventId"] for event in lookup(cloud, size=3, EventName="ListPolicies")] == every
    now = datetime.now(UTC)
    trail, hour = client(cloud), timedelta(hours=1)
    asked = [{"AttributeKey": "EventName", "AttributeValue": "ListPolicies"}]
    assert trail.lookup_events(LookupAttributes=asked, EndTime=now - hour)["Events"] == []
    assert trail.lookup_events(LookupAttributes=asked, StartTime=now - hour)["Events"] != []
    assert code(lambda: trail.lookup_events(StartTime=now, EndTime=now - hour)) == "InvalidTimeRangeException"
    assert code(lambda: trail.lookup_events(LookupAttributes=asked * 2)) == "InvalidLookupAttributesException"
    assert code(lambda: trail.lookup_events(NextToken="none")) == "InvalidNextTokenException"


def test_the_record_is_read_backwards_whatever_its_length(tmp_path: Any) -> None:
    from sandbox.aws.lookup import BLOCK, _backwards

    record = tmp_path / "trail.jsonl"
    for lines in ([], ["a"], ["a" * (BLOCK - 1), "b"], ["a" * BLOCK * 2, "b", "c" * 7]):
        record.write_text("".join(f"{line}\n" for line in lines) + "not yet whole")
        found = list(_backwards(record, record.stat().st_size))
        assert [line.decode() for _, line in found] == [f"{line}\n" for line in reversed(lines)]
        assert [record.read_bytes()[place : place + len(line)] for place, line in found] == [line for _, line in found]


# --- Object Lock -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def s3(cloud: Cloud, root: dict[str, str]) -> Any:
    s3 = cloud.client("s3", root)
    s3.create_bucket(Bucket=LOCKED, ObjectLockEnabledForBucket=True)
    rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 30}}
    configuration = {"ObjectLockEnabled": "Enabled", "Rule": rule}
    s3.put_object_lock_configuration(Bucket=LOCKED, ObjectLockConfiguration=configuration)
    return s3


def session(cloud: Cloud, taker: dict[str, str]) -> Any:
    keys = cloud.client("sts", taker).assume_role(RoleArn=ROLE, RoleSessionName="locked")["Credentials"]
    return cloud.client("s3", keys)


def test_a_locked_version_stays_whoever_deletes_it(cloud: Cloud, iam: Any, s3: Any, taker: dict[str, str]) -> None:
    version = s3.put_object(Bucket=LOCKED, Key="anchors/1", Body=b"1")["VersionId"]
    at = {"Bucket": LOCKED, "Key": "anchors/1", "VersionId": version}
    assert code(lambda: s3.delete_object(**at)) == "AccessDenied"
    several = {"Bucket": LOCKED, "Delete": {"Objects": [{"Key": "anchors/1", "VersionId": version}]}}
    assert [error["Code"] for error in s3.delete_objects(**several)["Errors"]] == ["AccessDenied"]
    put(iam, p=[allow(["s3:DeleteObject*", "s3:GetObject*"], f"arn:aws:s3:::{LOCKED}/*")])
    person = session(cloud, taker)
    for bypass in (True, False):
        refusal = lambda bypass=bypass: person.delete_object(**at, BypassGovernanceRetention=bypass)  # noqa: E731
        assert code(refusal) == "AccessDenied"
        many = lambda bypass=bypass: person.delete_objects(**several, BypassGovernanceRetention=bypass)  # noqa: E731
        assert code(many) == "AccessDenied"
    person.delete_object(Bucket=LOCKED, Key="anchors/1")
    assert person.get_object(**at)["Body"].read() == b"1"
    assert code(lambda: s3.delete_bucket(Bucket=LOCKED)) == "BucketNotEmpty"
    s3.delete_object(**at, BypassGovernanceRetention=True)
    assert code(lambda: s3.get_object(**at)) in ("NoSuchVersion", "NoSuchKey")


def test_retention_is_set_for_every_upload_and_only_lengthened(cloud: Cloud, iam: Any, s3: Any, taker: Any) -> None:
    made = s3.create_multipart_upload(Bucket=LOCKED, Key="large")
    at = {"Bucket": LOCKED, "Key": "large"}
    part = s3.upload_part(**at, UploadId=made["UploadId"], PartNumber=1, Body=b"x")
    parts = {"Parts": [{"ETag": part["ETag"], "PartNumber": 1}]}
    s3.complete_multipart_upload(**at, UploadId=made["UploadId"], MultipartUpload=parts)
    kept = s3.head_object(**at)
    assert kept["ObjectLockMode"] == "GOVERNANCE"
    until = kept["ObjectLockRetainUntilDate"]
    assert timedelta(days=29) < until - datetime.now(UTC) <= timedelta(days=30)
    longer, shorter = (until + timedelta(days=days) for days in (1, -1))
    put(iam, p=[allow(["s3:PutObject", "s3:PutObjectRetention"], f"arn:aws:s3:::{LOCKED}/*")])
    person = session(cloud, taker)
    person.put_object_retention(**at, Retention={"Mode": "GOVERNANCE", "RetainUntilDate": longer})
    less = {"Mode": "GOVERNANCE", "RetainUntilDate": shorter}
    assert code(lambda: person.put_object_retention(**at, Retention=less)) == "AccessDenied"
    assert code(lambda: s3.put_object_retention(**at, Retention=less)) == "AccessDenied"
    assert (
        code(lambda: person.put_object_retention(**at, Retention=less, BypassGovernanceRetention=True))
        == "AccessDenied"
    )
    s3.put_object_retention(**at, Retention=less, BypassGovernanceRetention=True)
    suspended = {"Status": "Suspended"}
    refusal = lambda: s3.put_bucket_versioning(Bucket=LOCKED, VersioningConfiguration=suspended)  # noqa: E731
    assert code(refusal) == "InvalidBucketState"


def test_a_writer_cannot_bring_a_retention_of_its_own(cloud: Cloud, iam: Any, s3: Any, taker: dict[str, str]) -> None:
    put(iam, p=[allow("s3:PutObject", f"arn:aws:s3:::{LOCKED}/*")])
    person, soon = session(cloud, taker), datetime.now(UTC) + timedelta(seconds=5)
    mine = {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": soon}
    assert code(lambda: person.put_object(Bucket=LOCKED, Key="k", Body=b"", **mine)) == "AccessDenied"
    person.put_object(Bucket=LOCKED, Key="k", Body=b"")


# --- trails, and policies when they are written ------------------------------------------------------------------


def test_a_trail_needs_a_bucket_that_lets_it_write(cloud: Cloud, s3: Any) -> None:
    trail, bucket = client(cloud), "arn:aws:s3:::trail-bucket"
    s3.create_bucket(Bucket="trail-bucket")
    made = {"Name": "kept", "S3BucketName": "trail-bucket", "S3KeyPrefix": "cloudtrail"}
    assert code(lambda: trail.create_trail(**made)) == "InsufficientS3BucketPolicyException"
    service = {"Effect": "Allow", "Principal": {"Service": "cloudtrail.amazonaws.com"}}
    look = service | {"Action": "s3:GetBucketAcl", "Resource": bucket}
    write = service | {"Action": "s3:PutObject", "Resource": f"{bucket}/AWSLogs/*"}
    s3.put_bucket_policy(Bucket="trail-bucket", Policy=document([look, write]))
    assert code(lambda: trail.create_trail(**made)) == "InsufficientS3BucketPolicyException"
    write["Resource"] = f"{bucket}/cloudtrail/AWSLogs/{ACCOUNT}/*"
    s3.put_bucket_policy(Bucket="trail-bucket", Policy=document([look, write]))
    assert trail.create_trail(**made, EnableLogFileValidation=True)["LogFileValidationEnabled"] is True


def test_policies_that_do_not_parse_are_refused_when_written(cloud: Cloud, root: Any, iam: Any, taker: Any) -> None:
    s3, sqs, sts = cloud.client("s3", root), cloud.client("sqs", root), cloud.client("sts", taker)
    s3.create_bucket(Bucket="written-bucket")
    url = sqs.create_queue(QueueName="written")["QueueUrl"]
    bad = document([allow("s3:*", Condition={"StringSortOf": {"a": "b"}}, Principal="*")])
    writes = {
        "MalformedPolicyDocument": [
            lambda: iam.create_role(RoleName="bad", AssumeRolePolicyDocument=bad),
            lambda: iam.update_assume_role_policy(RoleName="simulated", PolicyDocument="{}"),
            lambda: iam.put_role_policy(RoleName="simulated", PolicyName="bad", PolicyDocument=bad),
            lambda: iam.put_user_policy(UserName="taker", PolicyName="bad", PolicyDocument=bad),
            lambda: iam.create_policy(PolicyName="bad", PolicyDocument=bad),
            lambda: sts.assume_role(RoleArn=ROLE, RoleSessionName="bad", Policy=bad),
        ],
        "MalformedPolicy": [lambda: s3.put_bucket_policy(Bucket="written-bucket", Policy=bad)],
        "InvalidAttributeValue": [
            lambda: sqs.create_queue(QueueName="bad", Attributes={"Policy": bad}),
            lambda: sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": "{"}),
        ],
        "LimitExceeded": [
            lambda: iam.create_policy(PolicyName="long", PolicyDocument=document([allow(["s3:GetObject"] * 500)])),
        ],
    }
    for expected, calls in writes.items():
        assert [code(call) for call in calls] == [expected] * len(calls)
    boundary = f"arn:aws:iam::{ACCOUNT}:policy/edge"
    assert code(lambda: iam.create_user(UserName="bound", PermissionsBoundary=boundary)) == "UnknownOperationException"
