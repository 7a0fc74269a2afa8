"""The WSGI application in front of moto: nothing reaches a service that was not signed, allowed and recorded."""

from __future__ import annotations

import io
import json
import logging
import re
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from moto.core.request import Request

from sandbox.aws import core, identity, signature
from sandbox.aws.authorize import authorize
from sandbox.aws.calls import SERVICES, Call, read_call, service_of, unknown
from sandbox.aws.errors import AwsError, protocol_of, render
from sandbox.aws.signature import Scope
from sandbox.aws.trail import Trail

log = logging.getLogger(__name__)

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]

CONTROL = "X-Sandbox"
# Doors of moto's own that know no signature: its control API, and a metadata service that hands out credentials.
CLOSED = ("/moto-api", "/latest/meta-data", "/latest/api", "/favicon.ico")
_XML_CODE = re.compile(rb"<Code>([^<]*)</Code>")
_XML_REQUEST = re.compile(rb"(?<=<RequestId>)[^<]*(?=</RequestId>)")
_REPLACED = ("connection", "transfer-encoding", "x-amzn-requestid", "x-amz-request-id")
_XML_MESSAGE = re.compile(rb"<Message>([^<]*)</Message>")


class Incoming(Request):
    """A request as moto's own server would hand it to a response class."""

    from_wsgi_server = True


@dataclass
class Visit:
    """What is known so far about one request; filled while it is examined, so that a refusal can be recorded."""

    request_id: str
    service: str = "unknown"
    scope: Scope | None = None
    principal: identity.Principal | None = None
    call: Call | None = None


class Door:
    """Checks, records and forwards requests to `app` (moto's dispatcher)."""

    def __init__(self, cloud: core.Cloud, trail: Trail, app: Application) -> None:
        self._cloud = cloud
        self._trail = trail
        self._app = app
        self._controls = {"events": self._happen, **cloud.controls}
        self._hosts = {f"{name}:{cloud.port}" for name in ("127.0.0.1", "localhost")}

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        path = environ.get("PATH_INFO", "")
        if environ.get("HTTP_HOST", "").lower() not in self._hosts:
            # A page in a browser may reach loopback under a name of its own (DNS rebinding).
            return _plain(start_response, 403, "This server answers to 127.0.0.1 and localhost only.")
        if path.startswith(CLOSED):
            return _plain(start_response, 403, "Closed.")
        if path.startswith("/_sandbox/"):
            return self._window(Request(environ), start_response)
        environ.pop("HTTP_X_MOTO_ACCOUNT_ID", None)
        visit = Visit(str(uuid.uuid4()))
        request = Request(environ)
        body = request.get_data(cache=True)
        environ["wsgi.input"], environ["CONTENT_LENGTH"] = io.BytesIO(body), str(len(body))
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        try:
            with _modelled(visit):
                self._examine(request, body, visit)
                status, headers, content = self._forward(environ, visit)
        except AwsError as error:
            answer = render(
                error,
                protocol_of(visit.service, request.content_type or ""),
                visit.request_id,
                head=request.method == "HEAD",
            )
            status, headers, content = f"{answer.status} {answer.code}", answer.headers, answer.body
            self._record(visit, request, answer.code, error.message)
        else:
            self._record(visit, request, *_failure(status, headers, content))
        headers, content = _stamped(headers, content, visit)
        if request.method != "HEAD" and not any(name.lower() == "content-length" for name, _ in headers):
            headers.append(("Content-Length", str(len(content))))
        start_response(status, headers)
        return [content]

    def _examine(self, request: Request, body: bytes, visit: Visit) -> None:
        now = datetime.now(UTC)
        visit.scope = scope = _scope(request, visit)
        visit.service, _ = service_of(scope.service, request.path)
        principal = self._cloud.directory.find(scope.key_id)
        if principal is None:
            raise identity.invalid_token()
        identity.check_token(principal, scope.token, now)
        signature.verify(request, body, scope, principal.secret, now)
        visit.principal = principal
        visit.call = read_call(request, scope)
        authorize(self._cloud, visit.call, principal, scope.region, now)
        self._cloud.faults.happen(visit.call)

    def _forward(self, environ: Environ, visit: Visit) -> tuple[str, list[tuple[str, str]], bytes]:
        if visit.scope is None or visit.principal is None or visit.call is None:
            raise AwsError("InternalFailure", "a request passed the door unexamined", 500)
        scope = visit.scope
        # moto routes by this header; a presigned request has it in its address only.
        environ["HTTP_AUTHORIZATION"] = environ.get("HTTP_AUTHORIZATION") or (
            f"{signature.ALGORITHM} Credential={scope.key_id}/{scope.date}/{scope.region}/{scope.service}/aws4_request"
            f", SignedHeaders={';'.join(scope.signed_headers)}, Signature={scope.signature}"
        )
        seen: list[tuple[str, list[tuple[str, str]]]] = []
        with core.answering(visit.principal, visit.call):
            if ours := self._cloud.responses.get(visit.call.service):
                status, given, body = ours.dispatch(Incoming(environ))
                return str(status), [(name, str(value)) for name, value in given.items()], _bytes(body)
            chunks = self._app(environ, lambda status, headers, exc_info=None: seen.append((status, headers)))
            content = b"".join(chunks)
            if close := getattr(chunks, "close", None):
                close()
        line, headers = seen[-1]
        return line, list(headers), content

    def _record(self, visit: Visit, request: Request, code: str | None, message: str | None) -> None:
        self._trail.add(
            visit.call,
            visit.principal,
            request_id=visit.request_id,
            user_agent=request.headers.get("User-Agent", ""),
            error_code=code,
            error_message=message,
            claimed=(visit.service, _claimed_operation(request)),
        )

    def _window(self, request: Request, start_response: StartResponse) -> Iterable[bytes]:
        """Health, the record of calls and a way to let things happen, for the people and tests on this machine."""
        control = self._controls.get(request.path.removeprefix("/_sandbox/"))
        if control and request.method == "POST":
            return _controlled(control, request, start_response)
        if request.path == "/_sandbox/health":
            return _json(start_response, {"status": "ok", "account": self._cloud.account, "region": self._cloud.region})
        if request.path == "/_sandbox/calls":
            limit = request.args.get("limit", 200, type=int)
            args = request.args
            person, since = args.get("source_identity") or None, args.get("since") or None
            try:
                found = self._trail.find(source_identity=person, since=since, limit=limit)
            except ValueError as error:
                return _plain(start_response, 400, str(error))
            return _json(start_response, found)
        posts = ", ".join(f"/_sandbox/{name}" for name in sorted(self._controls))
        return _plain(start_response, 404, f"There is /_sandbox/health and /_sandbox/calls, and POST {posts}.")

    def _happen(self, body: Any) -> dict[str, int]:
        """Publish one event or a list of them as AWS's services do; answered when all are delivered."""
        events = body if isinstance(body, list) else [body]
        targets = sum(self._cloud.events.publish(event) for event in events)
        self._cloud.events.settle()
        return {"events": len(events), "deliveries": targets}


def _controlled(control: core.Control, request: Request, start_response: StartResponse) -> Iterable[bytes]:
    if request.headers.get(CONTROL) != "1":
        # A page of another origin cannot send this header without asking first, and is never allowed to.
        return _plain(start_response, 403, f"Send the header {CONTROL}: 1.")
    try:
        return _json(start_response, control(json.loads(request.get_data())))
    except (ValueError, TypeError, KeyError, AwsError) as error:
        return _plain(start_response, 400, f"This cannot happen: {error}.")


def _scope(request: Request, visit: Visit) -> Scope:
    """The signature's claims. The service is guessed first, so that a refusal speaks its protocol."""
    authorization = request.headers.get("Authorization", "")
    named = authorization.split("/")[3:4]
    if named:
        visit.service = SERVICES.get(named[0], (named[0], ""))[0]
    elif "X-Amz-Target" not in request.headers and "Action" not in request.values:
        visit.service = "s3"
    return signature.read_scope(request)


def _claimed_operation(request: Request) -> str:
    target = request.headers.get("X-Amz-Target", "").rpartition(".")[2]
    return target or request.values.get("Action", "") or f"{request.method} {request.path}"[:100]


@contextmanager
def _modelled(visit: Visit) -> Iterator[None]:
    """Turn what moto raises into errors an SDK understands: not implemented is not worth a retry, a bug is a 500."""
    try:
        yield
    except AwsError as error:
        if error.code == "UnknownOperationException":
            log.warning("%s", error.message)
        raise
    except NotImplementedError as error:
        operation = visit.call.operation if visit.call else ""
        log.warning("not implemented: %s %s", visit.service, operation)
        raise unknown(visit.service, operation) from error
    except Exception as error:
        log.exception("%s failed inside the stand-in", visit.call or visit.service)
        raise AwsError("InternalFailure", f"{type(error).__name__} inside the local AWS, see its log", 500) from error


def _failure(status: str, headers: list[tuple[str, str]], content: bytes) -> tuple[str | None, str | None]:
    """(code, message) of a service's own error answer."""
    if int(status.split()[0]) < 400:
        return None, None
    if content[:1] == b"{":
        try:
            body = json.loads(content)
        except ValueError:
            body = {}
        code = str(body.get("__type", "")).rpartition("#")[2]
        code = code or next((value for name, value in headers if name.lower() == "x-amzn-errortype"), "")
        return code or status, body.get("message") or body.get("Message")
    code_found, message = _XML_CODE.search(content), _XML_MESSAGE.search(content)
    return (code_found[1].decode() if code_found else status), (message[1].decode() if message else None)


def _stamped(headers: list[tuple[str, str]], content: bytes, visit: Visit) -> tuple[list[tuple[str, str]], bytes]:
    """The answer under the request id of the record, whichever moto made up, so that the two can be joined."""
    kept = [(name, value) for name, value in headers if name.lower() not in _REPLACED]
    kept.append(("x-amz-request-id" if visit.service == "s3" else "x-amzn-RequestId", visit.request_id))
    # An S3 object may be XML too, and is nobody's to change; S3 names its ids in the headers.
    if visit.service != "s3" and content[:1] == b"<":
        content = _XML_REQUEST.sub(visit.request_id.encode(), content)
        kept = [(name, value) for name, value in kept if name.lower() != "content-length"]
    return kept, content


def _bytes(body: str | bytes) -> bytes:
    return body.encode() if isinstance(body, str) else body


def _plain(start_response: StartResponse, status: int, text: str) -> Iterable[bytes]:
    body = text.encode()
    start_response(
        f"{status} Refused",
        [("Content-Type", "text/plain"), ("Content-Length", str(len(body))), ("Connection", "close")],
    )
    return [body]


def _json(start_response: StartResponse, value: Any) -> Iterable[bytes]:
    body = json.dumps(value, default=str).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
