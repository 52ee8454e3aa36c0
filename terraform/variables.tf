variable "zone" {
  description = "DNS zone of the network, delegated to its members of the control plane (output `delegation`)."
  type        = string

  validation {
    condition     = length(var.zone) <= 190 && can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+$", var.zone))
    error_message = "zone: a DNS name of at least two labels of a-z, 0-9 and inner hyphens, without a dot at the end."
  }
}

variable "release" {
  description = "What `make dist` made: the tarball, and the file of allowed signers (ssh-keygen(1), principal `release`) that its `.sig` must be by. Without signers only the checksum is compared."
  type = object({
    file         = string
    signers_file = optional(string)
  })

  validation {
    condition     = can(regex("^locum-[0-9A-Za-z.+-]+-x86_64-linux\\.tar\\.gz$", basename(var.release.file))) && fileexists(var.release.file)
    error_message = "release.file: a file named locum-VERSION-x86_64-linux.tar.gz, as `make dist` names it."
  }
  validation {
    condition     = var.release.signers_file == null || try(fileexists(var.release.signers_file) && fileexists("${var.release.file}.sig"), false)
    error_message = "release.signers_file: must be there, and the tarball's .sig beside the tarball."
  }
}

variable "regions" {
  description = "The regions and where they are, in degrees north and east: people are sent to a near one."
  type        = map(object({ latitude = number, longitude = number }))

  validation {
    condition     = length(var.regions) > 0 && alltrue([for name, _ in var.regions : can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", name)) && name != "app"])
    error_message = "regions: at least one; each name is one DNS label, and not `app`."
  }
  validation {
    condition     = alltrue([for _, at in var.regions : abs(at.latitude) <= 90 && abs(at.longitude) <= 180])
    error_message = "regions: latitude -90 to 90, longitude -180 to 180."
  }
}

variable "nodes" {
  description = "The hosts, by a name each. A name, once given, stays with its host: certificates and record groups know nodes as ROLE-NAME."
  type = map(object({
    # Where SSH goes, and as whom; anybody but root needs sudo without a password.
    host = string
    port = optional(number, 22)
    user = optional(string, "root")
    # The host's ECDSA key, as in /etc/ssh/ssh_host_ecdsa_key.pub: Terraform's SSH asks for that kind first.
    host_key = string
    region   = string
    roles    = set(string)
    # The host's own address at which it listens for people, and other nodes.
    address      = string
    mesh_address = optional(string)
    # A second address of its own, for the media node of a host that is an edge host too: both listen at 443.
    media_address = optional(string)
    # What people and other name servers see instead, where the host is behind a NAT that keeps ports.
    public_address       = optional(string)
    public_media_address = optional(string)
    # Participants of all calls together that the media node may have.
    capacity = optional(number, 64)
  }))

  validation {
    condition     = alltrue([for name, _ in var.nodes : can(regex("^[a-z]([a-z0-9-]{0,40}[a-z0-9])?$", name))])
    error_message = "nodes: a name is 1 to 42 of a-z, 0-9 and inner hyphens, and begins with a letter."
  }
  validation {
    condition     = alltrue([for _, node in var.nodes : length(node.roles) > 0 && length(setsubtract(node.roles, ["control", "edge", "media"])) == 0])
    error_message = "nodes: roles are one or more of control, edge, media."
  }
  validation {
    condition     = contains([1, 3, 5], length([for _, node in var.nodes : 1 if contains(node.roles, "control")]))
    error_message = "nodes: 1, 3 or 5 of them are members of the control plane (role control); an even number bears no more losses than one less."
  }
  validation {
    condition     = anytrue([for _, node in var.nodes : contains(node.roles, "edge")]) && anytrue([for _, node in var.nodes : contains(node.roles, "media")])
    error_message = "nodes: at least one edge host and one media node."
  }
  validation {
    condition     = alltrue([for _, node in var.nodes : contains(keys(var.regions), node.region)])
    error_message = "nodes: each region must be one of var.regions."
  }
  validation {
    condition = alltrue(flatten([for _, node in var.nodes : [
      for address in compact([node.address, node.mesh_address, node.media_address, node.public_address, node.public_media_address]) :
      can(cidrhost("${address}/32", 0)) || can(cidrhost("${address}/128", 0))
    ]]))
    error_message = "nodes: addresses are IPv4 or IPv6 addresses, not names."
  }
  validation {
    condition     = length(distinct([for _, node in var.nodes : node.address])) == length(var.nodes)
    error_message = "nodes: two hosts have one address."
  }
  validation {
    condition     = alltrue([for _, node in var.nodes : node.media_address != null if length(setintersection(node.roles, ["edge", "media"])) == 2])
    error_message = "nodes: a host that is edge host and media node needs a media_address of its own."
  }
  validation {
    condition     = alltrue([for _, node in var.nodes : can(regex("^(ecdsa-sha2-nistp256|ecdsa-sha2-nistp384|ecdsa-sha2-nistp521|ssh-ed25519|ssh-rsa) [A-Za-z0-9+/=]+$", node.host_key))])
    error_message = "nodes: host_key is kind and key of a host's public SSH key, without a comment."
  }
  validation {
    condition     = alltrue([for _, node in var.nodes : can(regex("^[A-Za-z0-9.:_-]+$", node.host)) && can(regex("^[a-z_][a-z0-9_-]*$", node.user)) && node.port > 0 && node.port < 65536])
    error_message = "nodes: host is a name or an address, user a user's name, port 1 to 65535."
  }
  validation {
    condition     = alltrue([for _, node in var.nodes : node.capacity >= 1 && node.capacity == floor(node.capacity)])
    error_message = "nodes: capacity is a whole number from 1."
  }
}

variable "founder" {
  description = "The node whose member of the control plane begins the network; the others join it. Should its disk be lost one day, name another one here before you apply again."
  type        = string

  validation {
    condition     = try(contains(var.nodes[var.founder].roles, "control"), false)
    error_message = "founder: one of var.nodes with the role control."
  }
}

variable "clinics" {
  description = "Clinic, as in URLs, to the record group that holds its records."
  type        = map(string)

  validation {
    condition     = length(var.clinics) > 0 && alltrue([for name, group in var.clinics : can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", name)) && contains(keys(local.groups), group)])
    error_message = "clinics: at least one; a name is one DNS label, a group one of var.record_groups (`main` if there are none)."
  }
}

variable "record_groups" {
  description = "Record group to the regions that may hold it, preferred ones first. Default: `main` in every region with an edge host. Once a group has begun its regions stay."
  type        = map(list(string))
  default     = {}

  validation {
    condition     = alltrue([for name, regions in var.record_groups : can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", name)) && length(regions) > 0 && length(regions) == length(distinct(regions))])
    error_message = "record_groups: a name is one DNS label; each has regions, each region once."
  }
  validation {
    condition     = alltrue(flatten([for _, regions in var.record_groups : [for region in regions : contains(local.edge_regions, region)]]))
    error_message = "record_groups: a region that holds records needs an edge host."
  }
}

variable "operator_ranges" {
  description = "Networks (CIDR) from which hosts may be operated: SSH, and the operations port 8443. Yours must be among them."
  type        = list(string)

  validation {
    condition     = length(var.operator_ranges) > 0 && alltrue([for range in var.operator_ranges : can(cidrhost(range, 0)) && !endswith(range, "/0")])
    error_message = "operator_ranges: at least one network such as 192.0.2.0/24, and never all addresses."
  }
}

variable "egress" {
  description = "What hosts may reach beyond each other: package mirrors, time servers, resolvers, an S3 endpoint."
  type = list(object({
    range    = string
    protocol = string
    ports    = list(number)
  }))
  default = []

  validation {
    condition     = alltrue([for to in var.egress : can(cidrhost(to.range, 0)) && contains(["tcp", "udp"], to.protocol) && length(to.ports) > 0 && alltrue([for port in to.ports : port > 0 && port < 65536])])
    error_message = "egress: a network, tcp or udp, and ports."
  }
}

variable "certificate" {
  description = "Files of the certificate for `*.ZONE` and `ZONE` (chain and key, PEM), which hosts are sent and take up without a restart. `trust_file`: the authority, where it is none that systems know."
  type = object({
    chain_file = string
    key_file   = string
    trust_file = optional(string)
  })

  validation {
    condition     = fileexists(var.certificate.chain_file) && fileexists(var.certificate.key_file)
    error_message = "certificate: chain_file and key_file must be there."
  }
  validation {
    condition     = var.certificate.trust_file == null || try(fileexists(var.certificate.trust_file), false)
    error_message = "certificate: trust_file must be there."
  }
}

variable "ssh_private_key_file" {
  description = "The key for all hosts, without a passphrase. Its path is kept in the state, the key never. Default: the SSH agent."
  type        = string
  default     = null

  validation {
    condition     = var.ssh_private_key_file == null || try(fileexists(var.ssh_private_key_file), false)
    error_message = "ssh_private_key_file: there is no such file."
  }
}

variable "dnssec" {
  description = "Sign the zone. Hand the DS record that `apply` prints to the registrar afterwards."
  type        = bool
  default     = true
}

variable "certificate_authorities" {
  description = "Who may issue certificates for the zone (CAA records), such as letsencrypt.org. Default: anybody."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for name in var.certificate_authorities : can(regex("^[a-z0-9.-]+$", name))])
    error_message = "certificate_authorities: DNS names."
  }
}

variable "journal_max_use" {
  description = "Most that a host's logs may take of its disk."
  type        = string
  default     = "1G"

  validation {
    condition     = can(regex("^[1-9][0-9]*[MG]$", var.journal_max_use))
    error_message = "journal_max_use: a number and M or G."
  }
}
