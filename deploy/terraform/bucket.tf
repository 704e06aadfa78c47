resource "aws_s3_bucket" "copies" {
  bucket = var.bucket

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_s3_bucket_versioning" "copies" {
  bucket = aws_s3_bucket.copies.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "copies" {
  bucket = aws_s3_bucket.copies.id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

# Private until somebody decides how users will read: see docs/deployment.md.
resource "aws_s3_bucket_public_access_block" "copies" {
  bucket = aws_s3_bucket.copies.id

  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "copies" {
  bucket = aws_s3_bucket.copies.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "copies" {
  bucket = aws_s3_bucket.copies.id

  rule {
    id     = "abort-forgotten-uploads"
    status = "Enabled"

    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = 7 # fewer could abort uploads of a run in progress
    }
  }

  rule {
    id     = "old-probes-of-doctor"
    status = "Enabled"

    filter {
      prefix = ".engine/doctor-"
    }

    expiration {
      expired_object_delete_marker = true
    }

    noncurrent_version_expiration {
      noncurrent_days = 7
    }
  }

  depends_on = [aws_s3_bucket_versioning.copies]
}

data "aws_iam_policy_document" "tls_only" {
  statement {
    sid       = "OnlyByTls"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [aws_s3_bucket.copies.arn, "${aws_s3_bucket.copies.arn}/*"]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_s3_bucket_policy" "copies" {
  bucket = aws_s3_bucket.copies.id
  policy = data.aws_iam_policy_document.tls_only.json

  depends_on = [aws_s3_bucket_public_access_block.copies]
}
