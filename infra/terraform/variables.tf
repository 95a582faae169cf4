variable "project" {
  description = "The Google Cloud project. Best one of its own: roles/dataflow.worker reads and creates objects in every bucket of it."
  type        = string
}

variable "region" {
  description = "Where the buckets, the image and the jobs are; reading pictures across regions costs more than computing on them."
  type        = string
}

variable "name" {
  description = "Prefix of everything that is made."
  type        = string
  default     = "convbase"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,15}$", var.name))
    error_message = "The name has to be 2 to 16 lower-case letters, digits and dashes."
  }
}

variable "images_bucket" {
  description = "The bucket of the pictures, which exists already; workers only read it."
  type        = string
}

variable "images_prefix" {
  description = "Folder of the pictures in it that the nightly job looks at."
  type        = string
  default     = "uploads/"
}

variable "store" {
  description = "Folder of the feature store in its bucket."
  type        = string
  default     = "store"
}

variable "store_soft_delete_days" {
  description = "Days for which Google keeps what was deleted from the store: 0, or 7 to 90. A takedown is complete only after them."
  type        = number
  default     = 0

  validation {
    condition     = var.store_soft_delete_days == 0 || (var.store_soft_delete_days >= 7 && var.store_soft_delete_days <= 90)
    error_message = "Cloud Storage takes 0 or 7 to 90 days."
  }
}

variable "image" {
  description = "The container in the registry, with its digest: REGION-docker.pkg.dev/PROJECT/convbase/convbase@sha256:…; null makes all that it needs and no nightly job yet."
  type        = string
  default     = null

  validation {
    condition     = var.image == null || can(regex("@sha256:[0-9a-f]{64}$", var.image))
    error_message = "The image has to be named by its digest, so that the launcher and every worker run the same one."
  }
}

variable "parameters" {
  description = "Further options of pipelines.extract for the nightly job, such as conv_base, pooling or labels_from."
  type        = map(string)
  default     = {}
}

variable "schedule" {
  description = "When the nightly job starts, as cron writes it, in UTC."
  type        = string
  default     = "0 2 * * *"
}

variable "machine_type" {
  description = "Machine of a worker; with a GPU one that takes it, such as g2-standard-8 for an nvidia-l4."
  type        = string
  default     = "n2-standard-8"
}

variable "max_workers" {
  description = "Most workers at once."
  type        = number
  default     = 20
}

variable "gpu" {
  description = "The GPU of a worker, such as nvidia-l4; null computes on the CPU. Needs an image with requirements-gpu.lock."
  type        = string
  default     = null
}

variable "subnetwork" {
  description = "URL of the subnetwork of the workers, which has to have Private Google Access; null makes one with a network of its own."
  type        = string
  default     = null
}

variable "readers" {
  description = "Who may read the store, as IAM writes members: those who train."
  type        = list(string)
  default     = []
}

variable "maintainers" {
  description = "Who may act as the account maintenance, as IAM writes members: takedowns, restoring, and upkeep by hand."
  type        = list(string)
  default     = []
}

variable "workload_identity_namespace" {
  description = "The namespace of kubernetes/overlays/gke, where pods of GKE run as the accounts of this configuration; null where none do."
  type        = string
  default     = null
}

variable "deletions_kept_days" {
  description = "Days for which the log says who deleted what from the store."
  type        = number
  default     = 400
}

variable "alert_channels" {
  description = "Names of the notification channels that the alerts go to, as gcloud beta monitoring channels list shows them."
  type        = list(string)

  validation {
    condition     = length(var.alert_channels) > 0
    error_message = "A night that fails has to reach somebody: name a channel at least."
  }
}

variable "least_coverage" {
  description = "Share of the pictures, in steps of 0.01, below which a night's coverage is an alert."
  type        = number
  default     = 0.99
}
