"""`canary.failed`: requests that failed on the old fleet while a canary answered 500 and was rolled back, of a stream.

People ask without a pause from before the change until after it was taken back; which fleet answered whom is counted by
CloudWatch, by endpoint configuration. Time in the account is let pass, so that the alarm need not be waited for.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.figures import Figure, Figures, main, say
from tests.sandbox.canary import BAD, ENDPOINT, GOOD, Traffic, answered, begin, over, package, running, stage
from tests.sandbox.test_monitoring import Account, eventually

ROUNDS = 3
ASKED = 300
"""Answers that a round gathers at least before time passes."""


def measure() -> Figures:
    """Of several canaries, one after the other on the same endpoint."""
    with tempfile.TemporaryDirectory(prefix="groundcrew-bench-") as folder, running(Path(folder)) as account:
        begin(account, package(account, GOOD, "good"), "good")
        if over(account).failed:
            raise RuntimeError(f"{ENDPOINT} could not be deployed")
        bad = package(account, BAD, "bad")
        for number in range(ROUNDS):
            with Traffic(account, people=4) as traffic:
                begin(account, bad, f"bad-{number}", CanaryPercent="50")
                roll_back(account, traffic)
            account.passes(minutes=10)  # what happened is over before the next begins
            if not eventually(lambda: account.alarm(f"{ENDPOINT}-5xx") == "OK", True, 30):
                raise RuntimeError("the alarm does not clear")
        old, new = answered(account, GOOD), answered(account, BAD)
    say(f"old fleet: {old['asked']:.0f} asked, {old['failed']:.0f} failed; canaries: {new['asked']:.0f} asked")
    if not old["asked"] or new["failed"] != new["asked"] or not new["asked"]:
        raise RuntimeError(f"that was no canary: old fleet {old}, canaries {new}")
    return {"canary.failed": Figure(old["failed"], "requests")}


def roll_back(account: Account, traffic: Traffic) -> None:
    """Let minutes pass until the alarm has taken the change back. Raises RuntimeError when it was not."""
    if eventually(lambda: stage(account), "Baking", 30) != "Baking":
        raise RuntimeError("the canary was never given traffic")
    more(traffic, ASKED)
    for _ in range(3):
        account.passes(seconds=60)
        more(traffic, 20)
    if over(account).status != "UPDATE_ROLLBACK_COMPLETE":
        raise RuntimeError("the canary was not rolled back")


def more(traffic: Traffic, count: int) -> None:
    """Wait for so many more answers."""
    enough = len(traffic.seen) + count
    eventually(lambda: len(traffic.seen) > enough, True, 60)


if __name__ == "__main__":
    main(__doc__ or "", measure)
