# vault-etl by Terraform: the templates of deploy/aws, uploaded, and one stack of CloudFormation made of them.
# docs/adr/0068-aws-by-nested-stacks.md says why the resources are not repeated here.

locals {
  templates = "${path.module}/../aws"
  root      = file("${local.templates}/stack.yaml")

  nested = toset([
    for found in regexall("TemplateURL: (\\S+)", local.root) : found[0] if found[0] != "vault-etl.template.yaml"
  ])

  content = merge(
    { for name in local.nested : name => file("${local.templates}/${name}") },
    { "vault-etl.template.yaml" = file(var.keys_template) },
  )

  # The content is in the key: a changed template is a changed URL, which updates the nested stack.
  keys = { for name, text in local.content : name => "vault-etl/${sha256(text)}/${name}" }
}

data "aws_s3_bucket" "templates" {
  bucket = var.bucket
}

resource "aws_s3_object" "template" {
  for_each = local.content

  bucket  = data.aws_s3_bucket.templates.id
  key     = local.keys[each.key]
  content = each.value
}

resource "aws_cloudformation_stack" "vault_etl" {
  name         = "vault-etl"
  capabilities = ["CAPABILITY_NAMED_IAM"]
  iam_role_arn = var.role_arn
  parameters   = var.parameters

  template_body = join("\n", [
    for line in split("\n", local.root) :
    can(regex("TemplateURL: ", line)) ? format(
      "      TemplateURL: https://%s/%s",
      data.aws_s3_bucket.templates.bucket_regional_domain_name,
      local.keys[regex("TemplateURL: (\\S+)", line)[0]],
    ) : line
  ])

  depends_on = [aws_s3_object.template]

  timeouts {
    create = "90m"
    update = "90m"
  }

  lifecycle {
    prevent_destroy = true
  }
}
