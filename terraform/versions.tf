# Built-ins only: nothing is fetched by `terraform init`.
terraform {
  required_version = ">= 1.11"
}
