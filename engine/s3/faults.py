"""What a StoreError means for the run: one table, and how long expired credentials and a wrong clock are forgiven."""

from __future__ import annotations

from enum import StrEnum

from engine.model.errors import Blocked, EngineError, Refused, Transient
from engine.model.failures import FailureClass as F
from engine.pacing.clock import Clock
from engine.s3.answers import StoreError

PATIENCE_S = 90.0
"""How long expired tokens or a skewed clock may last without one success between before the run stops."""


class Side(StrEnum):
    """Whose bucket the request was for."""

    SOURCE = "source"
    DESTINATION = "destination"


THROTTLED = frozenset(
    {
        "SlowDown", "ServiceUnavailable", "Throttling", "ThrottlingException", "TooManyRequests",
        "RequestLimitExceeded", "RequestThrottled", "RequestThrottledException",
        "BandwidthLimitExceeded", "KMS.ThrottlingException",
    }
)  # fmt: skip
UNWELL = frozenset(
    {"InternalError", "RequestTimeout", "IncompleteBody", "NoETag", "BadAnswer", "TooLong", "Unreachable", "TimedOut"}
)
CORRUPT = frozenset({"BadDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch", "InvalidPart"})
STALE_LOGIN = frozenset({"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"})
BAD_LOGIN = {
    "SignatureDoesNotMatch": "the secret key does not match the access key id",
    "InvalidAccessKeyId": "the access key id is unknown to the store",
    "InvalidToken": "the session token is not valid for these keys",
    "InvalidSecurity": "the credentials are not valid",
    "NotSignedUp": "the account is not signed up for S3",
    "AccountProblem": "the account has a problem that only its owner can solve with the provider",
    "AuthorizationQueryParametersError": "the request was signed in a way the store does not take",
}
ELSEWHERE = frozenset(
    {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "TemporaryRedirect"}
)
UNFIT = {
    "InvalidStorageClass": "destination.storage_class",
    "InvalidEncryptionAlgorithmError": "destination.sse",
    "KMS.DisabledException": "destination.kms_key_id",
    "KMS.NotFoundException": "destination.kms_key_id",
    "KMS.InvalidStateException": "destination.kms_key_id",
    "KMS.KMSInvalidStateException": "destination.kms_key_id",
}
SHAPE = {
    "EntityTooLarge": F.TOO_LARGE,
    "KeyTooLongError": F.BAD_KEY,
    "KeyTooLong": F.BAD_KEY,
    "InvalidURI": F.BAD_KEY,
    "InvalidObjectName": F.BAD_KEY,
}


def meaning(error: StoreError, side: Side, what: str) -> EngineError:
    """The error to raise above the adapter. ``what`` names verb, bucket and key for a person."""
    code, status = error.code, error.status
    told = f"{what}: {code}" + (f" ({error.message[:300]})" if error.message else "")
    source = side is Side.SOURCE
    if code in BAD_LOGIN:
        return Blocked(f"{told}: {BAD_LOGIN[code]}", hint=f"check the credentials under {side}: in the settings")
    if code == "TlsFailed":
        return Blocked(told, hint="check endpoint_url, the clock, and network.ca_file where a private CA signs")
    if code in ELSEWHERE or (status == 301 and error.region):
        hint = f"set {side}.region: {error.region}" if error.region else f"set {side}.region to the bucket's region"
        return Blocked(f"{told}: the bucket lives in another region", hint=hint)
    if code == "NoSuchBucket":
        return Blocked(told, hint=f"check the bucket's name and {side}.endpoint_url; buckets are never created here")
    if 300 <= status < 400 and status != 304:
        if source:
            return Refused(F.REDIRECTED, f"{told}: the store answered with a redirect, which is never followed")
        return Blocked(
            f"{told}: the store answered with a redirect, which is never followed", hint="check endpoint_url"
        )
    if code in THROTTLED or status in {429, 503}:
        return Transient(F.THROTTLED, told, retry_after_s=error.retry_after_s)
    if code in STALE_LOGIN or code == "RequestTimeTooSkewed":
        return Transient(F.NETWORK, told)
    if code in UNFIT and not source:
        return Blocked(told, hint=f"check {UNFIT[code]}")
    if error.unsupported and not source:
        return Blocked(told, hint="the store lacks what the settings ask for: check destination.storage_class and sse")
    if code == "BadListing":
        return Refused(F.REJECTED, f"{told}: the store cannot be listed")
    if code == "InvalidObjectState":
        return Refused(F.ARCHIVED, f"{told}: the object must be restored from its archive first")
    if error.missing or code in {"NoSuchKey", "NoSuchVersion"} or status == 405:
        if source:
            return Refused(F.SOURCE_MISSING, f"no such object: {_object(what)} ({_number(error)})")
        return Transient(F.NETWORK, told)  # an object of ours that was there a moment ago
    if status in {412, 304}:
        return Transient(F.SOURCE_CHANGED if source else F.NETWORK, told)
    if status == 403 or code.startswith("KMS."):
        if source:
            said = f"{_object(what)} may not be read, or is missing and may not be listed"
            return Refused(F.SOURCE_DENIED, f"{said} ({told.removeprefix(what + ': ')})")
        return Refused(F.DESTINATION_DENIED, told)
    if code in CORRUPT:
        return Transient(F.CHECKSUM_MISMATCH, told)
    if code in UNWELL or status >= 500 or status == 409 or code == "NoSuchUpload":
        return Transient(F.NETWORK, told, retry_after_s=error.retry_after_s)
    return Refused(SHAPE.get(code, F.REJECTED), told)


def _number(error: StoreError) -> str:
    return error.code if error.code == str(error.status) else f"{error.status} {error.code}"


def _object(what: str) -> str:
    """The source within "HEAD s3://…" or "COPY s3://… to s3://…"."""
    return what.partition(" ")[2].partition(" to s3://")[0]


class Patience:
    """Forgives expired tokens and a skewed clock for a while, then stops the run; any success starts it afresh."""

    def __init__(self, clock: Clock, side: Side) -> None:
        self._clock = clock
        self._side = side
        self._since: float | None = None

    def well(self) -> None:
        """Something succeeded."""
        self._since = None

    def judge(self, error: StoreError, what: str, *, side: Side | None = None) -> EngineError:
        """``meaning``, or Blocked once ``PATIENCE_S`` has passed."""
        skewed = error.code == "RequestTimeTooSkewed"
        if not skewed and error.code not in STALE_LOGIN:
            return meaning(error, side or self._side, what)
        now = self._clock.monotonic()
        self._since = now if self._since is None else self._since
        if now - self._since < PATIENCE_S:
            return meaning(error, side or self._side, what)
        if skewed:
            return Blocked(
                f"{what}: this machine's clock differs from the store's by more than 15 minutes",
                hint="set the clock (timedatectl set-ntp true) and run again",
            )
        return Blocked(f"{what}: the credentials expired and no fresh ones came", hint=f"renew those of {self._side}")
