"""The generated policies against what was really asked of the store: every call allowed, no right without a use."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from engine.limiting.clock import SystemClock
from engine.limiting.retry import Retries
from engine.model.byte_units import MIB
from engine.rehearsal.side_door import Asked, Seeded
from engine.runs.doctor.checks import bucket
from engine.runs.doctor.iam import policies
from engine.s3.open import open_s3
from engine.settings import Settings
from tests.support.corner import Corner, wait
from tests.support.s3 import SMALL_PARTS, Bytes, at, settings_for

Need = tuple[str, str]
"""Action and resource."""

_OF_THE_BUCKET = {
    "encryption": "s3:GetEncryptionConfiguration",
    "versioning": "s3:GetBucketVersioning",
    "publicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "policyStatus": "s3:GetBucketPolicyStatus",
    "cors": "s3:GetBucketCORS",
    "lifecycle": "s3:GetLifecycleConfiguration",
    "uploads": "s3:ListBucketMultipartUploads",
}


def needs(asked: Asked) -> Iterator[Need]:
    """What AWS asks for before it answers (Service Authorization Reference, "Actions for Amazon S3")."""
    name, _, key = asked.path.lstrip("/").partition("/")
    names = [pair.partition("=")[0] for pair in asked.query.split("&")]
    home = f"arn:aws:s3:::{name}"
    match asked.method, key:
        case "GET" | "HEAD", "":
            yield next((_OF_THE_BUCKET[each] for each in names if each in _OF_THE_BUCKET), "s3:ListBucket"), home
        case "GET", _ if "tagging" in names:
            yield "s3:GetObjectTagging", f"{home}/{key}"
        case "GET" | "HEAD", _:
            versioned = "versionId=" in asked.query
            yield "s3:GetObjectVersion" if versioned else "s3:GetObject", f"{home}/{key}"
        case "PUT", _:
            yield "s3:PutObject", f"{home}/{key}"
            if source := asked.headers.get("x-amz-copy-source"):
                place, _, version = source.lstrip("/").partition("?versionId=")
                of = "s3:GetObjectVersion" if version else "s3:GetObject"
                yield of, f"arn:aws:s3:::{place}"
                if not asked.query and asked.headers.get("x-amz-tagging-directive") != "REPLACE":
                    yield f"{of}Tagging", f"arn:aws:s3:::{place}"  # a copy takes the tags along
                    yield "s3:PutObjectTagging", f"{home}/{key}"
        case "POST", _:
            yield "s3:PutObject", f"{home}/{key}"
        case "DELETE", _:
            yield "s3:AbortMultipartUpload" if "uploadId=" in asked.query else "s3:DeleteObject", f"{home}/{key}"
        case _:
            raise AssertionError(f"{asked.method} {asked.path}: nobody thought of that")


def grants(document: dict[str, Any]) -> list[Need]:
    return [
        (action, resource)
        for policy in document.values()
        for statement in policy["Statement"]
        for action in statement["Action"]
        for resource in statement["Resource"]
    ]


def test_every_call_is_allowed_and_every_right_is_used(corner: Corner) -> None:
    store, vendor = corner.stage.store, f"vendor-{corner.tag}"
    wait(corner.stage.objects.create_buckets(vendor, versioned=True))
    settings = settings_for(store, vendor, corner.bucket)
    wait(corner.stage.objects.clear_requests())

    wait(_all_verbs(corner, vendor))

    granted = grants(policies(settings))
    asked = [each for each in wait(corner.stage.objects.requests()) if each.signed]
    needed = {need for each in asked for need in needs(each)}
    assert needed
    for action, resource in sorted(needed):
        assert any(action == able and fnmatchcase(resource, where) for able, where in granted), (action, resource)
    for able, where in granted:
        assert any(action == able and fnmatchcase(resource, where) for action, resource in needed), (able, where)


async def _all_verbs(corner: Corner, vendor: str) -> None:
    """Each verb of both sides, as runs use them, and doctor's questions."""
    settings, clock = settings_for(corner.stage.store, vendor, corner.bucket), SystemClock()
    side_door = corner.stage.objects
    await side_door.load(vendor, [Seeded("small.pdf", 900), Seeded("large.pdf", 11 * MIB)])
    async with open_s3(settings, clock, sizes=SMALL_PARTS) as s3:
        await s3.destination.check()
        for key in ("large.pdf", "small.pdf"):
            facts = await s3.source.facts(at(vendor, key))
            await s3.destination.copy(at(vendor, key), facts, f"uploads/a/r/{key}")
        assert facts.version_id
        await s3.destination.copy(at(vendor, key, facts.version_id), facts, "uploads/a/v/small.pdf")
        await s3.source.facts(at(vendor, key, facts.version_id))
        small = await s3.destination.facts("uploads/a/r/small.pdf")
        assert small is not None
        await s3.destination.copy_within("uploads/a/r/small.pdf", small, "uploads/a/t/small.pdf")
        await s3.destination.store(Bytes(b"x" * (11 * MIB)), "uploads/a/s/streamed.pdf")
        await s3.destination.bucket.client.create_upload(corner.bucket, "uploads/a/a0X000000000001AAA/left", {})
        async with s3.source.open(at(vendor, "small.pdf"), None) as stream:
            assert sum([len(chunk) async for chunk in stream.chunks()]) == 900

        async def enough(*_: object) -> bool:
            return True

        await s3.source.survey(vendor, [("", None)], enough, Retries(clock, 1))
        await s3.destination.survey(enough, Retries(clock, 1))
        key = bucket.probe_key(clock)
        await s3.destination.store(Bytes(b"probe"), key)
        await s3.destination.facts(key)
        setup = s3.bucket_setup
        set_up = (setup.encryption, setup.versioning, setup.public_access_block, setup.public_policy)
        for ask in (*set_up, setup.cors, setup.aborts_uploads):
            await ask()
        assert (await setup.remove(key)).known
    await clock.sleep(1.1)  # the store tells when an upload began in whole seconds
    async with open_s3(settings, clock) as s3:
        assert await s3.sweep() == 1


def test_tags_that_are_dropped_need_no_right() -> None:
    tree = {"destination": {"bucket": "ours"}, "source": {"buckets": ["vendor"]}, "migration": {"tags": "drop"}}
    dropped = {action for action, _ in grants(policies(Settings.model_validate(tree)))}
    tree["migration"] = {"tags": "keep"}
    kept = {action for action, _ in grants(policies(Settings.model_validate(tree)))}
    assert kept - dropped == {"s3:GetObjectTagging", "s3:GetObjectVersionTagging", "s3:PutObjectTagging"}


def test_whole_commands_stay_within_the_policies(corner: Corner) -> None:
    corner.env["ENGINE_DESTINATION__URL_TEMPLATE"] = f"{corner.stage.store.url}/{{bucket}}/{{key}}"
    corner.same_time()
    corner.files(6)
    wait(corner.stage.objects.clear_requests())
    for words in (["run", "backup", "--full"], ["verify", "--level", "deep", "--source"], ["verify"], ["doctor"]):
        assert corner.engine(*words).code == 0
    granted = grants(corner.engine("doctor", "--iam").json)
    for each in wait(corner.stage.objects.requests()):
        for action, resource in needs(each) if each.signed else ():
            assert any(action == able and fnmatchcase(resource, where) for able, where in granted), (action, resource)


def test_a_run_says_that_tags_were_left_behind(corner: Corner) -> None:
    corner.files(6)
    corner.misbehave(kind="access_denied", method="PUT", times=1)
    said = corner.engine("run", "backup", "--full", "--json")
    assert said.code == 0, said.everything
    (note,) = [each for each in said.json["notes"] if "object tags" in each]
    assert "s3:GetObjectTagging" in note
