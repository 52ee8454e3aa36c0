output "urls" {
  description = "Where people go."
  value = {
    pages   = { for clinic, _ in var.clinics : clinic => "https://app.${var.zone}/c/${clinic}" }
    staff   = { for clinic, _ in var.clinics : clinic => "https://app.${var.zone}/clinic/${clinic}" }
    regions = { for region in local.edge_regions : region => "https://${region}.${var.zone}" }
  }
}

output "delegation" {
  description = "Records for the parent zone: the name servers and their addresses. The DS record is printed by apply, and by `ds_command`."
  value = concat(
    [for name, _ in local.members : "${var.zone}. NS ns-${name}.${var.zone}."],
    [for name, member in local.members : "ns-${name}.${var.zone}. ${strcontains(member.public_address, ":") ? "AAAA" : "A"} ${member.public_address}"],
  )
}

output "version" {
  description = "The release that is wished for."
  value       = local.version
}

output "host_keys" {
  description = "The pinned SSH keys, to compare with what hosts show."
  value       = { for name, node in var.nodes : name => node.host_key }
}

locals {
  founder_ssh = "ssh -p ${var.nodes[var.founder].port} ${var.nodes[var.founder].user}@${var.nodes[var.founder].host} ${var.nodes[var.founder].user == "root" ? "" : "sudo "}/opt/locum/bin/locum-host"
}

# Secrets are shown to whoever may operate the host, and are in no state and no log.
output "setup_token_command" {
  description = "Prints the token that opens the set-up of clinics (docs/deploy.md)."
  value       = "${local.founder_ssh} get setup-token"
}

output "ds_command" {
  description = "Prints the DS record for the registrar."
  value       = "${local.founder_ssh} control dns-key show"
}

output "challenge_environment" {
  description = "For scripts/dns-challenge, as lines of a shell: how it reaches the members. No secret."
  value       = join("", [for name, value in local.hosts : "export ${name}='${value}'\n"])
}
