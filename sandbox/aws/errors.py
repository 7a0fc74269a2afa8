"""Refusals of the local AWS, written in the dialect of the service that was called."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from xml.sax.saxutils import escape


class AwsError(Exception):
    """An error as AWS answers it. The code is the query protocol's; `render` gives it the name other protocols use."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


@dataclass(frozen=True)
class Answer:
    """Status, code, headers and body of an error in one protocol."""

    status: int
    code: str
    headers: list[tuple[str, str]]
    body: bytes


def protocol_of(service: str, content_type: str) -> str:
    """The wire protocol of a request: `cbor`, `query`, `rest-xml` (S3), `rest-json` (the runtime) or `json`."""
    if content_type.startswith("application/cbor"):
        return "cbor"
    if service == "s3":
        return "rest-xml"
    if service == "sagemaker-runtime":
        return "rest-json"
    return "query" if content_type.startswith("application/x-www-form-urlencoded") else "json"


# The same refusals have other names, and other statuses, outside the query protocol.
_JSON_NAMES = {
    "AccessDenied": "AccessDeniedException",
    "ExpiredToken": "ExpiredTokenException",
    "IncompleteSignature": "IncompleteSignatureException",
    "InvalidClientTokenId": "UnrecognizedClientException",
    "MissingAuthenticationToken": "MissingAuthenticationTokenException",
    "SignatureDoesNotMatch": "InvalidSignatureException",
}
_S3_NAMES = {
    "IncompleteSignature": "AuthorizationHeaderMalformed",
    "InvalidClientTokenId": "InvalidAccessKeyId",
    "MissingAuthenticationToken": "AccessDenied",
}


def render(error: AwsError, protocol: str, request_id: str, *, head: bool = False) -> Answer:
    """The error as bytes; `head` leaves the body out, as HTTP wants for HEAD."""
    code, status = error.code, error.status
    if protocol in ("json", "cbor", "rest-json"):
        code = _JSON_NAMES.get(code, code)
        status = 400 if status == 403 and protocol != "rest-json" else status
    elif protocol == "rest-xml":
        code = _S3_NAMES.get(code, code)
        status = 400 if code == "ExpiredToken" else status
    body, content_type, extra = _WRITERS[protocol](code, error.message, request_id)
    headers = [("Content-Type", content_type), ("x-amzn-RequestId", request_id), *extra]
    return Answer(status, code, headers, b"" if head else body)


Written = tuple[bytes, str, list[tuple[str, str]]]


def _json(code: str, message: str, request_id: str) -> Written:
    body = json.dumps({"__type": code, "message": message, "Message": message})
    return body.encode(), "application/x-amz-json-1.1", [("x-amzn-ErrorType", code)]


def _query(code: str, message: str, request_id: str) -> Written:
    body = (
        f"<ErrorResponse><Error><Type>Sender</Type><Code>{escape(code)}</Code>"
        f"<Message>{escape(message)}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
    )
    return body.encode(), "text/xml", []


def _rest_xml(code: str, message: str, request_id: str) -> Written:
    body = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{escape(code)}</Code>'
        f"<Message>{escape(message)}</Message><RequestId>{request_id}</RequestId></Error>"
    )
    return body.encode(), "application/xml", [("x-amz-request-id", request_id)]


def _cbor(code: str, message: str, request_id: str) -> Written:
    """RFC 8949: a map of two text strings."""
    body = b"\xa2" + b"".join(_cbor_text(text) for text in ("__type", code, "message", message))
    return body, "application/cbor", [("smithy-protocol", "rpc-v2-cbor")]


def _cbor_text(text: str) -> bytes:
    data = text.encode()
    return b"\x7a" + struct.pack(">I", len(data)) + data


_WRITERS = {"json": _json, "rest-json": _json, "query": _query, "rest-xml": _rest_xml, "cbor": _cbor}
