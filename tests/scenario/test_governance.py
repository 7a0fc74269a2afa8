"""Power for a while and a second person's word, through the front door: elevation, break-glass, expiry, races, void.

Time passes by editing rows: what ends "in two hours" is made to have ended. Every grant is ended again, so that the
other tests meet people with the roles the access file gives them.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import botocore.session
import psycopg
import pytest

from sandbox.person import NothingCame, Person, buttons
from tests.conftest import Sandbox, Training

PROD = "groundcrew-prod-detector"


def sql(sandbox: Sandbox, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """Run a statement with all rights in the database."""
    with psycopg.connect(sandbox.settings()["DATABASE_URL"], autocommit=True) as database:
        cursor = database.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


@pytest.fixture(autouse=True)
def nothing_stays_granted(sandbox: Sandbox) -> Iterator[None]:
    yield
    sql(sandbox, "UPDATE grants SET expires_at = now() - interval '1 second' WHERE expires_at > now()")


def ask_for(person: Person, role: str, why: str) -> dict[str, Any]:
    """Ask for another role; the card that waits for a decision."""
    after = person.types(f'access request {role} --for 2h --reason "{why}"')
    return person.sees("Approval needed", why, button="Approve…", after=after)


def approval(card: dict[str, Any]) -> str:
    """The id of a card's approval."""
    return buttons(card)["Approve…"].split()[-1]


def test_another_role_for_a_while_takes_somebody_who_holds_it_and_ends_by_itself(sandbox: Sandbox) -> None:
    ds, ml = sandbox.slack.person("U0DS2"), sandbox.slack.person("U0ML1")
    ds.asks("deployment status --env staging", "AWS said no")
    card = ask_for(ds, "ml-engineer", "night shift")
    ds.sees("You asked for this yourself", after=ds.presses(card, "Approve…"))
    other = sandbox.slack.person("U0DS1")
    other.sees("takes the role ml-engineer", after=other.presses(card, "Approve…"))
    ml.sees("Elevation to ml-engineer has begun", "night shift", after=ml.presses(card, "Approve…"))
    ds.asks("whoami", "You may act as", "night shift", "dev; for a while as ml-engineer: staging, prod")
    ds.asks("deployment status --env staging", "staging", "acting as ml-engineer until")
    ml.asks("access show U0DS2", "ml-engineer", "night shift")
    sql(sandbox, "UPDATE grants SET expires_at = now() - interval '1 second' WHERE user_id = 'U0DS2'")
    ds.asks("deployment status --env staging", "AWS said no")


def test_what_cannot_be_granted_is_refused_at_once(sandbox: Sandbox) -> None:
    ds = sandbox.slack.person("U0DS2")
    ds.asks('access request data-scientist --for 2h --reason "x"', "You are data-scientist already")
    ds.asks('access request ml-engineer --for 9h --reason "x"', "8")
    ds.asks("access request admin --for 2h --reason x", "ml-engineer")


def test_break_glass_is_loud_recorded_and_reviewed_by_somebody_else(sandbox: Sandbox) -> None:
    ml, other = sandbox.slack.person("U0ML2"), sandbox.slack.person("U0ML1")
    sandbox.slack.person("U0DS1").asks(f'access break-glass {PROD} --reason "x"', "Only somebody with the role")
    ml.asks('access break-glass groundcrew-prod-detectr --reason "x"', "Nearest", PROD)
    after = ml.types(f'access break-glass {PROD} --reason "prod is down"')
    loud = other.sees("BREAK-GLASS", PROD, "prod is down", after=after)
    assert not loud["ephemeral"], "nobody else hears of it"
    # Without the glass this would open an approval; with it the command runs, and finds nothing to delete.
    ml.asks("deployment delete --env prod --yes", "There is no deployment in environment 'prod'")
    types = sql(
        sandbox,
        "SELECT DISTINCT type FROM audit WHERE user_id = 'U0ML2' AND command LIKE 'deploy%%' AND phase = 'closed'",
    )
    assert types == [("break-glass",)]
    identity = sql(sandbox, "SELECT id FROM grants WHERE kind = 'break-glass' ORDER BY created_at DESC LIMIT 1")[0][0]
    sandbox.slack.person("U0STK").asks("whoami", identity, "waits for a review")
    ml.asks(f'access review {identity} --finding "fine"', "somebody else has to review it")
    other.asks(f'access review {identity} --finding "a real outage"', "Reviewed", "a real outage")
    assert identity not in sandbox.slack.person("U0STK").asks("whoami", "You are")["words"]


def test_an_approval_that_has_expired_is_not_given(sandbox: Sandbox) -> None:
    card = ask_for(sandbox.slack.person("U0STK"), "ml-engineer", "too late")
    sql(sandbox, "UPDATE approvals SET expires_at = now() - interval '1 second' WHERE id = %s", approval(card))
    ml = sandbox.slack.person("U0ML1")
    ml.asks(f"approvals approve {approval(card)}", "expired")
    assert sql(sandbox, "SELECT count(*) FROM grants WHERE approval = %s", approval(card)) == [(0,)]


def test_two_clicks_at_one_moment_give_one_decision(sandbox: Sandbox) -> None:
    card = ask_for(sandbox.slack.person("U0STK"), "data-scientist", "both at once")
    people = [sandbox.slack.person("U0DS1"), sandbox.slack.person("U0DS2")]
    with ThreadPoolExecutor(2) as both:
        after = min(both.map(lambda person: person.types(f"approvals approve {approval(card)}"), people))
    people[0].sees("Elevation to data-scientist has begun", "both at once", after=after)
    late = [person for person in people if _was_late(person, after)]
    assert len(late) == 1
    assert sql(sandbox, "SELECT count(*) FROM grants WHERE approval = %s", approval(card)) == [(1,)]


def _was_late(person: Person, after: str) -> bool:
    try:
        person.sees("already", after=after, seconds=5)
    except NothingCame:
        return False
    return True


def test_a_model_changed_after_the_request_makes_it_void(sandbox: Sandbox, training: Training) -> None:
    ds, ml = sandbox.slack.person("U0DS1"), sandbox.slack.person("U0ML1")
    after = ds.types("registry request 1 --to staging")
    card = ds.sees("Approval needed", "promote", button="Approve…", after=after)
    arn = "arn:aws:sagemaker:us-east-1:123456789012:model-package/groundcrew-dev-detector/1"
    sagemaker = operator(sandbox).create_client("sagemaker")
    digest = sagemaker.describe_model_package(ModelPackageName=arn)["CustomerMetadataProperties"]["digest"]
    sagemaker.update_model_package(ModelPackageArn=arn, CustomerMetadataProperties={"digest": "0" * 64})
    try:
        ml.sees("is void", "changed since", after=ml.presses(card, "Approve…"))
    finally:
        sagemaker.update_model_package(ModelPackageArn=arn, CustomerMetadataProperties={"digest": digest})


def operator(sandbox: Sandbox) -> botocore.session.Session:
    """The account's operator, profile `ab`."""
    session = botocore.session.Session(profile="ab")
    session.set_config_variable("config_file", str(sandbox.state / "aws" / "config"))
    session.set_config_variable("credentials_file", str(sandbox.state / "aws" / "credentials"))
    return session


@pytest.mark.parametrize(
    ("user", "why"),
    [("U0GUEST", "they are a guest in this workspace"), ("U0GONE", "their Slack account is deactivated")],
)
def test_for_whom_slack_does_not_vouch_nothing_is_done_whatever_the_access_file_says(
    sandbox: Sandbox, user: str, why: str
) -> None:
    sandbox.slack.person(user).asks("pipeline list --env dev", f"Nothing is done for {user}", why)
    recorded = sql(sandbox, "SELECT outcome, session FROM audit WHERE user_id = %s AND phase = 'closed'", user)
    assert recorded == [("denied", None)]


def test_who_is_deactivated_is_not_asked_to_agree(sandbox: Sandbox) -> None:
    told = sandbox.slack.person("U0STK").asks(
        'access request ml-engineer --for 1h --reason "whoever is here"', "Asked for approval"
    )
    assert "<@U0ML1> <@U0ML2>" in told["words"]
    assert "U0GONE" not in told["words"]
