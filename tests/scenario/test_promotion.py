"""From a registered model to a detection: approval by a second person, deployment, prediction, and who may not."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from sandbox import evidence
from sandbox.person import Person, buttons
from tests.conftest import Sandbox, Training

pytestmark = pytest.mark.usefixtures("training")


@pytest.fixture(scope="module")
def card(sandbox: Sandbox, training: Training) -> dict[str, Any]:
    """A promotion asked for by a data scientist."""
    person = sandbox.slack.person("U0DS1")
    after = person.types("registry request 1 --to staging")
    return person.sees("Approval needed", "promote detector", button="Approve…", after=after)


@pytest.fixture(scope="module")
def in_staging(sandbox: Sandbox, card: dict[str, Any]) -> str:
    """Approved by an ML engineer by button; the version in staging."""
    person = sandbox.slack.person("U0ML1")
    after = person.presses(card, "Approve…")
    told = person.sees("is now v", "in staging", after=after)["words"]
    return told.split("is now v")[1].split()[0]


@pytest.fixture(scope="module")
def endpoint(sandbox: Sandbox, in_staging: str) -> dict[str, Any]:
    """Deployed to staging by an ML engineer."""
    person = sandbox.slack.person("U0ML1")
    after = person.types(f"deployment create --env staging --version {in_staging}")
    # Nobody waits for it here: what is asked meanwhile must be answered too.
    early = person.asks("deployment predict --env staging", "staging", author="U0BOT")
    assert "in service" not in early["words"]
    ready = person.sees("groundcrew-staging-detector: in service", after=after, seconds=120)
    return {"early": early, "ready": ready}


def test_a_stakeholder_may_look_and_not_run(sandbox: Sandbox) -> None:
    stakeholder = sandbox.slack.person("U0STK")
    stakeholder.asks("registry list", "v1")
    told = stakeholder.asks("pipeline run", "AWS said no")["words"]
    assert "not authorized to perform: sagemaker:StartPipelineExecution" in told


def test_whoever_asked_cannot_approve(sandbox: Sandbox, card: dict[str, Any]) -> None:
    ds = sandbox.slack.person("U0DS1")
    ds.sees("You asked for this yourself", after=ds.presses(card, "Approve…"))


def test_somebody_without_the_role_cannot_approve(sandbox: Sandbox, card: dict[str, Any]) -> None:
    other = sandbox.slack.person("U0DS2")
    told = other.sees("takes the role ml-engineer", after=other.presses(card, "Approve…"))
    assert "you are data-scientist" in told["words"]


def test_a_second_person_approves_and_the_model_is_in_staging(
    sandbox: Sandbox, card: dict[str, Any], in_staging: str
) -> None:
    ml = sandbox.slack.person("U0ML1")
    shown = ml.sees("Approved", "used", ts=card["ts"])
    assert "Approve…" not in buttons(shown)
    ml.asks(f"registry show {in_staging} --env staging", "Approved", "U0DS1", "U0ML1")


def test_a_button_pressed_twice_does_nothing_the_second_time(
    sandbox: Sandbox, card: dict[str, Any], in_staging: str
) -> None:
    """The second person still has the old message on their screen."""
    other = sandbox.slack.person("U0ML2")
    with pytest.raises(httpx.HTTPStatusError):
        other.presses(card, "Approve…")  # the message has changed: there is no such button any more
    identity = buttons(card)["Approve…"].split()[-1]
    other.asks(f"approvals approve {identity}", "already")


def test_a_rejected_request_changes_nothing(sandbox: Sandbox, in_staging: str) -> None:
    ds, ml = sandbox.slack.person("U0DS1"), sandbox.slack.person("U0ML2")
    after = ds.types("registry request 1 --to staging")
    asked = ds.sees("Approval needed", button="Reject…", after=after)
    why = ml.sees("Say why", after=ml.presses(asked, "Reject…"))
    ml.sees("Rejected", "not good enough", after=ml.presses(why, "The metrics are not good enough"))
    told = ml.asks("registry list --env staging", "in staging")["words"]
    assert f"v{int(in_staging) + 1}" not in told


def test_aws_denies_a_data_scientist_a_deployment_to_staging(sandbox: Sandbox, in_staging: str) -> None:
    ds = sandbox.slack.person("U0DS1")
    told = ds.asks(f"deployment create --env staging --version {in_staging}", "AWS said no")["words"]
    assert "assumed-role/groundcrew-data-scientist/U0DS1-" in told
    assert "is not authorized to perform" in told
    aws = f"http://127.0.0.1:{sandbox.port('aws')}"
    assert any("AccessDenied" in call["errorCode"] for call in evidence.calls(aws, "T0GC.U0DS1", errors=True))


def test_an_endpoint_that_is_being_created_says_so(endpoint: dict[str, Any]) -> None:
    assert "groundcrew-staging-detector" in endpoint["early"]["words"]
    assert any(word in endpoint["early"]["words"] for word in ("Creating", "created", "no endpoint"))


def test_staging_finds_what_the_labels_of_a_photo_say(sandbox: Sandbox, endpoint: dict[str, Any]) -> None:
    photo = evidence.labelled_photo(sandbox.state / "survey")
    ml = sandbox.slack.person("U0ML1")
    answer = ml.asks(f"deployment predict survey/images/{photo.path.name} --env staging", " on ", photo.path.name)
    assert 0 < evidence.changed(sandbox.slack.bytes_of(evidence.picture(answer)), photo) < 0.5
    assert evidence.recall(answer, photo) >= 0.5


def test_a_photo_that_does_not_exist_is_answered_with_the_nearest(ds: Person) -> None:
    told = ds.asks("deployment predict survey/images/flight01_000.jpg --env dev", "There is no photo", "Nearest")
    assert "flight01_00" in told["words"].split("Nearest")[1]


def test_a_file_that_is_no_image_is_said_so(sandbox: Sandbox) -> None:
    person = sandbox.slack.person("U0DS1", "C0PHOTOS")
    message = person.uploads("notes.txt", b"no photo at all")
    person.sees("notes.txt", "not a picture", after=person.chooses(message, "detect_objects"))


def test_a_message_without_a_file_has_nothing_to_detect(sandbox: Sandbox) -> None:
    person = sandbox.slack.person("U0DS1", "C0PHOTOS")
    message = sandbox.slack.act("say", user="U0DS1", channel="C0PHOTOS", text="nothing here")
    told = person.sees("photo", after=person.chooses(message, "detect_objects"), author="U0BOT")
    assert told["words"]


def test_the_shortcut_detects_on_a_photo_nobody_trained_on(sandbox: Sandbox, endpoint: dict[str, Any]) -> None:
    person = sandbox.slack.person("U0ML1", "C0PHOTOS")
    photo = evidence.new_photo(sandbox.state, seed=4711)
    message = person.uploads(photo.path.name, photo.path.read_bytes())
    answer = person.sees(" on ", photo.path.name, after=person.chooses(message, "detect_objects"), author="U0BOT")
    assert 0 < evidence.changed(sandbox.slack.bytes_of(evidence.picture(answer)), photo) < 0.5
    assert evidence.recall(answer, photo) >= 0.5


def test_a_deletion_asks_first_and_then_happens(sandbox: Sandbox, endpoint: dict[str, Any]) -> None:
    ml = sandbox.slack.person("U0ML1")
    question = ml.asks("deployment delete --env staging", "Really", button="Yes, do it")
    ml.asks("deployment status --env staging", "in service")
    after = ml.presses(question, "Yes, do it")
    ml.sees("groundcrew-staging-detector: deleted", after=after, seconds=120)
    ml.asks("deployment predict --env staging", "groundcrew-staging-detector", "deployment create")


def test_the_audit_table_closed_what_it_opened_with_the_outcome(sandbox: Sandbox, in_staging: str) -> None:
    opened, closed = evidence.audit(sandbox.state)
    assert opened == closed > 0
