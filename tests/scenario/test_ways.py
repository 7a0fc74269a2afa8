"""The ways in besides slash commands: forms, mentions, the bot's own chat, Home. Each ends in the same walk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import urlencode

import psycopg
import pytest

from sandbox import evidence
from sandbox.person import Person, buttons, element, inputs, moment
from tests.conftest import Sandbox
from tests.scenario.test_wire import signed


@pytest.fixture(autouse=True)
def _forms_closed(sandbox: Sandbox) -> Iterator[None]:
    """An open form would stand before whoever looks at the page next."""
    yield
    for user in ("U0DS1", "U0DS2", "U0ML1", "U0ML2", "U0STK"):
        sandbox.slack.act("close", user=user)


def audited(sandbox: Sandbox, surface: str, command: str) -> list[tuple[str, str]]:
    with psycopg.connect(sandbox.settings()["DATABASE_URL"]) as database:
        query = "SELECT user_id, outcome FROM audit WHERE surface = %s AND command = %s AND phase = 'closed'"
        return database.execute(query, (surface, command)).fetchall()


# --- forms ------------------------------------------------------------------------------------------------------------


def test_the_bare_name_of_a_command_that_needs_more_opens_its_form(sandbox: Sandbox, ds: Person) -> None:
    before = ds.types("access request")
    view = ds.form("access request")
    assert inputs(view) == ["role", "for_", "reason"]
    assert ds.sends(view, role="ml-engineer", for_="2x", reason="look") == {}
    told = ds.sees("2x", after=before)
    assert told["ephemeral"]
    assert "Fill in a form" in buttons(told)
    ds.presses(told, "Fill in a form")
    again = ds.form("access request")
    assert element(again, "reason")["initial_value"] == "look", "what was typed is there again"
    assert audited(sandbox, "form", "access request ml-engineer --for 2x --reason look") == [("U0DS1", "error")]


def test_a_wrong_value_is_said_at_its_field_and_the_corrected_form_runs_once(sandbox: Sandbox, ml: Person) -> None:
    ml.types("form audit log --limit 3")
    view = ml.form("audit log")
    assert ml.sends(view, limit="99") == {"limit": "Please enter a number that is 50 or less."}  # Slack's own client
    ml.types("form pipeline run")
    view = ml.form("pipeline run")
    wrong = ml.sends(view, image_size="100")
    assert wrong == {"image_size": "This must be a multiple of 32, such as 96."}
    assert ml.form("pipeline run")["id"] == view["id"], "it stays open"
    before = moment()
    assert ml.sends(view, image_size="64", weights="no-address") == {}
    ml.sees("is no .pt file in S3", after=before)
    assert audited(sandbox, "form", "pipeline run --env staging --image-size 64 --weights no-address") == [
        ("U0ML1", "error")
    ]


def test_a_form_offers_only_where_the_person_may(ds: Person, ml: Person) -> None:
    ds.types("form pipeline run")
    mine = element(ds.form("pipeline run"), "env")
    ml.types("form pipeline run")
    theirs = element(ml.form("pipeline run"), "env")
    assert [option["value"] for option in mine["options"]] == ["--env dev"]
    assert [option["value"] for option in theirs["options"]] == ["--env staging"]


def submission(view: dict[str, object], values: dict[str, object], user_id: str = "U0DS1") -> bytes:
    """What Slack would send of a form, whatever stands in it."""
    user = {"id": user_id, "username": "somebody", "name": "somebody", "team_id": "T0GC"}
    sent = {**view, "state": {"values": values}}
    body = {"type": "view_submission", "team": {"id": "T0GC"}, "user": user, "trigger_id": "t.1", "view": sent}
    return urlencode({"payload": json.dumps(body)}).encode()


def test_a_form_sent_twice_is_one_invocation(sandbox: Sandbox, ml: Person) -> None:
    ml.types("form audit log --user U0NOBODY")
    view = ml.form("audit log")
    body = submission(view, {"user": {"--user": {"type": "plain_text_input", "value": "U0TWICE"}}}, "U0ML1")
    for _ in range(2):
        assert sandbox.web(body, signed(sandbox, body)).status_code == 200
    with psycopg.connect(sandbox.settings()["DATABASE_URL"]) as database:
        query = "SELECT count(*) FROM invocations WHERE surface = 'form' AND text LIKE '%%U0TWICE%%'"
        assert database.execute(query).fetchone() == (1,)


def test_a_value_the_form_did_not_offer_goes_nowhere(sandbox: Sandbox, ds: Person) -> None:
    ds.types("form pipeline run")
    view = ds.form("pipeline run")
    odd = {"type": "static_select", "selected_option": {"value": "--env prod --yes"}}
    body = submission(view, {"env": {"--env": odd, "value": odd}})
    answer = sandbox.web(body, signed(sandbox, body))
    assert answer.json() == {"response_action": "errors", "errors": {"env": "This is not among the choices."}}


def test_a_form_whose_object_has_vanished_says_so(ds: Person) -> None:
    ds.types("form pipeline logs zzzz")
    view = ds.form("pipeline logs")
    before = moment()
    field = element(view, "execution")
    gone = "zzzz" if field["type"] == "plain_text_input" else field["options"][0]["value"]
    ds.sends(view, execution=gone)
    ds.sees("There is no" if gone == "zzzz" else " of run ", after=before)


def test_a_shortcut_from_anywhere_chooses_a_command_and_answers_in_the_own_chat(sandbox: Sandbox) -> None:
    somebody = sandbox.slack.person("U0STK", "D0STK")
    sandbox.slack.act("shortcut", user="U0STK", channel="D0STK", callback_id="run_command")
    picker = somebody.form("Run a command")
    assert somebody.sends(picker, command="form cost report") == {}
    view = somebody.form("cost report")
    before = moment()
    assert somebody.sends(view, days="3") == {}
    told = somebody.sees("Cost", after=before, seconds=60)
    assert not told["ephemeral"]
    assert audited(sandbox, "form", "cost report --days 3")[0][0] == "U0STK"


def test_a_form_that_cannot_be_opened_in_time_is_offered_as_a_button(sandbox: Sandbox, ml: Person) -> None:
    sandbox.slack.act("fault", method="views.open", kind="error", error="expired_trigger_id")
    told = ml.asks("schedule set", "schedule set:", "Open the form")
    ml.presses(told, "Open the form")
    assert "report" in inputs(ml.form("schedule set"))


# --- mentions and the own chat ----------------------------------------------------------------------------------------


def test_a_mention_is_answered_in_its_thread_also_inside_one(sandbox: Sandbox, ds: Person) -> None:
    root = ds.says("who knows what runs?")
    asked = ds.says("@groundcrew pipeline show zzzzzzzz", thread=root["ts"])
    told = ds.sees("There is no", "zzzzzzzz", after=asked["ts"])
    assert told["thread_ts"] == root["ts"]
    assert audited(sandbox, "mention", "pipeline show zzzzzzzz") == [("U0DS1", "error")]


def test_a_public_answer_to_a_mention_hangs_below_it(ds: Person) -> None:
    asked = ds.says("@groundcrew deployment status --env dev")
    told = ds.sees("groundcrew-dev-detector", after=asked["ts"])
    if not told["ephemeral"]:
        assert told["thread_ts"] == asked["ts"]


def test_a_mention_that_is_edited_afterwards_runs_once(sandbox: Sandbox, ds: Person) -> None:
    asked = ds.says("@groundcrew registry show 995")
    ds.sees("There is no", "995", after=asked["ts"])
    sandbox.slack.act("edit", user="U0DS1", channel="C0DEV", ts=asked["ts"], text="@groundcrew registry show 994")
    ds.asks("registry show 993", "There is no", "993")
    assert not any("994" in row["words"] for row in ds.reads(asked["ts"]) if row["ts"] != asked["ts"])


def test_a_mention_with_a_photo_detects_on_it(sandbox: Sandbox, ml: Person) -> None:
    photo = evidence.labelled_photo(sandbox.state / "survey").path
    sent = ml.uploads(photo.name, photo.read_bytes(), "@groundcrew deployment predict --env prod")
    told = ml.sees("groundcrew-prod-detector", after=sent["ts"])
    assert "deployment create" in told["words"], "nothing is deployed there, and that is said"


def test_a_mention_in_a_channel_the_bot_has_just_left_is_answered_in_the_own_chat(sandbox: Sandbox) -> None:
    where = sandbox.slack.person("U0DS2", "C0PHOTOS")
    sandbox.slack.act("fault", method="chat.postEphemeral", kind="error", error="not_in_channel")
    asked = where.says("@groundcrew registry show 992")
    told = sandbox.slack.person("U0DS2", "D0DS2").sees("There is no", "992", after=asked["ts"], seconds=60)
    assert "Meant for" in told["words"]


@pytest.mark.parametrize("text", ["whoami", "@groundcrew whoami"])
def test_the_own_chat_needs_no_mention(sandbox: Sandbox, text: str) -> None:
    somebody = sandbox.slack.person("U0DS2", "D0DS2")
    asked = somebody.says(text)
    told = somebody.sees("You are data-scientist-2", after=asked["ts"])
    assert not told["ephemeral"]
    assert "thread_ts" not in told


def test_what_people_say_to_each_other_is_no_command(sandbox: Sandbox, ds: Person) -> None:
    ds.says("whoami")
    ds.asks("whoami", "You are")
    assert audited(sandbox, "mention", "whoami") in ([], [("U0DS2", "ok")] * 2, [("U0DS2", "ok")])


# --- Home -------------------------------------------------------------------------------------------------------------


def test_plain_mlops_is_a_private_panel_of_what_is_next(ds: Person) -> None:
    told = ds.asks("", "You are data-scientist", "This month, you")
    assert told["ephemeral"]
    assert buttons(told)["Start a training run…"] == "form pipeline run"


def test_a_home_says_what_is_mine_and_follows_what_happens(sandbox: Sandbox) -> None:
    asks, decides = sandbox.slack.person("U0DS2"), sandbox.slack.person("U0ML2")
    decides.opens_home("You are ml-engineer", "Your runs", "Waiting for you", "Endpoints", "Open alerts")
    asked = asks.asks('access request ml-engineer --for 30m --reason "a look at staging"', "Asked for approval")
    id = buttons(asked)["Withdraw"].split()[2]
    decides.sees_home(id, f"Look at {id}")
    before = decides.presses_home(f"Look at {id}")
    sandbox.slack.person("U0ML2", "D0ML2").sees(id, after=before)
    asks.presses(asked, "Withdraw")
    decides.sees_home("Nothing waits for your approval.", seconds=60)


def test_a_home_of_somebody_unknown_says_whom_to_ask(sandbox: Sandbox) -> None:
    sandbox.slack.person("U0NEW").opens_home("I do not know you yet", "ML engineer in ml-prod")


def test_a_button_of_the_home_opens_a_form_and_its_answer_comes_in_the_own_chat(sandbox: Sandbox) -> None:
    somebody = sandbox.slack.person("U0DS2", "D0DS2")
    somebody.opens_home("What you can do next")
    somebody.presses_home("Start a training run…")
    view = somebody.form("pipeline run")
    before = moment()
    assert somebody.sends(view, weights="nowhere") == {}
    somebody.sees("is no .pt file in S3", after=before)


# --- doctor -----------------------------------------------------------------------------------------------------------


def test_the_doctor_finds_this_installation_sound_and_tells_by_its_status(sandbox: Sandbox) -> None:
    ran = sandbox.bot("doctor")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    for what in ("Slack scopes", "Role groundcrew-ml-engineer", "Event rules", "Migrations", "Prices", "Cost tags"):
        assert f"ok    {what}" in ran.stdout


@pytest.mark.parametrize(
    ("settings", "what", "fix"),
    [
        ({"SLACK_BOT_TOKEN": "xapp-1"}, "Slack token: SLACK_BOT_TOKEN is an app-level token", "xoxb-"),
        ({"SLACK_BOT_TOKEN": "xoxb-wrong"}, "Slack: Slack says invalid_auth", "OAuth & Permissions"),
        ({"DATABASE_URL": "postgresql://postgres@/none?host=/nowhere"}, "Database: it does not answer", "PostgreSQL"),
        ({"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}, "MLflow", ""),
        ({"AWS_PROFILE": "nobody"}, "AWS: ", "AWS_PROFILE"),
    ],
)
def test_the_doctor_names_what_is_wrong_and_its_fix(
    sandbox: Sandbox, settings: dict[str, str], what: str, fix: str
) -> None:
    ran = sandbox.bot("doctor", **settings)
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert f"FAIL  {what}" in ran.stdout
    assert fix in ran.stdout
    assert "Traceback" not in ran.stderr


def test_the_doctor_answers_an_ml_engineer_in_slack_and_nobody_else(ds: Person, ml: Person) -> None:
    told = ml.asks("doctor", "checks are fine", seconds=60)
    assert told["ephemeral"]
    ds.asks("doctor", "Only an ML engineer is told")
