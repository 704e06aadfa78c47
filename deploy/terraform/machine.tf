data "aws_partition" "here" {}

data "aws_subnet" "here" {
  id = var.subnet_id
}

data "aws_route_table" "here" {
  count     = var.s3_endpoint ? 1 : 0
  subnet_id = var.subnet_id
}

# Amazon Linux 2023: it has the SSM agent, and Python 3.11 as a package
data "aws_ssm_parameter" "image" {
  name = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
}

# S3 of this region without the NAT, which would cost by the gigabyte
resource "aws_vpc_endpoint" "s3" {
  count             = var.s3_endpoint ? 1 : 0
  vpc_id            = data.aws_subnet.here.vpc_id
  service_name      = "com.amazonaws.${var.region}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = [data.aws_route_table.here[0].id]
}

resource "aws_security_group" "engine" {
  name        = "engine"
  description = "No way in; out by https and DNS."
  vpc_id      = data.aws_subnet.here.vpc_id
}

resource "aws_vpc_security_group_egress_rule" "https" {
  security_group_id = aws_security_group.engine.id
  description       = "Salesforce, S3, STS, the source"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_instance" "engine" {
  ami                         = data.aws_ssm_parameter.image.value
  instance_type               = var.instance_type
  subnet_id                   = var.subnet_id
  associate_public_ip_address = false
  vpc_security_group_ids      = [aws_security_group.engine.id]
  iam_instance_profile        = aws_iam_instance_profile.engine.name

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required" # IMDSv2
    http_put_response_hop_limit = 1          # 2 for a container
  }

  user_data = "#!/bin/sh\ndnf install -y git python3.11\n"

  root_block_device {
    volume_type = "gp3"
    volume_size = var.disk_gb
    encrypted   = true
  }

  lifecycle {
    ignore_changes  = [ami, user_data]
    prevent_destroy = true # the tracking DB and the journal live here
  }

  tags = { Name = "engine" }
}
