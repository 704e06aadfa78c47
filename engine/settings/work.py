"""The ``migration`` and ``switch`` sections: how runs work, and when they stop."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, field_validator

from engine.settings.section import Duration, File, Section, Share, seconds


class FilterSettings(Section):
    """Which files are left out."""

    max_file_size_mb: Annotated[float, Field(gt=0)] | None = Field(
        None, description="in MB (10⁶ bytes); larger files are skipped; null: no limit"
    )
    allowed_extensions: list[str] = Field(default_factory=list, description="such as [.pdf, .docx]; empty: all")

    @field_validator("allowed_extensions")
    @classmethod
    def _dotted(cls, value: list[str]) -> list[str]:
        return [("" if v.startswith(".") else ".") + v.lower() for v in value if v.strip()]


class RestrictionSettings(Section):
    """What keeps every command from going too far in a test."""

    test_single_account: bool = Field(False, description="restrict every command to test_account_id")
    test_account_id: str | None = Field(None, description='in quotes: "0015g00000AbCdEAAV"')
    max_test_files: Annotated[int, Field(ge=1)] | None = Field(
        None, description="stop each run after so many files that need work; unchanged ones do not count"
    )
    dry_run: bool = Field(False, description="no command writes anything, whatever its flags say")

    def conflicts(self) -> Iterator[tuple[str, str]]:
        if self.test_single_account and not self.test_account_id:
            yield "test_single_account", "is on, but test_account_id names no account"


class MigrationSettings(RestrictionSettings, FilterSettings):
    """How hard to work, what to leave out, when to give up.

    Memory is bounded by ``queue_size`` plans, two batches of outcomes, and the bytes in flight: at most
    ``4 x part_size_mb`` per large file within the shared byte budget of the pipeline.
    """

    concurrency: Annotated[int, Field(ge=1, le=4096)] = Field(
        200, description="files in flight at most; fewer while a host is too busy"
    )
    queue_size: Annotated[int, Field(ge=1, le=1_000_000)] = Field(2000, description="plans waiting at most")
    batch_size: Annotated[int, Field(ge=1, le=10_000)] = Field(500, description="outcomes per commit")
    part_size_mb: Annotated[int, Field(ge=5, le=5120)] = Field(
        16, description="in MiB; files of more than four times this size are copied in parts of this size"
    )
    bandwidth_mb_s: Annotated[float, Field(gt=0)] | None = Field(
        None, description="in MB (10⁶ bytes) a second; null: no limit"
    )
    max_attempts: Annotated[int, Field(ge=1, le=100)] = Field(
        5, description="tries per file and run; ten times as many while a store is too busy (429, 503)"
    )
    checksum: Literal["sha256", "crc64nvme"] = Field("sha256", description="sha256 | crc64nvme (needs the crt extra)")
    file_hash: bool | None = Field(
        None,
        description="record the SHA-256 of every file that passes this machine, whatever the checksum; null: only with "
        "checksum sha256",
    )
    tags: Literal["keep", "drop"] = Field(
        "keep",
        description="object tags of S3: keep | drop; where tags may not be read or written, files are copied without "
        "them, and the run says so",
    )
    error_budget: Share = Field(
        0.2,
        description="stop, resumable (exit 5), when this share of the last 1,000 files failed with network, throttled, "
        "source_denied, destination_denied or checksum_mismatch; files that failed in an earlier run do not count",
    )
    drain_seconds: Annotated[float, Field(ge=0, le=3600)] = Field(
        30, description="how long files in flight may take to finish after a stop"
    )

    @property
    def hashes_files(self) -> bool:
        """Whether the SHA-256 of every stream is wanted for its own sake."""
        return self.checksum == "sha256" if self.file_hash is None else self.file_hash


class SwitchSettings(Section):
    """Waves and limits of the link switch."""

    waves: list[int | str] = Field(
        default_factory=lambda: list[int | str]([1, 100, "1%", "10%", "100%"]),
        description="cumulative targets of the plan, as counts or shares; empty waves are skipped",
    )
    max_drift: Share = Field(
        0.02, description="stop when this share of a wave was edited meanwhile, counted from 50 records on"
    )
    settle_after: Duration = Field(
        "10m",
        description="how long Salesforce may go on with a write after a cut, a kill or no clear answer; until then "
        "such a link is in doubt and not written again. Its own limit for a call is 10m: do not go below",
    )
    off_box: Literal["always", "never"] = Field(
        "always",
        description="always | never: put every batch of the journal into the bucket too, before its writes are sent. "
        "never: a lost machine takes the way back with it",
    )
    accept_proof: tuple[Literal["checksum", "etag", "received", "size"], ...] = Field(
        ("checksum", "etag", "received"),
        description="of checksum, etag, received, size; files proved by size alone wait for verify --level deep",
    )
    journal_key_file: File | None = Field(None, description="null: generated beside the database, mode 0600")

    @property
    def settle_after_s(self) -> float:
        """``settle_after`` in seconds."""
        return seconds(self.settle_after)

    @field_validator("waves")
    @classmethod
    def _targets(cls, value: list[int | str]) -> list[int | str]:
        for wave in value:
            count = isinstance(wave, int) and wave >= 1
            share = isinstance(wave, str) and re.fullmatch(r"100%|\d{1,2}(\.\d+)?%", wave) and wave.strip("0.%")
            if not (count or share):
                msg = f"holds {wave!r}; a wave is a count of records from 1 up, or a share such as '10%'"
                raise ValueError(msg)
        return value
