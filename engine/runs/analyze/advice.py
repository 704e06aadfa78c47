"""What follows from the numbers of an analysis: what to do first, in the order in which it matters. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from engine.model.command import Advice, Command
from engine.settings import Settings

_DENIALS = ("source_denied", "expired_link", "html_instead_of_file", "redirected", "resolver_failed")
_LARGE = 1_000_000_000


def advice(document: dict[str, Any], settings: Settings) -> list[Advice]:
    """Recommendations, one sentence or two each; none where nothing stands in the way."""
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
        told = ", ".join(f"{name} {count:,}" for name, count in refused.items())
        cure = (
            "check source.resolver"
            if settings.source.resolver
            else "ask the vendor for s3:GetObject, or for an API that gives a link per record (source.resolver)"
        )
        yield f"{sum(refused.values()):,} of {sizes['heads']:,} files looked at cannot be read ({told}): {cure}."
    if (missing := sizes["missing"]) and missing["estimate"]:
        about = "" if missing["exact"] else "about "
        yield f"{about}{missing['estimate']:,} files do not exist at the source: tell the vendor while there is one."
    if sizes["too_large"]:
        yield f"{sizes['too_large']:,} files are larger than migration.max_file_size_mb: they would be left out."
    hosts = document["problems"]["foreign_hosts"]
    if hosts:
        told = ", ".join(f"{each['host'] or '(none)'} {each['records']:,}" for each in hosts[:3])
        yield (
            f"{sum(each['records'] for each in hosts):,} records link to hosts that may not be read ({told}): "
            "add those that hold files to source.allowed_hosts, or their buckets to source.buckets."
        )


def _archived(document: dict[str, Any]) -> Iterator[Advice]:
    archived = document["sizes"]["archived"]
    if archived and archived["estimate"]:
        about = "" if archived["exact"] else "about "
        yield (
            f"{about}{archived['estimate']:,} files are archived: have them restored first (",
            Command("analyze --archived FILE"),
            " writes the list), for a restore takes hours to days.",
        )


def _links(document: dict[str, Any], settings: Settings) -> Iterator[Advice]:
    links, collisions = document["links"], document["collisions"]
    if links["too_long"]:
        yield (
            f"{links['too_long']:,} new links do not fit the field of {links['field_length']:,} characters, the "
            f"longest by {links['excess']:,}: shorten destination.key_template (now "
            f"{settings.destination.key_template}) or url_template before anything is copied."
        )
    if collisions["exact"] or collisions["case_insensitive"]:
        yield (
            f"{collisions['exact']:,} destination keys are shared by records, {collisions['case_insensitive']:,} "
            "differ in case alone: put {record_id} into destination.key_template as a segment of its own."
        )


def _records(document: dict[str, Any]) -> Iterator[Advice]:
    records = document["records"]
    if records["without_account"]:
        yield f"{records['without_account']:,} records have no account: their copies go under no-account/."
    if records["left_out"].get("bad_url"):
        yield f"{records['left_out']['bad_url']:,} records have a URL that cannot be read: see the reasons above."
    if not records["total"]:
        yield "No record is in scope: check salesforce.where, and --account where it was given."


def _effort(document: dict[str, Any], settings: Settings) -> Iterator[Advice]:
    sizes, forecast = document["sizes"], document["forecast"]
    if sizes["basis"] == "unknown" and document["files"]["distinct"]:
        yield "The sizes are unknown: grant s3:ListBucket on the source (exact), or give --sample."
    elif sizes["basis"] == "sample":
        found = sizes["bytes_to_copy"]
        if found and found["estimate"] and found["high"] - found["low"] > found["estimate"]:
            yield "The interval of the bytes is wide: a larger --sample narrows it, s3:ListBucket makes it exact."
    if forecast["share_of_daily_calls"] and forecast["share_of_daily_calls"] > 1:
        yield "Salesforce calls exceed what salesforce.api_budget leaves of a day: plan for several days."
    methods = {route["method"] for route in document["routes"].values()}
    migration = settings.migration
    if "server_copy" in methods and migration.concurrency < 100 and document["files"]["to_copy"] > 10_000:
        yield (
            f"migration.concurrency is {migration.concurrency}: server-side copies wait for S3 and not for this ",
            "machine, so 200 and more pay; ",
            Command("tune"),
            " tells.",
        )
    if methods & {"stream", "http"} and any(each["bytes"] > _LARGE for each in document["largest"]):
        yield "Some files are larger than 1 GB: a part_size_mb of 64 makes them fewer requests."
