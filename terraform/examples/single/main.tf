# One host that is everything, for a trial: one region, one copy of the records. It needs two addresses of its own, because
# edge host and media node both listen at 443. Run in tests/fleet only as part of three regions; planned by `terraform test`.

terraform {
  required_version = ">= 1.11"
}

variable "host" {
  description = "Where SSH goes, its host key (ECDSA, as in /etc/ssh/ssh_host_ecdsa_key.pub), and two addresses."
  type        = object({ host = string, host_key = string, address = string, media_address = string })
}

variable "zone" {
  type = string
}

variable "release_file" {
  type = string
}

variable "operator_ranges" {
  type = list(string)
}

variable "certificate" {
  type = object({ chain_file = string, key_file = string, trust_file = optional(string) })
}

module "locum" {
  source          = "../.."
  zone            = var.zone
  release         = { file = var.release_file }
  regions         = { home = { latitude = 52.5, longitude = 13.4 } }
  founder         = "one"
  clinics         = { main = "main" }
  operator_ranges = var.operator_ranges
  certificate     = var.certificate
  nodes = {
    one = merge(var.host, { region = "home", roles = ["control", "edge", "media"] })
  }
}

output "network" {
  value = module.locum
}
