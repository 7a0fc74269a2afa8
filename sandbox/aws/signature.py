"""Signature Version 4: in the Authorization header, or (S3 only) in the query string of a presigned URL."""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, unquote_plus

from moto.core.request import Request

from sandbox.aws.errors import AwsError

ALGORITHM = "AWS4-HMAC-SHA256"
SKEW = timedelta(minutes=5)
S3_SKEW = timedelta(minutes=15)
LONGEST_PRESIGNED = 604_800
UNSIGNED = "UNSIGNED-PAYLOAD"
# Forms of x-amz-content-sha256 that do not hash the body as a whole.
_UNHASHED = re.compile(r"UNSIGNED-PAYLOAD|STREAMING-[A-Z0-9-]+")
_HEADER = re.compile(
    ALGORITHM + r" Credential=([^/, ]+)/(\d{8})/([a-z0-9-]+)/([a-z0-9-]+)/aws4_request, ?"
    r"SignedHeaders=([a-z0-9;._-]+), ?Signature=([0-9a-f]{64})"
)
_KEY_ID = re.compile(r"[A-Z0-9]{20}")


@dataclass(frozen=True)
class Scope:
    """Who signed what, as the request claims it; nothing here is proven before `verify`."""

    key_id: str
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str
    token: str | None
    time: datetime
    presigned: bool
    expires: int = 0


def read_scope(request: Request) -> Scope:
    """The claims of a signed request. Raises AwsError for one that is not signed, or not in this form."""
    if "Authorization" in request.headers:
        if "X-Amz-Signature" in request.args:
            raise AwsError("InvalidArgument", "Only one auth mechanism allowed.")
        found = _HEADER.fullmatch(request.headers["Authorization"].strip())
        if found is None:
            raise AwsError("IncompleteSignature", "The Authorization header is not a Signature Version 4 header.", 403)
        key_id, date, region, service, signed, signature = found.groups()
        when = _time(request.headers.get("X-Amz-Date", ""))
        token = request.headers.get("X-Amz-Security-Token")
        scope = Scope(key_id, date, region, service, tuple(signed.split(";")), signature, token, when, False)
    elif "X-Amz-Signature" in request.args:
        scope = _presigned(request)
    else:
        raise AwsError("MissingAuthenticationToken", "Missing Authentication Token", 403)
    if not _KEY_ID.fullmatch(scope.key_id):
        raise AwsError("InvalidClientTokenId", "The security token included in the request is invalid.", 403)
    return scope


def _presigned(request: Request) -> Scope:
    args = request.args
    credential = args.get("X-Amz-Credential", "").split("/")
    expires = args.get("X-Amz-Expires", "")
    if len(credential) != 5 or args.get("X-Amz-Algorithm") != ALGORITHM or not expires.isdigit():
        raise AwsError("AuthorizationQueryParametersError", "Error parsing the X-Amz-Credential parameter.")
    key_id, date, region, service, _ = credential
    if service != "s3":
        raise AwsError("IncompleteSignature", "Only S3 requests may be presigned here.", 403)
    if int(expires) > LONGEST_PRESIGNED:
        raise AwsError("AuthorizationQueryParametersError", "X-Amz-Expires must be less than a week (in seconds).")
    signed = tuple(args.get("X-Amz-SignedHeaders", "").split(";"))
    when, token = _time(args.get("X-Amz-Date", "")), args.get("X-Amz-Security-Token")
    return Scope(key_id, date, region, service, signed, args["X-Amz-Signature"], token, when, True, int(expires))


def _time(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError as error:
        raise AwsError("IncompleteSignature", "X-Amz-Date is missing or malformed.", 403) from error


def verify(request: Request, body: bytes, scope: Scope, secret: str, now: datetime) -> None:
    """Prove that the holder of `secret` made this request, recently. Raises AwsError."""
    _check_time(scope, now)
    if not {"host"} <= set(scope.signed_headers):
        raise _mismatch()
    payload = _payload_hash(request, body, scope)
    canonical = "\n".join(
        [
            request.method,
            _canonical_path(request, scope),
            _canonical_query(request),
            "".join(f"{name}:{_header(request, name)}\n" for name in scope.signed_headers),
            ";".join(scope.signed_headers),
            payload,
        ]
    )
    stamp = scope.time.strftime("%Y%m%dT%H%M%SZ")
    place = f"{scope.date}/{scope.region}/{scope.service}/aws4_request"
    text = "\n".join([ALGORITHM, stamp, place, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{secret}".encode()
    for part in (scope.date, scope.region, scope.service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    wanted = hmac.new(key, text.encode(), "sha256").hexdigest()
    if not hmac.compare_digest(wanted, scope.signature):
        raise _mismatch()


def _mismatch() -> AwsError:
    return AwsError(
        "SignatureDoesNotMatch",
        "The request signature we calculated does not match the signature you provided. "
        "Check your AWS Secret Access Key and signing method.",
        403,
    )


def _check_time(scope: Scope, now: datetime) -> None:
    if not scope.time.strftime("%Y%m%d") == scope.date:
        raise _mismatch()
    if scope.presigned:
        if now > scope.time + timedelta(seconds=scope.expires):
            raise AwsError("AccessDenied", "Request has expired", 403)
        if scope.time > now + S3_SKEW:
            raise AwsError("AccessDenied", "Request is not yet valid", 403)
    elif abs(now - scope.time) > (S3_SKEW if scope.service == "s3" else SKEW):
        code = "RequestTimeTooSkewed" if scope.service == "s3" else "SignatureDoesNotMatch"
        raise AwsError(code, f"Signature expired: {scope.time:%Y%m%dT%H%M%SZ} is not near {now:%Y%m%dT%H%M%SZ}", 403)


def _payload_hash(request: Request, body: bytes, scope: Scope) -> str:
    claimed = request.headers.get("X-Amz-Content-SHA256")
    if scope.presigned:
        return claimed or UNSIGNED
    if scope.service == "s3" and claimed is not None and _UNHASHED.fullmatch(claimed):
        return claimed
    actual = hashlib.sha256(body).hexdigest()
    if claimed is not None and claimed != actual:
        raise AwsError("XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match.")
    return actual


def _canonical_path(request: Request, scope: Scope) -> str:
    # S3 signs the path as sent; the other services encode it once more.
    return request.raw_path if scope.service == "s3" else quote(request.raw_path, safe="/-_.~")


def _canonical_query(request: Request) -> str:
    pairs = []
    for part in request.query_string.decode("ascii").split("&") if request.query_string else []:
        name, _, value = part.partition("=")
        if unquote_plus(name) != "X-Amz-Signature":
            pairs.append((quote(unquote_plus(name), safe="-_.~"), quote(unquote_plus(value), safe="-_.~")))
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def _header(request: Request, name: str) -> str:
    return " ".join(request.headers.get(name, "").split())
