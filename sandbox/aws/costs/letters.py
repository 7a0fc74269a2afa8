"""How AWS Budgets words a letter: plain text through SNS, the only way it tells anybody."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from sandbox.aws.costs.ledger import Ledger


def letter(
    ledger: Ledger, name: str, limit: Decimal, notification: Mapping[str, Any], threshold: Decimal, amount: Decimal
) -> tuple[str, str]:
    """Subject and text of the letter that a threshold of a budget was passed."""
    kind, day = notification["NotificationType"], ledger.now()
    shown, over, of = (f"${each:,.2f}" for each in (amount, threshold, limit))
    tense = "is forecasted to exceed" if kind == "FORECASTED" else "has exceeded"
    text = f"""AWS Budget Notification {day:%B} {day.day}, {day.year}
AWS Account {ledger.account}

Dear AWS Customer,

You requested that we alert you when the {kind} Cost associated with your {name} budget is greater than {over} \
for the current month. The {kind} Cost associated with this budget is {shown}. You can find additional details below \
and by accessing the AWS Budgets dashboard [1].

Budget Name: {name}
Budget Type: Cost
Budgeted Amount: {of}
Alert Type: {kind}
Alert Threshold: > {over}
{kind} Amount: {shown}

[1] https://console.aws.amazon.com/billing/home#/budgets
"""
    return f"AWS Budgets: {name} {tense} your alert threshold"[:100], text
