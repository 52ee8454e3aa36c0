# Nine machines at Hetzner, three in each of three places, for the network module to install. NOT RUN, NOT VALIDATED BY THE
# PROJECT: its tests cannot fetch the provider. Read it as a sketch of what goes where. Two steps, as examples/aws says; the
# console in Hetzner's web pages shows the host keys.

terraform {
  required_version = ">= 1.11"
  required_providers {
    hcloud = {
      source  = "hetznercloud/hcloud"
      version = ">= 1.50"
    }
  }
}

variable "operator_keys" {
  type = list(string)
}

variable "operator_ranges" {
  type = list(string)
}

variable "regions" {
  description = "Region of the network to Hetzner's location."
  type        = map(string)
  default     = { us-west = "hil", us-east = "ash", eu-central = "fsn1" }
}

locals {
  machines = merge([for region, location in var.regions : {
    for role in ["control", "edge", "media"] : "${region}-${role}" => { location = location, role = role }
  }]...)
}

module "user_data" {
  source          = "../../modules/user-data"
  for_each        = local.machines
  hostname        = each.key
  operator_keys   = var.operator_keys
  operator_ranges = var.operator_ranges
}

resource "hcloud_server" "node" {
  for_each    = local.machines
  name        = each.key
  location    = each.value.location
  server_type = "cpx31"
  image       = "debian-12"
  user_data   = module.user_data[each.key].user_data

  lifecycle {
    ignore_changes = [image, user_data]
  }
}

output "machines" {
  description = "For var.nodes of the network."
  value       = { for name, machine in hcloud_server.node : name => { host = machine.ipv4_address, address = machine.ipv4_address } }
}
