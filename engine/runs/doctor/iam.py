"""``engine doctor --iam``: the least rights that the settings need, as IAM policies. Pure.

| statement          | for                                                                                |
|--------------------|------------------------------------------------------------------------------------|
| source: list       | the inventory; and a missing file is then answered with 404 instead of 403         |
| source: read       | HEAD, GET, tags (``migration.tags``), and the reading side of a server copy        |
| destination: list  | ``verify``, HeadBucket, and finding multipart uploads of killed runs               |
| destination: write | copies; HEAD and GET to prove them; abort of our own multipart uploads             |
| engine's own       | doctor's probe under ``.engine/``, the one thing that is ever deleted              |
| look               | doctor's questions about how the bucket is set up                                  |
"""

from __future__ import annotations

from typing import Any

from engine.s3.transfer.our_keys import shape_of
from engine.settings import DestinationSettings, Settings, SourceSettings

OWN = ".engine/"
"""What lies under this prefix of our bucket is the engine's own."""


def policies(settings: Settings) -> dict[str, Any]:
    """``source``: for the source's credentials, or for the destination's where these copy by the server (the fastest
    way: then attach both). ``destination``: for ours. Reading by anonymous or plain links needs no source policy."""
    tags = settings.migration.tags == "keep"
    return {
        "source": source_policy(settings.source, tags=tags),
        "destination": destination_policy(settings.destination, tags=tags),
    }


def source_policy(source: SourceSettings, *, tags: bool) -> dict[str, Any]:
    """Read only (I8). ``tags``: whether object tags are carried."""
    partition = _partition(source.region)
    return _policy(
        _allow("ListSource", ["s3:ListBucket"], [_arn(partition, name) for name in source.buckets]),
        _allow(
            "ReadSource",
            ["s3:GetObject", "s3:GetObjectVersion", *["s3:GetObjectTagging", "s3:GetObjectVersionTagging"] * tags],
            [_arn(partition, name, "*") for name in source.buckets],
        ),
    )


def destination_policy(ours: DestinationSettings, *, tags: bool) -> dict[str, Any]:
    """Nothing is deleted but doctor's own probe, and no bucket is made or changed."""
    partition = _partition(ours.region)
    prefix, _ = shape_of(ours.key_template, ours.bucket)
    copies, own = _arn(partition, ours.bucket, f"{prefix}*"), _arn(partition, ours.bucket, f"{OWN}*")
    bucket = _arn(partition, ours.bucket)
    statements = [
        _allow("ListOurs", ["s3:ListBucket", "s3:ListBucketMultipartUploads"], [bucket]),
        _allow(
            "WriteCopies",
            ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"]
            + ["s3:GetObjectTagging", "s3:PutObjectTagging"] * tags,
            [copies],
        ),
        _allow("EnginesOwn", ["s3:GetObject", "s3:PutObject"], [own]),
        _allow("TakeTheProbeAway", ["s3:DeleteObject"], [_arn(partition, ours.bucket, f"{OWN}doctor-*")]),
        _allow(
            "LookAtTheBucket",
            [
                "s3:GetEncryptionConfiguration",
                "s3:GetBucketVersioning",
                "s3:GetBucketPublicAccessBlock",
                "s3:GetBucketPolicyStatus",
                "s3:GetBucketCORS",
                "s3:GetLifecycleConfiguration",
            ],
            [bucket],
        ),
    ]
    if ours.sse == "aws:kms":
        key = ours.kms_key_id or "*"
        resource = key if key.startswith("arn:") or key == "*" else f"arn:{partition}:kms:{ours.region}:*:key/{key}"
        statements.append(_allow("UseTheKey", ["kms:GenerateDataKey", "kms:Decrypt"], [resource]))
    return _policy(*statements)


def _policy(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": [each for each in statements if each["Resource"]]}


def _allow(sid: str, actions: list[str], resources: list[str]) -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resources}


def _arn(partition: str, bucket: str, keys: str = "") -> str:
    return f"arn:{partition}:s3:::{bucket}" + (f"/{keys}" if keys else "")


def _partition(region: str) -> str:
    if region.startswith("cn-"):
        return "aws-cn"
    return "aws-us-gov" if region.startswith("us-gov-") else "aws"
