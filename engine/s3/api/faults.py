"""What a StoreError means for the run, and how long a run waits where a store no longer accepts its keys."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from engine.limiting.clock import Clock
from engine.model.errors import Blocked, EngineError, Operation, Paused, Refused, Transient
from engine.model.failures import FailureClass as F
from engine.s3.api.answers import StoreError

PATIENCE_S = 90.0
"""How long keys that once worked may be refused, without one success between, before the run stops."""


class Side(StrEnum):
    """Whose bucket the request was for."""

    SOURCE = "source"
    DESTINATION = "destination"


THROTTLED = frozenset(
    {
        "SlowDown", "ServiceUnavailable", "Throttling", "ThrottlingException", "TooManyRequests",
        "RequestLimitExceeded", "RequestThrottled", "RequestThrottledException",
        "BandwidthLimitExceeded", "KMS.ThrottlingException", "NoFileLeft",
    }
)  # fmt: skip
UNWELL = frozenset(
    {"InternalError", "RequestTimeout", "IncompleteBody", "NoETag", "BadAnswer", "TooLong", "Unreachable", "TimedOut"}
)
CORRUPT = frozenset({"BadDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch", "InvalidPart"})
SKEWED = "RequestTimeTooSkewed"
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
LOGIN = frozenset({SKEWED, *STALE_LOGIN, *BAD_LOGIN})
"""Codes about the keys or the clock: true of all requests, unless this one was signed or passed on oddly."""
ELSEWHERE = frozenset(
    {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "TemporaryRedirect"}
)
_AWAY = frozenset({301, 302, 303, 307, 308})
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


def meaning(error: StoreError, side: Side) -> EngineError:
    """The error to raise above the adapter."""
    code, status, said = error.code, error.status, _said(error)
    source = side is Side.SOURCE
    if code == SKEWED or code in STALE_LOGIN:
        return Transient(F.NETWORK, said)
    if error.alone and not (source and 300 <= status < 400):
        denied = F.SOURCE_DENIED if source else F.DESTINATION_DENIED
        return Refused(denied, f"{said}; other requests with the same keys are served")
    if code in BAD_LOGIN:
        return Blocked(f"{said}: {BAD_LOGIN[code]}", hint=_other_keys(side))
    if code == "ProxyLogin":
        return Transient(F.NETWORK, f"{said}: the proxy wants a login; check network.proxy")
    if code == "TlsFailed":
        hint = "check endpoint_url, the clock, and network.ca_file where a private CA signs"
        return Transient(F.NETWORK, f"{said}; {hint}")
    if not error.alone and (code in ELSEWHERE or (status == 301 and error.region)):
        hint = f"set {side}.region: {error.region}" if error.region else f"set {side}.region to the bucket's region"
        return Blocked(f"{said}: the bucket lives in another region", hint=hint)
    if code == "NoSuchBucket":
        return Blocked(said, hint=f"check the bucket's name and {side}.endpoint_url; buckets are never created here")
    if 300 <= status < 400 and status != 304:
        said = f"{said}: the store answered with a redirect, which is never followed"
        return Refused(F.REDIRECTED, said) if source else Blocked(said, hint="check endpoint_url")
    if code in THROTTLED or status in {429, 503}:
        return Transient(F.THROTTLED, said, retry_after_s=error.retry_after_s)
    if code in UNFIT and not source:
        return Blocked(said, hint=f"check {UNFIT[code]}")
    if error.unsupported and not source:
        return Blocked(said, hint="the store lacks what the settings ask for: check destination.storage_class and sse")
    return _of_the_object(error, side, said)


def _of_the_object(error: StoreError, side: Side, said: str) -> EngineError:
    """What an answer means that is about this request or its object alone."""
    code, status, source = error.code, error.status, side is Side.SOURCE
    if code == "BadListing":
        return Refused(F.REJECTED, f"{said}: the store cannot be listed")
    if code == "InvalidObjectState":
        return Refused(F.ARCHIVED, f"{said}: the object must be restored from its archive first")
    if error.missing or code in {"NoSuchKey", "NoSuchVersion"} or status == 405:
        if source:
            return Refused(F.SOURCE_MISSING, f"no such source object ({_number(error)})")
        return Transient(F.NETWORK, said)  # an object of ours that was there a moment ago
    if status in {412, 304}:
        return Transient(F.SOURCE_CHANGED if source else F.NETWORK, said)
    if status == 403 or code.startswith("KMS."):
        if source:
            said = f"the source object may not be read, or is missing and may not be listed ({said})"
        return Refused(F.SOURCE_DENIED if source else F.DESTINATION_DENIED, said)
    if code in CORRUPT:
        return Transient(F.CHECKSUM_MISMATCH, said)
    if code in UNWELL or status >= 500 or status == 409 or code == "NoSuchUpload":
        return Transient(F.NETWORK, said, retry_after_s=error.retry_after_s)
    return Refused(SHAPE.get(code, F.REJECTED), said)


def _number(error: StoreError) -> str:
    return error.code if error.code == str(error.status) else f"{error.status} {error.code}"


def doubtful(error: StoreError) -> bool:
    """Whether it would end the run if it is true of all requests. A proxy, or an odd name, may make it true of one."""
    return error.code in LOGIN or error.code in ELSEWHERE or error.code == "NoSuchBucket" or error.status in _AWAY


class Patience:
    """What is known of one side's keys. Where good ones are refused, the run waits a while for fresh ones, then stops.

    Any success ends the wait. ``renew`` starts the search for fresh keys; None: the keys are in the settings, and no
    others would come.
    """

    def __init__(self, clock: Clock, side: Side, renew: Callable[[], None] | None = None) -> None:
        self._clock = clock
        self._side = side
        self._renew = renew
        self._since: float | None = None
        self._unfit: dict[str, Operation] = {}
        self.heard = 0
        """Answers that showed whether the store accepts the keys."""
        self.fault: StoreError | None = None
        """Why it does not, by the last such answer."""
        self.worked = self.wrote = False

    def well(self) -> None:
        """The store accepted the keys."""
        self.heard += 1
        self.worked = True
        self.fault = self._since = None

    def amiss(self, fault: StoreError) -> None:
        """It refused them, for a request that nothing is odd about."""
        self.heard += 1
        self.fault = fault
        if self._renew is not None and fault.code != SKEWED:
            self._renew()

    def translate(self, error: StoreError, operation: Operation, *, side: Side | None = None) -> EngineError:
        """The error to raise above the adapter, in view of what happened before."""
        if error.code in LOGIN and not error.alone:
            found = self._translate_login(error)
        else:
            found = meaning(error, side or self._side)
            if isinstance(found, Blocked) and (error.unsupported or error.code in UNFIT):
                # a setting that the store does not accept fails every write, an odd object only its own
                first = self._unfit.setdefault(error.code, operation)
                if self.wrote or first == operation:
                    found = Refused(F.DESTINATION_DENIED, f"{found}; {found.hint}")
        found.operation = operation
        return found

    def _translate_login(self, error: StoreError) -> EngineError:
        skewed, said = error.code == SKEWED, _said(error)
        if skewed:
            cause = "this machine's clock differs from the store's by more than 15 minutes"
            hint = "set the clock (timedatectl set-ntp true) and run again"
        elif error.code in STALE_LOGIN:
            cause = f"{said}: the credentials expired and no fresh ones came"
            hint = f"renew the credentials of {self._side}"
        else:
            cause, hint = f"{said}: {BAD_LOGIN[error.code]}", _other_keys(self._side)
        if not self.worked:
            return Blocked(cause, hint=hint)
        now = self._clock.monotonic()
        self._since = now if self._since is None else self._since
        if now - self._since < PATIENCE_S and (skewed or self._renew):
            return Transient(F.NETWORK, said, patient=True)
        return Paused(cause, hint=hint)


def _said(error: StoreError) -> str:
    return error.code + (f" ({error.message[:300]})" if error.message else "")


def _other_keys(side: Side) -> str:
    otherwise = "; where files are read without any, set source.access: http" if side is Side.SOURCE else ""
    return f"check the credentials under {side}: in the settings, or those of the AWS default chain{otherwise}"
