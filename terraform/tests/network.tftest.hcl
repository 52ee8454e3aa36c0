# What is planned and rendered, and what is refused. Nothing is applied: tests/fleet does that, on real hosts.

variables {
  zone = "clinic.example"
  release = {
    file = "./tests/fixtures/locum-0.0.0-test-x86_64-linux.tar.gz"
  }
  regions = {
    west = { latitude = 45.6, longitude = -121.2 }
    east = { latitude = 39.0, longitude = -77.5 }
    home = { latitude = 50.1, longitude = 8.7 }
  }
  founder         = "home-1"
  clinics         = { riverside = "main" }
  operator_ranges = ["192.0.2.0/24", "2001:db8:1::/48"]
  egress          = [{ range = "198.51.100.7/32", protocol = "tcp", ports = [443] }]
  certificate = {
    chain_file = "./tests/fixtures/chain.pem"
    key_file   = "./tests/fixtures/key.pem"
    trust_file = "./tests/fixtures/trust.pem"
  }
  nodes = {
    home-1 = { host = "h1", host_key = "ecdsa-sha2-nistp256 AAAA", region = "home", roles = ["control", "edge", "media"], address = "203.0.113.1", media_address = "203.0.113.11", mesh_address = "10.0.0.1" }
    west-1 = { host = "h2", host_key = "ecdsa-sha2-nistp256 AAAB", region = "west", roles = ["control", "edge"], address = "2001:db8::2", public_address = "203.0.113.2" }
    west-2 = { host = "h3", host_key = "ecdsa-sha2-nistp256 AAAC", region = "west", roles = ["media"], address = "203.0.113.3", user = "operator", port = 2222, capacity = 200 }
    east-1 = { host = "h4", host_key = "ecdsa-sha2-nistp256 AAAD", region = "east", roles = ["control", "edge"], address = "203.0.113.4" }
  }
}

run "three_regions" {
  command = plan

  assert {
    condition     = output.urls.pages.riverside == "https://app.clinic.example/c/riverside" && length(output.urls.regions) == 3
    error_message = "people are told where to go"
  }
  assert {
    condition     = contains(output.delegation, "clinic.example. NS ns-home-1.clinic.example.") && contains(output.delegation, "ns-west-1.clinic.example. A 203.0.113.2") && length(output.delegation) == 6
    error_message = "the parent zone is told of every member, by its public address"
  }
  assert {
    condition     = output.version == "0.0.0-test"
    error_message = "the version stands in the file's name"
  }

  # Members.
  assert {
    condition     = !strcontains(module.node["home-1"].files["control.toml"], "[join]") && strcontains(module.node["west-1"].files["control.toml"], "[join]\naddresses = [\"203.0.113.4:4443\",\"10.0.0.1:4443\"]")
    error_message = "the founder begins the network, others join those there are"
  }
  assert {
    condition     = strcontains(module.node["east-1"].files["control.toml"], "[groups.main]\nregions = [\"east\",\"home\",\"west\"]")
    error_message = "records are everywhere where there is an edge host"
  }
  assert {
    condition     = strcontains(module.node["west-1"].files["control.toml"], "listen = [\"[2001:db8::2]:53\"]") && strcontains(module.node["west-1"].files["control.toml"], "ns-west-1 = [\"203.0.113.2\"]")
    error_message = "the name server listens at its own address and is known by its public one"
  }

  # Edge hosts and media nodes.
  assert {
    condition     = strcontains(module.node["east-1"].files["edge.toml"], "[control]\naddress = [\"203.0.113.4:4443\",\"10.0.0.1:4443\",\"[2001:db8::2]:4443\"]")
    error_message = "members of the own region come first"
  }
  assert {
    condition     = strcontains(module.node["home-1"].files["media.toml"], "signal_listen = \"203.0.113.11:443\"") && strcontains(module.node["home-1"].files["edge.toml"], "http_listen = \"203.0.113.1:443\"")
    error_message = "both listen at 443, each at an address of its own"
  }
  assert {
    condition     = strcontains(module.node["west-2"].files["media.toml"], "capacity = 200") && !contains(keys(module.node["west-2"].files), "edge.toml")
    error_message = "a host is told of its own roles"
  }

  # Firewall.
  assert {
    condition     = strcontains(module.node["west-2"].files["firewall.nft"], "tcp dport { 2222, 8443 } accept") && !strcontains(module.node["west-2"].files["firewall.nft"], "th dport 53 accept\n    }")
    error_message = "operators come in at the host's own port"
  }
  assert {
    condition     = !strcontains(module.node["east-1"].files["firewall.nft"], "skuid \"locum-media\"") && strcontains(module.node["east-1"].files["firewall.nft"], "ip daddr 198.51.100.7/32 tcp dport { 443 } accept")
    error_message = "what may leave is what a role needs, and what was allowed"
  }
  assert {
    condition     = strcontains(module.node["east-1"].files["firewall.nft"], "elements = { 10.0.0.1, 203.0.113.1, 203.0.113.11, 203.0.113.2, 203.0.113.3, 203.0.113.4 }") && strcontains(module.node["east-1"].files["firewall.nft"], "elements = { 2001:db8::2 }")
    error_message = "the mesh is open between members only"
  }

  # No secret is rendered anywhere.
  assert {
    condition     = alltrue(flatten([for _, node in module.node : [for _, text in node.files : !strcontains(text, "not a key")]]))
    error_message = "the certificate's key is in no plan"
  }
}

run "one_region" {
  command = plan

  variables {
    founder = "one"
    nodes   = { one = { host = "h", host_key = "ecdsa-sha2-nistp256 AAAA", region = "home", roles = ["control", "edge", "media"], address = "203.0.113.1", media_address = "203.0.113.2" } }
  }

  assert {
    condition     = !strcontains(module.node["one"].files["control.toml"], "[groups") && !strcontains(module.node["one"].files["edge.toml"], "[replication]")
    error_message = "one region has one copy: nothing to agree on"
  }
}

run "wrong_zone" {
  command = plan
  variables { zone = "Clinic.example." }
  expect_failures = [var.zone]
}

run "wrong_release" {
  command = plan
  variables { release = { file = "./tests/fixtures/chain.pem" } }
  expect_failures = [var.release]
}

run "release_without_signature" {
  command = plan
  variables {
    release = { file = "./tests/fixtures/locum-0.0.0-test-x86_64-linux.tar.gz", signers_file = "./tests/fixtures/chain.pem" }
  }
  expect_failures = [var.release]
}

run "regions_on_no_globe" {
  command = plan
  variables {
    regions = {
      west = { latitude = 95, longitude = 0 }, east = { latitude = 0, longitude = 0 }, home = { latitude = 0, longitude = 0 }
    }
  }
  expect_failures = [var.regions]
}

run "two_members" {
  command = plan
  variables {
    nodes = {
      home-1 = { host = "h1", host_key = "ssh-ed25519 AAAA", region = "home", roles = ["control", "edge"], address = "203.0.113.1" }
      west-1 = { host = "h2", host_key = "ssh-ed25519 AAAB", region = "west", roles = ["control", "media"], address = "203.0.113.2" }
    }
  }
  expect_failures = [var.nodes]
}

run "unknown_role" {
  command = plan
  variables {
    nodes = {
      home-1 = { host = "h1", host_key = "ssh-ed25519 AAAA", region = "home", roles = ["control", "edge", "database"], address = "203.0.113.1" }
    }
  }
  expect_failures = [var.nodes]
}

run "unknown_region" {
  command = plan
  variables {
    nodes = {
      home-1 = { host = "h1", host_key = "ssh-ed25519 AAAA", region = "mars", roles = ["control", "edge", "media"], address = "203.0.113.1", media_address = "203.0.113.2" }
    }
  }
  expect_failures = [var.nodes]
}

run "edge_host_and_media_node_at_one_address" {
  command = plan
  variables {
    nodes = {
      home-1 = { host = "h1", host_key = "ssh-ed25519 AAAA", region = "home", roles = ["control", "edge", "media"], address = "203.0.113.1" }
    }
  }
  expect_failures = [var.nodes]
}

run "names_for_addresses" {
  command = plan
  variables {
    nodes = {
      home-1 = { host = "h1", host_key = "ssh-ed25519 AAAA", region = "home", roles = ["control", "edge", "media"], address = "h1.example", media_address = "203.0.113.2" }
    }
  }
  expect_failures = [var.nodes]
}

run "host_without_a_key" {
  command = plan
  variables {
    nodes = {
      home-1 = { host = "h1", host_key = "whatever it shows", region = "home", roles = ["control", "edge", "media"], address = "203.0.113.1", media_address = "203.0.113.2" }
    }
  }
  expect_failures = [var.nodes]
}

run "founder_is_no_member" {
  command = plan
  variables { founder = "west-2" }
  expect_failures = [var.founder]
}

run "clinic_in_no_group" {
  command = plan
  variables { clinics = { riverside = "other" } }
  expect_failures = [var.clinics]
}

run "records_where_nobody_serves_them" {
  command = plan
  variables {
    record_groups = { main = ["home", "mars"] }
  }
  expect_failures = [var.record_groups]
}

run "operators_from_everywhere" {
  command = plan
  variables { operator_ranges = ["0.0.0.0/0"] }
  expect_failures = [var.operator_ranges]
}

run "egress_without_a_port" {
  command = plan
  variables { egress = [{ range = "198.51.100.7/32", protocol = "tcp", ports = [] }] }
  expect_failures = [var.egress]
}

run "no_certificate" {
  command = plan
  variables { certificate = { chain_file = "./tests/fixtures/none.pem", key_file = "./tests/fixtures/key.pem" } }
  expect_failures = [var.certificate]
}

run "no_ssh_key" {
  command = plan
  variables { ssh_private_key_file = "./tests/fixtures/none" }
  expect_failures = [var.ssh_private_key_file]
}

run "no_authority" {
  command = plan
  variables { certificate_authorities = ["let's encrypt"] }
  expect_failures = [var.certificate_authorities]
}

run "logs_without_a_bound" {
  command = plan
  variables { journal_max_use = "0" }
  expect_failures = [var.journal_max_use]
}
