# Nine machines at AWS, three in each of three regions, for the network module to install. NOT RUN, NOT VALIDATED BY THE PROJECT:
# its tests cannot fetch the provider. Read it as a sketch of what goes where.
#
# In two steps, because a machine makes its SSH host key at its first boot and nobody should believe it unseen:
#   1. terraform apply here; then read each machine's ECDSA host key off its console
#      (`aws ec2 get-console-output`: cloud-init prints it between BEGIN and END SSH HOST KEY KEYS).
#   2. terraform apply in examples/three-region, with the addresses printed here and those keys, user `locum-operator`.

terraform {
  required_version = ">= 1.11"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.0"
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
  description = "Region of the network to AWS's."
  type        = map(string)
  default     = { us-west = "us-west-2", us-east = "us-east-1", eu-central = "eu-central-1" }
}

locals {
  machines = merge([for region, aws in var.regions : {
    for role in ["control", "edge", "media"] : "${region}-${role}" => { region = aws, role = role }
  }]...)
  # The host's own firewall says the same, and more exactly; this one stands before it.
  open = {
    control = [["tcp", 53, 53], ["udp", 53, 53]]
    edge    = [["tcp", 443, 443]]
    media   = [["tcp", 443, 443], ["udp", 443, 443]]
  }
}

module "user_data" {
  source          = "../../modules/user-data"
  for_each        = local.machines
  hostname        = each.key
  operator_keys   = var.operator_keys
  operator_ranges = var.operator_ranges
}

data "aws_ami" "debian" {
  for_each    = var.regions
  region      = each.value
  owners      = ["136693071363"]
  most_recent = true
  filter {
    name   = "name"
    values = ["debian-12-amd64-*"]
  }
}

resource "aws_security_group" "node" {
  for_each = local.machines
  region   = each.value.region
  name     = "locum-${each.key}"

  dynamic "ingress" {
    for_each = local.open[each.value.role]
    content {
      protocol    = ingress.value[0]
      from_port   = ingress.value[1]
      to_port     = ingress.value[2]
      cidr_blocks = ["0.0.0.0/0"]
    }
  }
  # The mesh: members' addresses are not known yet, and the host's firewall knows them.
  ingress {
    protocol    = "udp"
    from_port   = 4443
    to_port     = 4445
    cidr_blocks = ["0.0.0.0/0"]
  }
  ingress {
    protocol    = "tcp"
    from_port   = 22
    to_port     = 22
    cidr_blocks = var.operator_ranges
  }
  egress {
    protocol    = "-1"
    from_port   = 0
    to_port     = 0
    cidr_blocks = ["0.0.0.0/0"]
  }
}

resource "aws_instance" "node" {
  for_each               = local.machines
  region                 = each.value.region
  ami                    = data.aws_ami.debian[one([for region, aws in var.regions : region if aws == each.value.region])].id
  instance_type          = "c7i.large"
  user_data              = module.user_data[each.key].user_data
  vpc_security_group_ids = [aws_security_group.node[each.key].id]

  root_block_device {
    encrypted   = true
    volume_size = 40
  }
  metadata_options {
    http_tokens = "required"
  }
  lifecycle {
    # A newer image or other user data must not replace a machine that holds records.
    ignore_changes = [ami, user_data]
  }
}

resource "aws_eip" "node" {
  for_each = local.machines
  region   = each.value.region
  instance = aws_instance.node[each.key].id
}

output "machines" {
  description = "For var.nodes of the network: `address` is the machine's own, `public_address` what people see."
  value = { for name, machine in aws_instance.node : name => {
    host           = aws_eip.node[name].public_ip
    address        = machine.private_ip
    mesh_address   = machine.private_ip
    public_address = aws_eip.node[name].public_ip
  } }
}
