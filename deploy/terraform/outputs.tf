output "role_arn" {
  description = "For the vendor: the principal that reads the source."
  value       = aws_iam_role.engine.arn
}

output "vendor_bucket_policy" {
  description = "Statements that the vendor adds to the policy of the source bucket."
  value = jsonencode(merge(local.policies.source, {
    Statement = [
      for statement in local.policies.source.Statement :
      merge(statement, { Principal = { AWS = aws_iam_role.engine.arn } })
    ]
  }))
}

output "instance_id" {
  description = "aws ssm start-session --target ID"
  value       = aws_instance.engine.id
}
