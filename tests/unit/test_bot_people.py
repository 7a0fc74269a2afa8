"""For whom Slack still vouches, and who is left to be asked."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.web import SlackResponse
from sqlalchemy import Engine

from bot.app import Workplace
from bot.settings import Settings
from bot.slack.people import KEPT_S, People
from iam.sessions import Sessions
from pipeline.errors import Refused, Unavailable
from state import grants

ACCESS = """contact: an ML engineer
teams:
  T0GC:
    data-scientist: [U0DS1, U0DS2]
    ml-engineer: [U0ML1, U0ML2]
"""


class Slack:
    """`users.info` of a workspace in which everybody is in order, but for what `facts` says."""

    def __init__(self) -> None:
        self.facts: dict[str, Any] = {}
        self.asked = 0
        self.error = ""

    def users_info(self, *, user: str) -> dict[str, Any]:
        self.asked += 1
        if self.error == "gone":
            raise OSError("connection refused")
        if self.error:
            answer = SlackResponse(
                client=None, http_verb="POST", api_url="", req_args={}, data={"error": self.error}, headers={},
                status_code=200,
            )  # fmt: skip
            raise SlackApiError("no", answer)
        return {"user": {"id": user, "team_id": "T0GC", **self.facts}}


@pytest.fixture
def slack() -> Slack:
    return Slack()


def people(slack: Slack) -> People:
    return People(cast(WebClient, slack))


@pytest.mark.parametrize(
    ("facts", "objection"),
    [
        ({}, ""),
        ({"name": "renamed"}, ""),
        ({"deleted": True}, "deactivated"),
        ({"is_restricted": True}, "a guest"),
        ({"is_ultra_restricted": True}, "a guest"),
        ({"team_id": "T0XX"}, "another workspace"),
        ({"is_stranger": True}, "another workspace"),
        ({"team_id": "E0GRID", "enterprise_user": {"teams": ["T0GC"]}}, ""),
    ],
)
def test_who_is_deactivated_a_guest_or_of_another_workspace_is_refused(
    slack: Slack, facts: dict[str, Any], objection: str
) -> None:
    slack.facts = facts
    said = people(slack).objection("T0GC", "U0DS1")
    assert objection in said
    assert bool(said) == bool(objection)


def test_whom_slack_does_not_know_is_refused(slack: Slack) -> None:
    slack.error = "user_not_found"
    assert people(slack).objection("T0GC", "U0DS1")


@pytest.mark.parametrize("error", ["gone", "ratelimited", "missing_scope"])
def test_when_slack_does_not_say_nothing_is_done(slack: Slack, error: str) -> None:
    slack.error = error
    with pytest.raises(Unavailable, match="U0DS1"):
        people(slack).objection("T0GC", "U0DS1")


def test_an_answer_counts_for_half_a_minute(slack: Slack, monkeypatch: pytest.MonkeyPatch) -> None:
    asking, now = people(slack), 1000.0
    monkeypatch.setattr("bot.slack.people.time.monotonic", lambda: now)
    assert asking.objection("T0GC", "U0DS1") == ""
    slack.facts = {"deleted": True}
    now += KEPT_S - 1
    assert asking.objection("T0GC", "U0DS1") == ""
    assert "deactivated" in asking.objection("T0GC", "U0DS2")
    now += 2
    assert "deactivated" in asking.objection("T0GC", "U0DS1")
    assert slack.asked == 3


@pytest.fixture
def place(engine: Engine, tmp_path: Path, slack: Slack) -> Workplace:
    path = tmp_path / "access.yaml"
    path.write_text(ACCESS)
    client = cast(WebClient, slack)
    return Workplace(Settings(access_file=str(path)), engine, cast(Sessions, None), client, People(client))


def test_a_person_has_what_the_file_and_their_grants_say(place: Workplace, engine: Engine, slack: Slack) -> None:
    person = place.person("T0GC", "U0DS1", "")
    assert person is not None
    assert (person.role, person.elevations) == ("data-scientist", [])
    assert place.person("T0XX", "U0DS1", "") is None
    assert place.person("T0GC", "U0NEW", "") is None
    for role in ("ml-engineer", "data-scientist"):
        grants.begin(
            engine, "elevation", team="T0GC", user="U0DS1", role=role, lasts=timedelta(hours=1), reason="",
            invocation="i",
        )  # fmt: skip
    held = place.person("T0GC", "U0DS1", "")
    assert held is not None
    assert [grant.role for grant in held.elevations] == ["ml-engineer"]
    assert place.able("ml-engineer", "T0GC") == ["U0ML1", "U0ML2", "U0DS1"]
    assert place.able("ml-engineer", "T0GC", standing=True) == ["U0ML1", "U0ML2"]
    assert place.able("ml-engineer", "T0XX") == []


def test_a_guest_is_refused_and_nobody_waits_for_somebody_deactivated(place: Workplace, slack: Slack) -> None:
    slack.facts = {"deleted": True}
    with pytest.raises(Refused, match="deactivated"):
        place.person("T0GC", "U0DS1", "")
    assert place.able("ml-engineer", "T0GC") == []


def test_the_time_zone_of_somebodys_profile_is_known_without_asking_again(slack: Slack) -> None:
    known = people(slack)
    slack.facts = {"tz": "Europe/Zurich"}
    assert (known.objection("T0GC", "U0ML1"), known.zone("U0ML1"), slack.asked) == ("", "Europe/Zurich", 1)
    slack.facts = {"tz": None}
    assert known.zone("U0DS1") == ""
    slack.error = "user_not_found"
    assert known.zone("U0DS2") == ""
