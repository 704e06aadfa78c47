"""What each refusal of a store means for the run."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from engine.model.errors import Blocked, Operation, Paused, Refused, Transient
from engine.model.failures import FailureClass as F
from engine.s3.api.answers import StoreError
from engine.s3.api.faults import PATIENCE_S, Patience, Side, meaning

S, D = Side.SOURCE, Side.DESTINATION

GET, PUT = Operation("GET", "s3://b/k"), Operation("PUT", destination="s3://b/k")

TABLE = [
    ("NoSuchKey", 404, S, Refused, F.SOURCE_MISSING),
    ("404", 404, S, Refused, F.SOURCE_MISSING),
    ("NoSuchVersion", 404, S, Refused, F.SOURCE_MISSING),
    ("MethodNotAllowed", 405, S, Refused, F.SOURCE_MISSING),
    ("NoSuchKey", 404, D, Transient, F.NETWORK),
    ("AccessDenied", 403, S, Refused, F.SOURCE_DENIED),
    ("403", 403, S, Refused, F.SOURCE_DENIED),
    ("AccessDenied", 403, D, Refused, F.DESTINATION_DENIED),
    ("KMS.DisabledException", 400, S, Refused, F.SOURCE_DENIED),
    ("KMS.DisabledException", 400, D, Blocked, None),
    ("InvalidObjectState", 403, S, Refused, F.ARCHIVED),
    ("NoSuchBucket", 404, S, Blocked, None),
    ("NoSuchBucket", 404, D, Blocked, None),
    ("SlowDown", 503, S, Transient, F.THROTTLED),
    ("503", 503, D, Transient, F.THROTTLED),
    ("429", 429, D, Transient, F.THROTTLED),
    ("KMS.ThrottlingException", 400, D, Transient, F.THROTTLED),
    ("InternalError", 500, D, Transient, F.NETWORK),
    ("502", 502, S, Transient, F.NETWORK),
    ("RequestTimeout", 400, D, Transient, F.NETWORK),
    ("IncompleteBody", 400, D, Transient, F.NETWORK),
    ("Unreachable", 0, S, Transient, F.NETWORK),
    ("TimedOut", 0, D, Transient, F.NETWORK),
    ("NoETag", 200, D, Transient, F.NETWORK),
    ("BadAnswer", 0, D, Transient, F.NETWORK),
    ("PreconditionFailed", 412, S, Transient, F.SOURCE_CHANGED),
    ("304", 304, S, Transient, F.SOURCE_CHANGED),
    ("PreconditionFailed", 412, D, Transient, F.NETWORK),
    ("ConditionalRequestConflict", 409, D, Transient, F.NETWORK),
    ("OperationAborted", 409, D, Transient, F.NETWORK),
    ("NoSuchUpload", 404, D, Transient, F.NETWORK),
    ("ExpiredToken", 400, D, Transient, F.NETWORK),
    ("RequestTimeTooSkewed", 403, D, Transient, F.NETWORK),
    ("BadDigest", 400, D, Transient, F.CHECKSUM_MISMATCH),
    ("XAmzContentSHA256Mismatch", 400, D, Transient, F.CHECKSUM_MISMATCH),
    ("EntityTooLarge", 400, D, Refused, F.TOO_LARGE),
    ("KeyTooLongError", 400, D, Refused, F.BAD_KEY),
    ("InvalidArgument", 400, D, Refused, F.REJECTED),
    ("MetadataTooLarge", 400, D, Refused, F.REJECTED),
    ("SignatureDoesNotMatch", 403, S, Blocked, None),
    ("InvalidAccessKeyId", 403, D, Blocked, None),
    ("TlsFailed", 0, S, Transient, F.NETWORK),
    ("InvalidStorageClass", 400, D, Blocked, None),
    ("NotImplemented", 501, D, Blocked, None),
    ("PermanentRedirect", 301, D, Blocked, None),
    ("307", 307, S, Refused, F.REDIRECTED),
    ("307", 307, D, Blocked, None),
]


@pytest.mark.parametrize(("code", "status", "side", "kind", "failure"), TABLE)
def test_every_refusal_has_its_meaning(
    code: str, status: int, side: Side, kind: type[Exception], failure: F | None
) -> None:
    found = meaning(StoreError(code, status, "why"), side)
    assert type(found) is kind
    assert getattr(found, "failure", None) is failure
    assert code in str(found)
    if isinstance(found, Blocked):
        assert found.hint


def test_an_error_says_first_what_was_tried_and_on_what() -> None:
    operation = Operation("COPY", "s3://theirs/a", "s3://ours/b")
    found = Patience(Hands(), S).translate(StoreError("AccessDenied", 403, "why"), operation)
    assert found.operation == operation
    assert str(found).startswith("COPY s3://theirs/a to s3://ours/b: the source object may not be read")


def test_the_servers_wish_to_wait_is_kept() -> None:
    found = meaning(StoreError("SlowDown", 503, retry_after_s=9.0), D)
    assert isinstance(found, Transient)
    assert found.retry_after_s == 9.0


def test_another_region_is_named_in_the_hint() -> None:
    found = meaning(StoreError("301", 301, region="eu-west-1"), D)
    assert isinstance(found, Blocked)
    assert found.hint == "set destination.region: eu-west-1"


class Hands:
    """A clock moved by hand."""

    moment = 1000.0

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)

    def monotonic(self) -> float:
        return self.moment

    async def sleep(self, seconds: float) -> None:
        self.moment += seconds

    def random(self) -> float:
        return 0.5


LOGINS = [("RequestTimeTooSkewed", "clock"), ("ExpiredToken", "expired"), ("InvalidAccessKeyId", "unknown")]


@pytest.mark.parametrize(("code", "says"), LOGINS)
def test_keys_that_were_good_are_waited_for_a_while_and_then_the_run_pauses(code: str, says: str) -> None:
    clock = Hands()
    patience = Patience(clock, D, lambda: None)
    patience.well()
    error = StoreError(code, 403)
    waits = patience.translate(error, PUT)
    assert isinstance(waits, Transient)
    assert waits.patient
    clock.moment += PATIENCE_S + 1
    final = patience.translate(error, PUT)
    assert isinstance(final, Paused)
    assert says in str(final)
    assert final.hint
    patience.well()
    assert isinstance(patience.translate(error, PUT), Transient)


@pytest.mark.parametrize(("code", "says"), LOGINS)
def test_keys_that_never_were_good_are_refused_at_once(code: str, says: str) -> None:
    with pytest.raises(Blocked, match=says):
        raise Patience(Hands(), D).translate(StoreError(code, 403), PUT)


def test_fixed_keys_that_have_expired_are_not_waited_for_but_a_clock_is() -> None:
    patience = Patience(Hands(), S)
    patience.well()
    assert isinstance(patience.translate(StoreError("ExpiredToken", 400), GET), Paused)
    assert isinstance(patience.translate(StoreError("RequestTimeTooSkewed", 403), GET), Transient)


@pytest.mark.parametrize(
    ("code", "status", "side", "kind", "failure"),
    [
        ("SignatureDoesNotMatch", 403, S, Refused, F.SOURCE_DENIED),
        ("SignatureDoesNotMatch", 403, D, Refused, F.DESTINATION_DENIED),
        ("AuthorizationHeaderMalformed", 400, S, Refused, F.SOURCE_DENIED),
        ("NoSuchBucket", 404, D, Refused, F.DESTINATION_DENIED),
        ("307", 307, D, Refused, F.DESTINATION_DENIED),
        ("PermanentRedirect", 301, S, Refused, F.REDIRECTED),
        ("ExpiredToken", 400, S, Transient, F.NETWORK),
        ("RequestTimeTooSkewed", 403, D, Transient, F.NETWORK),
    ],
)
def test_what_one_request_alone_is_told_is_that_records_failure(
    code: str, status: int, side: Side, kind: type[Exception], failure: F
) -> None:
    error = StoreError(code, status, "why")
    error.alone = True
    for found in (meaning(error, side), Patience(Hands(), side).translate(error, GET)):
        assert type(found) is kind
        assert getattr(found, "failure", None) is failure
        assert not getattr(found, "patient", False)


def test_a_setting_that_the_store_does_not_take_needs_two_witnesses() -> None:
    patience = Patience(Hands(), D)
    unfit = StoreError("NotImplemented", 501)
    first = patience.translate(unfit, Operation("PUT", destination="s3://b/one"))
    assert isinstance(first, Refused)
    assert "storage_class" in str(first)
    assert isinstance(patience.translate(unfit, Operation("PUT", destination="s3://b/one")), Refused)
    assert isinstance(patience.translate(unfit, Operation("PUT", destination="s3://b/two")), Blocked)
    patience.wrote = True
    assert isinstance(patience.translate(unfit, Operation("PUT", destination="s3://b/three")), Refused)
