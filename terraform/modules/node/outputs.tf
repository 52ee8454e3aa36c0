output "wish" {
  description = "Changes whenever something must be started or started again."
  value       = "${terraform_data.wish.id} ${sha256(local.bundle)}"

  # Also the certificate, which a first start needs.
  depends_on = [terraform_data.certificate]
}

output "files" {
  description = "What the host is sent, without any secret."
  value       = local.files
}
