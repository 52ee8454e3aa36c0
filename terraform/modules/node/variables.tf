variable "name" {
  type = string
}

variable "node" {
  description = "As in the root module, defaults filled in."
  type = object({
    host                 = string
    port                 = number
    user                 = string
    host_key             = string
    region               = string
    roles                = set(string)
    address              = string
    mesh_address         = string
    media_address        = string
    public_address       = string
    public_media_address = string
    capacity             = number
  })
}

variable "zone" {
  type = string
}

variable "founder" {
  type = string
}

variable "members" {
  description = "Of the control plane, by node."
  type        = map(object({ region = string, mesh_address = string, public_address = string }))
}

variable "addresses" {
  description = "Of all hosts."
  type        = list(string)
}

variable "regions" {
  type = map(object({ latitude = number, longitude = number }))
}

variable "groups" {
  type = map(list(string))
}

variable "replicated" {
  description = "Whether records are in several regions."
  type        = bool
}

variable "clinics" {
  type = map(string)
}

variable "operator_ranges" {
  type = list(string)
}

variable "egress" {
  type = list(object({ range = string, protocol = string, ports = list(number) }))
}

variable "authorities" {
  type = list(string)
}

variable "journal_max_use" {
  type = string
}

variable "certificate" {
  type = object({ chain_file = string, key_file = string, trust_file = optional(string) })
}

variable "private_key" {
  description = "Path."
  type        = string
}

variable "release" {
  type = object({ file = string, version = string, signers_file = optional(string) })
}
