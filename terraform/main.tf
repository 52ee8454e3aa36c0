# A network on given hosts. Terraform installs and states the wish on each of them; `scripts/network` then brings nodes up
# or rolls the change through them one by one, because Terraform can neither keep a quorum nor drain a call.

locals {
  version = regex("^locum-(.+)-x86_64-linux\\.tar\\.gz$", basename(var.release.file))[0]

  edge_regions = sort(distinct([for _, node in var.nodes : node.region if contains(node.roles, "edge")]))
  groups       = length(var.record_groups) > 0 ? var.record_groups : { main = local.edge_regions }

  # Every host with its defaults filled in.
  nodes = { for name, node in var.nodes : name => merge(node, {
    mesh_address         = coalesce(node.mesh_address, node.address)
    media_address        = coalesce(node.media_address, node.address)
    public_address       = coalesce(node.public_address, node.address)
    public_media_address = coalesce(node.public_media_address, node.media_address, node.public_address, node.address)
  }) }
  members = { for name, node in local.nodes : name => node if contains(node.roles, "control") }

  # For scripts/hosts.
  hosts = {
    LOCUM_NODES = join("\n", [for name, node in local.nodes : join(" ", [
      name, node.host, node.port, node.user, node.region, join(",", sort(node.roles))
    ])])
    LOCUM_HOST_KEYS = join("\n", [for name, node in local.nodes : "${name} ${node.host_key}"])
    LOCUM_SSH_KEY   = var.ssh_private_key_file == null ? "" : abspath(var.ssh_private_key_file)
  }

  # Who reaches whom on the mesh, and from where members look at nodes.
  addresses = sort(distinct(flatten([for _, node in local.nodes : [
    node.address, node.mesh_address, node.media_address, node.public_address, node.public_media_address,
  ]])))
}

module "node" {
  source   = "./modules/node"
  for_each = local.nodes

  name    = each.key
  node    = each.value
  zone    = var.zone
  founder = var.founder
  members = { for name, member in local.members : name => {
    region = member.region, mesh_address = member.mesh_address, public_address = member.public_address
  } }
  addresses       = local.addresses
  regions         = var.regions
  groups          = local.groups
  replicated      = length(local.edge_regions) > 1
  clinics         = var.clinics
  operator_ranges = var.operator_ranges
  egress          = var.egress
  authorities     = var.certificate_authorities
  journal_max_use = var.journal_max_use
  certificate     = var.certificate
  private_key     = var.ssh_private_key_file
  release = {
    file         = var.release.file
    version      = local.version
    signers_file = var.release.signers_file
  }
}

# Everything is in place on every host before anything starts: an apply that fails half-way has enabled nothing.
resource "terraform_data" "network" {
  triggers_replace = { for name, node in module.node : name => node.wish }

  provisioner "local-exec" {
    interpreter = ["/usr/bin/env", "bash"]
    command     = "${path.module}/scripts/network"
    environment = merge(local.hosts, {
      LOCUM_FOUNDER = var.founder
      LOCUM_DNSSEC  = var.dnssec
      LOCUM_GROUPS  = length(local.edge_regions) > 1 ? join(" ", keys(local.groups)) : ""
    })
  }
}
