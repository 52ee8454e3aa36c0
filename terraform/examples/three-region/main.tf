# Three regions of three hosts each, one role a host: the network that tests/fleet brings up, with addresses to fill in.

terraform {
  required_version = ">= 1.11"
}

variable "zone" {
  type    = string
  default = "clinic.example"
}

variable "release_file" {
  type = string
}

variable "signers_file" {
  type    = string
  default = null
}

variable "ssh_private_key_file" {
  type    = string
  default = null
}

variable "operator_ranges" {
  type = list(string)
}

variable "certificate" {
  type = object({ chain_file = string, key_file = string, trust_file = optional(string) })
}

variable "hosts" {
  description = "By region, then by role: where the host is, and its ECDSA host key."
  type        = map(map(object({ address = string, host_key = string })))
}

module "locum" {
  source               = "../.."
  zone                 = var.zone
  release              = { file = var.release_file, signers_file = var.signers_file }
  ssh_private_key_file = var.ssh_private_key_file
  operator_ranges      = var.operator_ranges
  certificate          = var.certificate
  founder              = "eu-central-control"
  clinics              = { riverside = "main" }
  regions = {
    us-west    = { latitude = 45.6, longitude = -121.2 }
    us-east    = { latitude = 39.0, longitude = -77.5 }
    eu-central = { latitude = 50.1, longitude = 8.7 }
  }
  nodes = merge([for region, hosts in var.hosts : {
    for role, host in hosts : "${region}-${role}" => {
      host     = host.address
      address  = host.address
      host_key = host.host_key
      region   = region
      roles    = [role]
    }
  }]...)
}

output "network" {
  value = module.locum
}
