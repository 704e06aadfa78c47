"""What to do first, from the numbers of an analysis; most important first. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from engine.model.command import Advice, Command
from engine.runs.shared.report import by_reason
from engine.settings import Settings

_DENIALS = ("source_denied", "expired_link", "html_instead_of_file", "redirected", "resolver_failed")
_LARGE = 1_000_000_000


def advice(document: dict[str, Any], settings: Settings) -> list[Advice]:
    """Recommendations of one or two sentences; none where nothing is in the way."""
    return [
        *_reach(document, settings),
        *_archived(document),
        *_links(document, settings),
        *_records(document),
        *_effort(document, settings),
    ]


def _reach(document: dict[str, Any], settings: Settings) -> Iterator[Advice]:
    sizes = document["sizes"]
    refused = {name: count for name, count in sizes["heads_refused"].items() if name in _DENIALS}
    if refused:
        cure = (
            "check source.resolver"
            if settings.source.resolver
            else "ask the vendor for s3:GetObject, or for an API that gives a link per record (source.resolver)"
        )
        count = f"{sum(refused.values()):,} of {sizes['heads']:,}"
        yield f"{count} files that were checked cannot be read ({by_reason(refused)}): {cure}."
    if (missing := sizes["missing"]) and missing["estimate"]:
        yield f"{_about(missing)} files do not exist at the source: ask the vendor for them while you can."
    if sizes["too_large"]:
        yield f"{sizes['too_large']:,} files are larger than migration.max_file_size_mb: they will be skipped."
    hosts = document["problems"]["foreign_hosts"]
    if hosts:
        shown = ", ".join(f"{each['host'] or '(none)'} {each['records']:,}" for each in hosts[:3])
        yield (
            f"{sum(each['records'] for each in hosts):,} records link to hosts that are not allowed ({shown}): "
            "add those that hold files to source.allowed_hosts, or their buckets to source.buckets."
        )


def _archived(document: dict[str, Any]) -> Iterator[Advice]:
    archived = document["sizes"]["archived"]
    if archived and archived["estimate"]:
        yield (
            f"{_about(archived)} files are archived. Have them restored first, which takes hours to days. ",
            Command("analyze --archived FILE"),
            " lists them.",
        )


def _links(document: dict[str, Any], settings: Settings) -> Iterator[Advice]:
    links, collisions = document["links"], document["collisions"]
    if links["too_long"]:
        yield (
            f"{links['too_long']:,} new links are too long for the field ({links['field_length']:,} characters), by up "
            f"to {links['excess']:,}: before you copy anything, shorten destination.key_template (now "
            f"{settings.destination.key_template}) or url_template."
        )
    if collisions["exact"] or collisions["case_insensitive"]:
        yield (
            f"{collisions['exact']:,} destination keys belong to several records, {collisions['case_insensitive']:,} "
            "differ from another key only in upper and lower case: put {record_id} into destination.key_template, as a "
            "segment of its own."
        )


def _records(document: dict[str, Any]) -> Iterator[Advice]:
    records = document["records"]
    if records["without_account"]:
        yield f"{records['without_account']:,} records have no account: their copies go under no-account/."
    if records["left_out"].get("bad_url"):
        yield f"{records['left_out']['bad_url']:,} records have a malformed URL: the reasons are listed above."
    if not records["total"]:
        yield "No record is in scope: check salesforce.where and --account."


def _effort(document: dict[str, Any], settings: Settings) -> Iterator[Advice]:
    sizes, forecast = document["sizes"], document["forecast"]
    if sizes["basis"] == "unknown" and document["files"]["distinct"]:
        yield "The sizes are unknown: grant s3:ListBucket on the source (exact), or give --sample."
    elif sizes["basis"] == "sample":
        found = sizes["bytes_to_copy"]
        if found and found["estimate"] and found["high"] - found["low"] > found["estimate"]:
            yield "The estimate of the bytes is rough: a larger --sample improves it, s3:ListBucket makes it exact."
    if forecast["share_of_daily_calls"] and forecast["share_of_daily_calls"] > 1:
        yield "The Salesforce calls exceed a day's share (salesforce.api_budget): plan for several days."
    methods = {route["method"] for route in document["routes"].values()}
    migration = settings.migration
    if "server_copy" in methods and migration.concurrency < 100 and document["files"]["to_copy"] > 10_000:
        yield (
            f"migration.concurrency is {migration.concurrency}. Server-side copies wait for S3, not for this machine: ",
            "try 200 or more. ",
            Command("tune --real"),
            " measures what is enough.",
        )
    if methods & {"stream", "http"} and any(each["bytes"] > _LARGE for each in document["largest"]):
        yield "Some files are larger than 1 GB: they take fewer requests with migration.part_size_mb: 64."


def _about(interval: dict[str, Any]) -> str:
    return f"{'' if interval['exact'] else 'about '}{interval['estimate']:,}"
