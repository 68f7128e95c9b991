variable "bucket" {
  description = "A bucket in the region of the stack, where CloudFormation reads the templates. Not made here."
  type        = string
}

variable "keys_template" {
  description = "The path of what `vault-etl schema iam` printed."
  type        = string
}

variable "parameters" {
  description = "The parameters of deploy/aws/stack.yaml. ImageDigest and Email have no default."
  type        = map(string)

  validation {
    condition     = can(var.parameters["ImageDigest"]) && can(var.parameters["Email"])
    error_message = "parameters must have ImageDigest and Email."
  }
}

variable "role_arn" {
  description = "The role under which CloudFormation makes everything. The break-glass role, unless Terraform runs under it."
  type        = string
  default     = null
}
