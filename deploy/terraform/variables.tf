variable "region" {
  description = "Where the bucket and the machine are: destination.region."
  type        = string
  default     = "us-east-1"
}

variable "bucket" {
  description = "The bucket of the copies: destination.bucket."
  type        = string
}

variable "subnet_id" {
  description = "A private subnet with a route table of its own that leads to the internet by a NAT, for Salesforce."
  type        = string
}

variable "s3_endpoint" {
  description = "Make a gateway endpoint for S3. false: the subnet's route table has one already."
  type        = bool
  default     = true
}

variable "policies_file" {
  description = "What `engine doctor --iam > policies.json` has written: the least rights that the settings need."
  type        = string
}

variable "source_kms_key_arn" {
  description = "The vendor's KMS key, where the source is encrypted with one. Its key policy must name the role, too."
  type        = string
  default     = null
}

variable "instance_type" {
  description = "2 vCPU are enough where S3 copies by itself."
  type        = string
  default     = "m7i.large"
}

variable "disk_gb" {
  description = "Tracking DB (2.4 KB a record at most), snapshots and logs."
  type        = number
  default     = 50
}
