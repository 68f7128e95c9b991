output "outputs" {
  description = "The outputs of deploy/aws/stack.yaml: the database's address, subnets, queue, keys and topic."
  value       = aws_cloudformation_stack.vault_etl.outputs
}
