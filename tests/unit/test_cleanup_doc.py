"""docs/cleanup.md: its commands exist, in Slack and at AWS, with just these options."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import botocore.session
import jmespath
import pytest
from botocore import xform_name

from commands import all_commands

PAGE = (Path(__file__).parents[2] / "docs" / "cleanup.md").read_text(encoding="utf-8")
GLOBAL = {"query", "output", "profile", "region"}
FLAGS = {"force", "bypass-governance-retention"}


def calls() -> Iterator[tuple[str, str, dict[str, str]]]:
    """Service, operation and options of each `aws …` in the page's code; continued lines joined, comments left out."""
    blocks = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    code = re.sub(r"\\\n\s*", " ", "\n".join(blocks))
    inline = re.findall(r"`(aws [^`]+)`", PAGE)
    for found in [*re.findall(r"(?:^|\$\(|do |= |; )\s*(aws [^\n]*)", code, re.MULTILINE), *inline]:
        text = re.split(r"\s+#|\); do|\)$|; done| \|$", found)[0]
        words = shlex.split(text.replace("…", "x"))
        service, operation, *rest = words[1:]
        options: dict[str, str] = {}
        for word in rest:
            if word.startswith("--"):
                name, _, value = word[2:].partition("=")
                options[name] = value
            elif options:
                options[list(options)[-1]] += f" {word}".strip()
        yield service, operation, options


CALLS = list(calls())


def test_the_page_has_them() -> None:
    assert len(CALLS) >= 30
    assert {service for service, _, _ in CALLS} >= {"sagemaker", "cloudformation", "s3api", "logs", "ce", "efs", "ecr"}


@pytest.mark.parametrize(("service", "operation", "options"), CALLS, ids=lambda value: str(value)[:40])
def test_aws_knows_the_call_and_its_options(service: str, operation: str, options: dict[str, str]) -> None:
    if service == "s3" or operation == "wait":  # the command line's own
        return
    session = botocore.session.Session()
    model = session.get_service_model("s3" if service == "s3api" else service)
    by_words = {xform_name(name, "-"): name for name in model.operation_names}
    called = model.operation_model(by_words[operation])
    if "query" in options:
        jmespath.compile(options["query"])
        asked = re.findall(r"(?:^|^\[|, )([A-Z]\w+)(?=[\[,\]]|$)", options["query"].split("][")[0])
        assert asked and set(asked) <= set(called.output_shape.members), options["query"]
    members = called.input_shape.members if called.input_shape else {}
    known = {xform_name(name, "-") for name in members}
    assert set(options) <= known | GLOBAL | FLAGS, f"{service} {operation} takes {sorted(known)}"
    if options:  # a call named in passing has none
        tokens = {name for name, shape in members.items() if shape.metadata.get("idempotencyToken")}
        needed = called.input_shape.required_members if called.input_shape else ()
        assert {xform_name(name, "-") for name in needed if name not in tokens} <= set(options)


def test_the_table_s_commands_exist() -> None:
    lines = re.findall(r"^\| `([^`]+)` \|", PAGE, re.MULTILINE)
    names = [re.split(r" [<\[-]", line)[0] for line in lines]
    assert len(names) == 7
    assert set(names) <= set(all_commands())
