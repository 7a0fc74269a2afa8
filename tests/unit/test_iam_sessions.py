"""Sessions: the chain of roles, the stamps on it, what is kept and what never is, and STS saying no."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from botocore.hooks import HierarchicalEmitter

from iam.sessions import WARM, Sessions, noting
from pipeline.errors import Denied, Unavailable

POLICY = {"Version": "2012-10-17", "Statement": []}


class World:
    """boto3 as far as sessions use it: who made which client, and what STS was asked."""

    def __init__(self) -> None:
        self.profiles: list[str | None] = []
        self.clients: list[tuple[str, str]] = []
        self.regions: dict[str, str] = {}
        self.asked: list[dict[str, Any]] = []
        self.lasts = timedelta(hours=1)
        self.refuse: Exception | None = None

    def session(self, profile_name: str | None = None, region_name: str | None = None) -> World:
        self.profiles.append(profile_name)
        return self

    def client(self, service: str, region: str, config: Any, aws_access_key_id: str = "base", **keys: str) -> Client:
        self.clients.append((service, aws_access_key_id))
        self.regions[service] = region
        return Client(self, aws_access_key_id)


class Client:
    """A client made with some key; STS's two operations."""

    def __init__(self, world: World, key: str) -> None:
        self.world, self.key = world, key
        self.meta = SimpleNamespace(events=HierarchicalEmitter())

    def answers(self, request: str) -> None:
        """As botocore does after every answer."""
        self.meta.events.emit("after-call.s3.GetObject", parsed={"ResponseMetadata": {"RequestId": request}})

    def get_caller_identity(self) -> dict[str, str]:
        return {"Account": "123456789012", "Arn": f"arn:{self.key}"}

    def assume_role(self, **request: Any) -> dict[str, Any]:
        if self.world.refuse:
            raise self.world.refuse
        self.world.asked.append({"by": self.key, **request})
        key = f"{request['RoleArn'].rsplit('/', 1)[1]}-{len(self.world.asked)}"
        until = datetime.now(UTC) + self.world.lasts
        credentials = {"AccessKeyId": key, "SecretAccessKey": "s", "SessionToken": "t", "Expiration": until}
        return {"Credentials": credentials}


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    monkeypatch.setattr(boto3, "Session", world.session)
    return world


def take(sessions: Sessions, user: str = "U0DS1", **given: Any) -> Any:
    options: dict[str, Any] = {"invocation": "0123456789ab", "policy": POLICY, "changing": False, **given}
    return sessions.person("T0GC", user, "data-scientist", **options)


def test_a_person_s_role_is_taken_by_the_bot_s_and_stamped(world: World) -> None:
    session = take(Sessions("ab", "us-east-1"), changing=True, tags={"approval": "A-1"})
    bot, person = world.asked
    assert (bot["by"], bot["RoleArn"]) == ("base", "arn:aws:iam::123456789012:role/groundcrew-bot")
    assert "SourceIdentity" not in bot
    assert person == {
        "by": "groundcrew-bot-1",
        "RoleArn": "arn:aws:iam::123456789012:role/groundcrew-data-scientist",
        "RoleSessionName": "U0DS1-01234567",
        "SourceIdentity": "T0GC.U0DS1",
        "Policy": '{"Version":"2012-10-17","Statement":[]}',
        "Tags": [{"Key": "approval", "Value": "A-1"}],
        "DurationSeconds": 3600,
    }
    assert session.identity().arn == "arn:groundcrew-data-scientist-2"
    assert world.profiles == ["ab"]


def test_clients_sign_with_the_session_s_keys_and_are_made_once(world: World) -> None:
    session = take(Sessions("ab", "us-east-1"))
    assert session.client("s3") is session.client("s3")
    assert world.clients.count(("s3", "groundcrew-data-scientist-2")) == 1


def test_reading_sessions_are_kept_for_the_same_person_and_policy_only(world: World) -> None:
    sessions = Sessions("ab", "us-east-1")
    assert take(sessions) is take(sessions, invocation="another")
    assert take(sessions, "U0DS2") is not take(sessions)
    assert take(sessions, policy={**POLICY, "Statement": [1]}) is not take(sessions)
    assert len(world.asked) == 4


@pytest.mark.parametrize("given", [{"changing": True}, {"tags": {"approval": "A-1"}}])
def test_changing_and_approved_sessions_are_never_kept(world: World, given: dict[str, Any]) -> None:
    sessions = Sessions("ab", "us-east-1")
    assert take(sessions, **given) is not take(sessions, **given)
    assert take(sessions) is not take(sessions, **given)


def test_a_kept_session_near_its_end_is_taken_anew_the_bot_s_too(world: World) -> None:
    world.lasts = timedelta(minutes=4)
    sessions = Sessions("ab", "us-east-1")
    assert take(sessions) is not take(sessions)
    assert [request["by"] for request in world.asked].count("base") == 2


def test_only_the_latest_kept_sessions_hold_on_to_their_clients(world: World) -> None:
    sessions = Sessions("ab", "us-east-1")
    first = take(sessions, "U0000")
    client = first.client("s3")
    for number in range(1, WARM + 1):
        take(sessions, f"U{number:04}").client("s3")
    assert take(sessions, "U0000") is first
    assert first.client("s3") is not client


def test_a_person_s_calls_are_noted_with_the_session_that_made_them(world: World) -> None:
    sessions = Sessions("ab", "us-east-1")
    take(sessions).client("s3").answers("before")
    with noting() as calls:
        take(sessions, invocation="another").client("s3").answers("one")  # the kept session of the first invocation
        sessions.observer("watcher").client("s3").answers("not a person's")
        sessions.bot().client("sts").answers("not a person's")
        take(sessions).client("s3").answers("two")
    take(sessions).client("s3").answers("after")
    assert (calls.session, calls.requests) == ("U0DS1-01234567", ["one", "two"])


def test_who_asks_nothing_of_aws_has_no_session(world: World) -> None:
    with noting() as calls:
        take(Sessions("ab", "us-east-1"))
    assert (calls.session, calls.requests) == (None, [])


def test_the_observer_is_stamped_as_the_system(world: World) -> None:
    sessions = Sessions("ab", "us-east-1")
    assert sessions.observer("watcher") is sessions.observer("watcher")
    assert sessions.observer("watcher") is not sessions.observer("catalog")
    assert world.asked[1]["SourceIdentity"] == "system.watcher"
    assert "Policy" not in world.asked[1]


def test_when_sts_says_no_it_is_told_in_its_words_and_nothing_else_is_tried(world: World) -> None:
    sessions = Sessions("ab", "us-east-1")
    sessions.bot()
    said = "User: x is not authorized to perform: sts:AssumeRole"
    world.refuse = ClientError({"Error": {"Code": "AccessDenied", "Message": said}}, "AssumeRole")
    with pytest.raises(Denied) as caught:
        take(sessions)
    assert caught.value.message == said
    assert caught.value.advice
    assert len(world.asked) == 1


def test_an_sts_that_does_not_answer_is_unavailable(world: World) -> None:
    world.refuse = EndpointConnectionError(endpoint_url="http://127.0.0.1:1")
    with pytest.raises(Unavailable, match="STS cannot be asked"):
        take(Sessions("ab", "us-east-1"))


def test_a_profile_that_does_not_exist_is_said_at_once() -> None:
    with pytest.raises(Unavailable, match="no-such-profile"):
        Sessions("no-such-profile", "us-east-1")


def test_prices_are_asked_where_the_price_list_answers(world: World) -> None:
    bot = Sessions("ab", "eu-west-1", "eu-central-1").bot()
    bot.client("pricing")
    bot.client("s3")
    assert world.regions == {"sts": "eu-west-1", "pricing": "eu-central-1", "s3": "eu-west-1"}
