# mailprobe by Terraform: the account in the mail server's cluster, the probe in another one, one values file for both.
#
#   terraform -chdir=deploy/terraform init
#   terraform -chdir=deploy/terraform apply -var values="$PWD/values.yaml" -var mail_context=mail -var probe_context=outpost \
#     -var 'image={repository="registry.example.org/mailprobe",tag="TAG"}'
#
# Before it, the image is built and pushed, and where the values have hostNetwork the namespace in the probe's cluster is made and
# labelled: docs/helm.md has both. Terraform does neither, and since it waits for no pod, it does not see what is missing.
#
# Written for version 3 of the helm provider. The probe needs two Secrets in its namespace before it begins, its login and
# the account's kubeconfig: docs/helm.md says how they are made. They are not made here, for what Terraform makes it also
# keeps in its state. The kubeconfig can only be made once the account is there, so apply does not wait for the probe's pod: it
# begins by itself as soon as both Secrets are there.

terraform {
  required_version = ">= 1.5"
  required_providers {
    helm = {
      source  = "hashicorp/helm"
      version = "~> 3.0"
    }
  }
}

variable "values" {
  description = "The chart's values, docs/helm.md has an example."
  type        = string
}

variable "kubeconfig" {
  description = "Where both clusters are known."
  type        = string
  default     = "~/.kube/config"
}

variable "mail_context" {
  description = "The cluster of the mail server."
  type        = string
}

variable "probe_context" {
  description = "The cluster where the probe stands: another one."
  type        = string

  validation {
    condition     = var.probe_context != ""
    error_message = "Name the context of the cluster where the probe stands."
  }
}

variable "prometheus_in" {
  description = "Which of the two has Prometheus with its operator, and Grafana: rules and dashboard that the values enable are made there alone. So is the scrape in the probe's; in the mail server's it is yours (docs/helm.md), and the values must not enable it."
  type        = string
  default     = "probe"

  validation {
    condition     = contains(["probe", "mail"], var.prometheus_in)
    error_message = "It is \"probe\" or \"mail\"."
  }
}

variable "namespace" {
  description = "The probe's namespace in both clusters."
  type        = string
  default     = "mailprobe"
}

variable "image" {
  description = "The image, built from this repository and pushed to where the probe's cluster finds it."
  type        = object({ repository = string, tag = optional(string, "") })
  default     = { repository = "mailprobe" }
}

locals {
  unwatched = yamlencode({
    for name in ["serviceMonitor", "probeResources", "prometheusRule", "maintenanceRule", "dashboard"] : name => { enabled = false }
  })
}

provider "helm" {
  alias = "mail"
  kubernetes = {
    config_path    = pathexpand(var.kubeconfig)
    config_context = var.mail_context
  }
}

provider "helm" {
  alias = "probe"
  kubernetes = {
    config_path    = pathexpand(var.kubeconfig)
    config_context = var.probe_context
  }
}

resource "helm_release" "account" {
  provider         = helm.mail
  name             = "mailprobe"
  namespace        = var.namespace
  create_namespace = true
  chart            = "${path.module}/../helm/mailprobe"
  values           = [file(var.values), yamlencode({ accountOnly = true }), var.prometheus_in == "mail" ? "{}" : local.unwatched]
}

resource "helm_release" "probe" {
  provider         = helm.probe
  name             = "mailprobe"
  namespace        = var.namespace
  create_namespace = true
  chart            = "${path.module}/../helm/mailprobe"
  values           = [file(var.values), yamlencode({ image = var.image }), var.prometheus_in == "probe" ? "{}" : local.unwatched]
  depends_on       = [helm_release.account]
  wait             = false

  lifecycle {
    precondition {
      condition     = var.mail_context != var.probe_context
      error_message = "From inside its cluster the probe never walks the clients' way in: see docs/helm.md."
    }
  }
}
