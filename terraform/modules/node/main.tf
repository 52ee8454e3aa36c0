# One host: what it must know, and how it gets there. Nothing starts here.

locals {
  release = "/opt/locum/releases/${var.release.version}"
  upload  = "/var/lib/locum-host/upload"
  sudo    = var.node.user == "root" ? "" : "sudo -n "
  host    = "${local.sudo}/opt/locum/bin/locum-host"
  roles   = sort(var.node.roles)
  serves  = length(setintersection(var.node.roles, ["edge", "media"])) > 0

  # Members of its own region first.
  others  = { for name, member in var.members : name => member if name != var.name }
  near    = [for _, member in var.members : member.mesh_address if member.region == var.node.region]
  far     = [for _, member in var.members : member.mesh_address if member.region != var.node.region]
  control = [for address in concat(local.near, local.far) : join(":", [strcontains(address, ":") ? "[${address}]" : address, 4443])]

  bracket = { for address in var.addresses : address => strcontains(address, ":") ? "[${address}]" : address }
  known = merge(var.node, {
    name         = var.name
    zone         = var.zone
    release      = local.release
    control      = local.control
    bracket      = local.bracket
    trust        = var.certificate.trust_file != null
    replicated   = var.replicated
    groups       = var.groups
    clinics      = var.clinics
    regions      = var.regions
    members      = var.members
    authorities  = var.authorities
    founds       = var.name == var.founder
    join_members = [for _, member in local.others : "${local.bracket[member.mesh_address]}:4443"]
  })

  # Everything a host is wished to be.
  files = merge(
    { for role in local.roles : "${role}.toml" => templatefile("${path.module}/templates/${role}.toml.tftpl", local.known) },
    {
      "host"          = "name=${var.name}\nversion=${var.release.version}\nroles=${join(" ", local.roles)}\n"
      "journald.conf" = "[Journal]\nStorage=persistent\nSystemMaxUse=${var.journal_max_use}\nRateLimitIntervalSec=30s\nRateLimitBurst=20000\n"
      "firewall.nft" = templatefile("${path.module}/templates/firewall.nft.tftpl", merge(local.known, {
        members4   = [for address in var.addresses : address if !strcontains(address, ":")]
        members6   = [for address in var.addresses : address if strcontains(address, ":")]
        operators4 = [for range in var.operator_ranges : range if !strcontains(range, ":")]
        operators6 = [for range in var.operator_ranges : range if strcontains(range, ":")]
        egress     = var.egress
      }))
    },
    var.certificate.trust_file == null ? {} : { "trust.pem" = file(var.certificate.trust_file) },
  )
  bundle = join("", [for name, text in local.files : "${name} ${base64encode(text)}\n"])

  connection = {
    host        = var.node.host
    port        = var.node.port
    user        = var.node.user
    host_key    = var.node.host_key
    private_key = var.private_key
    sudo        = local.sudo
  }
}

# Apart from what may fail, so that destroy always cleans up: a tainted resource is replaced without a word.
resource "terraform_data" "host" {
  input = local.connection

  provisioner "remote-exec" {
    when = destroy
    inline = [
      "if [ -x /opt/locum/bin/locum-host ]; then ${self.input.sudo}/opt/locum/bin/locum-host remove; else ${self.input.sudo}rm -rf /opt/locum /var/lib/locum-host; fi",
    ]
    connection {
      host        = self.input.host
      port        = self.input.port
      user        = self.input.user
      host_key    = self.input.host_key
      private_key = self.input.private_key == null ? null : file(self.input.private_key)
      timeout     = "1m"
    }
  }
}

resource "terraform_data" "release" {
  triggers_replace = [filesha256(var.release.file), local.roles, filesha256("${path.module}/files/locum-host")]
  depends_on       = [terraform_data.host]

  connection {
    host        = local.connection.host
    port        = local.connection.port
    user        = local.connection.user
    host_key    = local.connection.host_key
    private_key = local.connection.private_key == null ? null : file(local.connection.private_key)
    timeout     = "1m"
  }

  # What is uploaded is uploaded to a folder that nobody else can prepare.
  provisioner "remote-exec" {
    inline = [
      "set -eu",
      "${local.sudo}install -d -m 755 /opt/locum /opt/locum/bin && ${local.sudo}install -d -m 711 /var/lib/locum-host && ${local.sudo}install -d -m 700 -o \"$(id -u)\" ${local.upload}",
      "free=$(df --output=avail -BM ${local.upload} | tail -1 | tr -dc 0-9)",
      "[ \"$free\" -ge 300 ] || { echo \"$(hostname): /var/lib has $free MiB free, a release needs 300 MiB there: make room, apply again\" >&2; exit 1; }",
    ]
  }
  provisioner "file" {
    source      = "${path.module}/files/locum-host"
    destination = "${local.upload}/locum-host"
  }
  provisioner "file" {
    source      = var.release.file
    destination = "${local.upload}/release.tar.gz"
  }
  provisioner "file" {
    content     = var.release.signers_file == null ? "" : file(var.release.signers_file)
    destination = "${local.upload}/signers"
  }
  provisioner "file" {
    content     = var.release.signers_file == null ? "" : file("${var.release.file}.sig")
    destination = "${local.upload}/release.tar.gz.sig"
  }
  provisioner "remote-exec" {
    inline = [
      "set -eu",
      "${local.sudo}install -m 755 ${local.upload}/locum-host /opt/locum/bin/locum-host",
      "${local.host} unpack ${local.upload}/release.tar.gz ${filesha256(var.release.file)} ${var.release.version} ${local.upload}/signers ${join(" ", local.roles)}",
    ]
  }
}

resource "terraform_data" "wish" {
  triggers_replace = [sha256(local.bundle), terraform_data.release.id]

  connection {
    host        = local.connection.host
    port        = local.connection.port
    user        = local.connection.user
    host_key    = local.connection.host_key
    private_key = local.connection.private_key == null ? null : file(local.connection.private_key)
    timeout     = "1m"
  }

  provisioner "file" {
    content     = local.bundle
    destination = "${local.upload}/bundle"
  }
  provisioner "remote-exec" {
    inline = ["${local.host} stage ${local.upload}/bundle"]
  }
}

# Followed by edge hosts and media nodes without a restart, so it is no part of the wish.
resource "terraform_data" "certificate" {
  count            = local.serves ? 1 : 0
  triggers_replace = [filesha256(var.certificate.chain_file), terraform_data.host.id]
  depends_on       = [terraform_data.wish]

  connection {
    host        = local.connection.host
    port        = local.connection.port
    user        = local.connection.user
    host_key    = local.connection.host_key
    private_key = local.connection.private_key == null ? null : file(local.connection.private_key)
    timeout     = "1m"
  }

  # By path: neither plan nor state has the key.
  provisioner "file" {
    source      = var.certificate.chain_file
    destination = "${local.upload}/chain.pem"
  }
  provisioner "file" {
    source      = var.certificate.key_file
    destination = "${local.upload}/key.pem"
  }
  provisioner "remote-exec" {
    inline = ["${local.host} certificate ${local.upload}/chain.pem ${local.upload}/key.pem"]
  }
}
