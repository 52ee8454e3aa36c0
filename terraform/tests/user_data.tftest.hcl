# What machines of a cloud are given.

run "renders" {
  command = plan
  module {
    source = "./modules/user-data"
  }
  variables {
    hostname        = "us-west-edge"
    operator_keys   = ["ssh-ed25519 AAAA operator"]
    operator_ranges = ["192.0.2.0/24", "2001:db8::/48"]
  }

  assert {
    condition     = startswith(output.user_data, "#cloud-config\n") && yamldecode(output.user_data).hostname == "us-west-edge"
    error_message = "it is a cloud-config"
  }
  assert {
    condition     = yamldecode(output.user_data).ssh_pwauth == false && yamldecode(output.user_data).disable_root == true
    error_message = "SSH is by key, and not for root"
  }
  assert {
    condition     = strcontains(yamldecode(output.user_data).write_files[0].content, "ip saddr { 192.0.2.0/24 } tcp dport 22 accept") && strcontains(yamldecode(output.user_data).write_files[0].content, "ip6 saddr { 2001:db8::/48 } tcp dport 22 accept")
    error_message = "operators come in, nobody else"
  }
}

run "no_operators" {
  command = plan
  module {
    source = "./modules/user-data"
  }
  variables {
    hostname        = "us-west-edge"
    operator_keys   = []
    operator_ranges = ["0.0.0.0/0"]
  }
  expect_failures = [var.operator_keys, var.operator_ranges]
}

run "root_is_no_operator" {
  command = plan
  module {
    source = "./modules/user-data"
  }
  variables {
    hostname        = "Us_West"
    user            = "root"
    operator_keys   = ["ssh-ed25519 AAAA"]
    operator_ranges = ["192.0.2.0/24"]
  }
  expect_failures = [var.hostname, var.user]
}
