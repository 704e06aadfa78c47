# One role for both sides: where S3 copies by itself, the same credentials read the source and write the copies.

locals {
  policies = jsondecode(file(var.policies_file))
}

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "engine" {
  name               = "engine"
  assume_role_policy = data.aws_iam_policy_document.assume.json
}

resource "aws_iam_role_policy" "destination" {
  name   = "destination"
  role   = aws_iam_role.engine.id
  policy = jsonencode(local.policies.destination)
}

resource "aws_iam_role_policy" "source" {
  count  = length(local.policies.source.Statement) > 0 ? 1 : 0 # no source bucket: nothing to allow
  name   = "source"
  role   = aws_iam_role.engine.id
  policy = jsonencode(local.policies.source)
}

resource "aws_iam_role_policy" "source_key" {
  count = var.source_kms_key_arn == null ? 0 : 1
  name  = "source-key"
  role  = aws_iam_role.engine.id

  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = ["kms:Decrypt"], Resource = [var.source_kms_key_arn] }]
  })
}

# a shell without an open port
resource "aws_iam_role_policy_attachment" "ssm" {
  role       = aws_iam_role.engine.name
  policy_arn = "arn:${data.aws_partition.here.partition}:iam::aws:policy/AmazonSSMManagedInstanceCore"
}

resource "aws_iam_instance_profile" "engine" {
  name = "engine"
  role = aws_iam_role.engine.name
}
