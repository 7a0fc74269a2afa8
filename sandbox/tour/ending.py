"""What it cost, and ending what still costs: a digest of the bill, an idle endpoint, then all of dev."""

from __future__ import annotations

from sandbox import evidence
from sandbox.tour.story import DEPLOYING_SECONDS, Step, Tour, holds


def digested(tour: Tour) -> None:
    """The cost digest is posted for everybody: yesterday, the month, the forecast, a picture."""
    before = tour.ml.types("cost digest now")
    message = tour.slack.person("U0STK").sees("Cost of", "Month to date", "Forecast of", "Budget", after=before)
    picture = tour.slack.bytes_of(evidence.picture(message))
    holds(picture.startswith(b"\x89PNG"), "the digest has no picture")


def ended(tour: Tour) -> None:
    """Staging's endpoint is ended from the message that says what it costs a month, after asking."""
    told = tour.ml.asks("cost idle --env staging --days 0", "Idle in staging", "groundcrew-staging-detector", "USD")
    before = tour.ml.presses(told, "Delete the deployment in staging…")
    question = tour.ml.sees("Really delete", after=before, button="Yes, do it")
    before = tour.ml.presses(question, "Yes, do it")
    tour.ml.sees("groundcrew-staging-detector: deleted", after=before, seconds=DEPLOYING_SECONDS)


def cleaned_up(tour: Tour) -> None:
    """Dev is cleaned up, its name typed out: nothing is left that costs by the hour."""
    tour.ds.asks("cleanup plan dev", "groundcrew-dev-detector", "USD a month", "cleanup apply dev --confirm dev")
    tour.ds.asks("cleanup apply dev --confirm prod", "nothing was done")
    before = tour.ds.types("cleanup apply dev --confirm dev")
    tour.ds.sees("Cleaned up dev", "USD a month", after=before, seconds=DEPLOYING_SECONDS)
    for person, env in ((tour.ds, "dev"), (tour.ml, "staging"), (tour.ml, "prod")):
        person.asks(f"cleanup plan {env}", f"Nothing in {env} runs or is left over")
    names = [call["eventName"] for call in evidence.calls(tour.aws, "T0GC.U0DS1")]
    holds(names.count("DeleteStack") == 1, f"AWS has this person's calls as {names}")


STEPS: tuple[Step, ...] = (
    digested,
    ended,
    cleaned_up,
)
