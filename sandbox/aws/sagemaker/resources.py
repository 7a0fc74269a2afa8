"""What exists in the account: every SageMaker resource by kind and name, its tags, and how lists of them are cut.

A record's `body` is what its Describe call answers. Whoever changes a record holds `Resources.lock`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sandbox.aws.sagemaker.errors import ValidationException

Body = dict[str, Any]


@dataclass
class Record:
    """One resource. `kind` is the word in its ARN, such as `training-job`."""

    kind: str
    name: str
    arn: str
    body: Body
    tags: dict[str, str] = field(default_factory=dict)


def now() -> datetime:
    """The present moment, to the millisecond, as AWS reports it."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def tag_map(tags: Iterable[Mapping[str, str]] | None) -> dict[str, str]:
    """AWS's list of `{"Key","Value"}` as a mapping; a later value replaces an earlier one."""
    return {tag["Key"]: tag["Value"] for tag in tags or ()}


class Resources:
    """All records of one account and region."""

    def __init__(self, account: str, region: str, lock: Any) -> None:
        self.account = account
        self.region = region
        self.lock = lock
        self._kinds: dict[str, dict[str, Record]] = {}

    def arn(self, kind: str, name: str) -> str:
        """The ARN of a resource of this account, whether it exists or not."""
        return f"arn:aws:sagemaker:{self.region}:{self.account}:{kind}/{name}"

    def name_of(self, kind: str, name_or_arn: str) -> str:
        """The bare name in a name or an ARN (AWS accepts both in many places)."""
        return name_or_arn.removeprefix(self.arn(kind, ""))

    def find(self, kind: str, name_or_arn: str) -> Record | None:
        """The record, or None."""
        return self._kinds.get(kind, {}).get(self.name_of(kind, name_or_arn))

    def all(self, kind: str) -> list[Record]:
        """Every record of a kind, oldest first."""
        with self.lock:
            return list(self._kinds.get(kind, {}).values())

    def add(self, record: Record) -> Record:
        """Keep a new record; its name must be free (the caller has checked, under the lock)."""
        self._kinds.setdefault(record.kind, {})[record.name] = record
        return record

    def remove(self, record: Record) -> None:
        """Forget a record."""
        del self._kinds[record.kind][record.name]

    def tags_of(self, arn: str) -> Mapping[str, str]:
        """Tags of a resource by its ARN; empty for what does not exist or carries none."""
        record = self._by_arn(arn)
        return dict(record.tags) if record else {}

    def _by_arn(self, arn: str) -> Record | None:
        kind, _, name = arn.removeprefix(self.arn("", "")[:-1]).partition("/")
        return self._kinds.get(kind, {}).get(name)

    def add_tags(self, request: Body) -> Body:
        """AddTags: an existing key gets the new value."""
        with self.lock:
            record = self._tagged(request["ResourceArn"])
            record.tags.update(tag_map(request["Tags"]))
            return {"Tags": _tag_list(record)}

    def delete_tags(self, request: Body) -> Body:
        """DeleteTags."""
        with self.lock:
            record = self._tagged(request["ResourceArn"])
            for key in request["TagKeys"]:
                record.tags.pop(key, None)
            return {}

    def list_tags(self, request: Body) -> Body:
        """ListTags."""
        return {"Tags": _tag_list(self._tagged(request["ResourceArn"]))}

    def _tagged(self, arn: str) -> Record:
        record = self._by_arn(arn)
        if record is None:
            raise ValidationException(f"The request references a resource that does not exist: {arn}")
        return record


def _tag_list(record: Record) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in sorted(record.tags.items())]


def listing(
    records: Iterable[Record],
    request: Mapping[str, Any],
    *,
    status: str = "",
    sort: Mapping[str, str] | None = None,
    order: str = "Descending",
) -> tuple[list[Record], str | None]:
    """One page of a List call and the token of the next.

    `status` is the body's member that `StatusEquals` compares; `sort` maps values of `SortBy` to body members
    (default: `CreationTime`); `order` is what AWS does when `SortOrder` is not given.
    """
    found = [record for record in records if _wanted(record, request, status)]
    member = (sort or {}).get(request.get("SortBy") or "", "CreationTime")
    found.sort(key=lambda record: record.body.get(member) or record.body["CreationTime"])
    if (request.get("SortOrder") or order) == "Descending":
        found.reverse()
    return page(found, request)


def _wanted(record: Record, request: Mapping[str, Any], status: str) -> bool:
    created, changed = record.body["CreationTime"], record.body.get("LastModifiedTime")
    rules = (
        ("NameContains", lambda text: text.lower() in record.name.lower()),
        ("PipelineNamePrefix", record.name.startswith),
        ("StatusEquals", lambda wanted: record.body.get(status) == wanted),
        ("CreationTimeAfter", lambda moment: created >= moment),
        ("CreationTimeBefore", lambda moment: created <= moment),
        ("CreatedAfter", lambda moment: created >= moment),
        ("CreatedBefore", lambda moment: created <= moment),
        ("LastModifiedTimeAfter", lambda moment: changed is not None and changed >= moment),
        ("LastModifiedTimeBefore", lambda moment: changed is not None and changed <= moment),
    )
    return all(holds(_aware(request[key])) for key, holds in rules if request.get(key) is not None)


def _aware(value: Any) -> Any:
    """Moto reads moments of a request without their zone: they are UTC."""
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) and value.tzinfo is None else value


def page(items: Sequence[Any], request: Mapping[str, Any], default: int = 100) -> tuple[list[Any], str | None]:
    """`MaxResults` items from `NextToken` on, and the next token if there are more."""
    token = request.get("NextToken") or "0"
    if not token.isdigit():
        raise ValidationException("Invalid pagination token")
    start, size = int(token), request.get("MaxResults") or default
    end = start + size
    return list(items[start:end]), str(end) if end < len(items) else None
