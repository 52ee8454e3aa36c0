# Renders what a cloud's machine is given at its first boot (cloud-init). No resources: whoever makes the machine passes it
# on. It holds no secret.
#
# It brings the machine to where `terraform apply` takes over: packages, time, updates by themselves, SSH by key only, and a
# firewall that already keeps out everybody but the operators.

terraform {
  required_version = ">= 1.11"
}

variable "hostname" {
  description = "One DNS label."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", var.hostname))
    error_message = "hostname: one DNS label of a-z, 0-9 and inner hyphens."
  }
}

variable "user" {
  description = "Whom operators sign in as; may become root without a password."
  type        = string
  default     = "locum-operator"

  validation {
    condition     = can(regex("^[a-z_][a-z0-9_-]{0,31}$", var.user)) && var.user != "root"
    error_message = "user: a user's name, and not root."
  }
}

variable "operator_keys" {
  description = "Public SSH keys of the operators."
  type        = list(string)

  validation {
    condition     = length(var.operator_keys) > 0 && alltrue([for key in var.operator_keys : can(regex("^(ssh-ed25519|ecdsa-sha2-[a-z0-9]+|sk-[a-z0-9@.-]+|ssh-rsa) [A-Za-z0-9+/=]+", key))])
    error_message = "operator_keys: at least one public SSH key."
  }
}

variable "operator_ranges" {
  description = "Networks from which SSH is let in."
  type        = list(string)

  validation {
    condition     = length(var.operator_ranges) > 0 && alltrue([for range in var.operator_ranges : can(cidrhost(range, 0)) && !endswith(range, "/0")])
    error_message = "operator_ranges: at least one network such as 192.0.2.0/24, and never all addresses."
  }
}

locals {
  ranges4 = [for range in var.operator_ranges : range if !strcontains(range, ":")]
  ranges6 = [for range in var.operator_ranges : range if strcontains(range, ":")]
  ssh = concat(
    length(local.ranges4) > 0 ? ["    ip saddr { ${join(", ", local.ranges4)} } tcp dport 22 accept"] : [],
    length(local.ranges6) > 0 ? ["    ip6 saddr { ${join(", ", local.ranges6)} } tcp dport 22 accept"] : [],
  )
  # Its own table beside the one that `terraform apply` brings; both must let a packet in.
  firewall = join("\n", concat([
    "#!/usr/sbin/nft -f",
    "# Until the network's own rules are there: operators only.",
    "table inet first_boot",
    "delete table inet first_boot",
    "table inet first_boot {",
    "  chain input {",
    "    type filter hook input priority filter + 10; policy accept;",
    "    iif lo accept",
    "    ct state established,related accept",
    "    meta l4proto { 1, 58 } accept",
    "    udp sport 67 udp dport 68 accept",
    ], local.ssh, [
    "    tcp dport { 53, 443 } accept",
    "    udp dport { 53, 443, 4443-4445 } accept",
    "    drop",
    "  }",
    "}",
    "",
  ]))

  config = {
    hostname          = var.hostname
    preserve_hostname = false
    package_update    = true
    package_upgrade   = true
    packages          = ["nftables", "systemd-timesyncd", "unattended-upgrades", "needrestart"]
    disable_root      = true
    ssh_pwauth        = false
    users = [{
      name                = var.user
      shell               = "/bin/bash"
      sudo                = "ALL=(ALL) NOPASSWD:ALL"
      lock_passwd         = true
      ssh_authorized_keys = var.operator_keys
    }]
    write_files = [
      { path = "/etc/nftables.conf", permissions = "0600", content = local.firewall },
      {
        path        = "/etc/ssh/sshd_config.d/10-operators.conf"
        permissions = "0644"
        content     = "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin no\nAllowUsers ${var.user}\nX11Forwarding no\nAllowAgentForwarding no\nMaxAuthTries 3\n"
      },
      {
        path        = "/etc/apt/apt.conf.d/20auto-upgrades"
        permissions = "0644"
        content     = "APT::Periodic::Update-Package-Lists \"1\";\nAPT::Periodic::Unattended-Upgrade \"1\";\n"
      },
      {
        path        = "/etc/sysctl.d/60-locum.conf"
        permissions = "0644"
        content     = "kernel.dmesg_restrict = 1\nkernel.kptr_restrict = 2\nkernel.unprivileged_bpf_disabled = 1\nnet.core.rmem_max = 8388608\nnet.core.wmem_max = 8388608\n"
      },
    ]
    runcmd = [
      ["systemctl", "enable", "--now", "nftables", "systemd-timesyncd", "unattended-upgrades"],
      ["sysctl", "--system"],
      ["systemctl", "restart", "ssh"],
    ]
  }
}

output "user_data" {
  description = "For the machine's user data, as it is."
  value       = "#cloud-config\n${yamlencode(local.config)}"
}
