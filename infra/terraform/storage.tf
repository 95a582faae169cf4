# The pictures are their owner's: this configuration grants reading and makes nothing there. Where that bucket has soft
# delete or versions, a picture that was taken down is gone only after them.
data "google_storage_bucket" "images" {
  name = var.images_bucket
}

# A Delta table keeps its own history: old versions stay until a vacuum, and a vacuum is meant. Object versions and soft
# delete would keep what a takedown removed, and double the bytes of every compaction. No rule deletes by age or moves to
# a colder class: only the table's log knows which file is in use.
resource "google_storage_bucket" "store" {
  name                        = "${var.project}-${var.name}-store"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = false

  versioning {
    enabled = false
  }

  soft_delete_policy {
    retention_duration_seconds = var.store_soft_delete_days * 86400
  }

  lifecycle_rule {
    action {
      type = "AbortIncompleteMultipartUpload"
    }
    condition {
      age = 2
    }
  }

  lifecycle {
    prevent_destroy = true
  }

  depends_on = [google_project_service.this]
}

# Staged files and job graphs of Dataflow, of no use after the job.
resource "google_storage_bucket" "temp" {
  name                        = "${var.project}-${var.name}-temp"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = true

  soft_delete_policy {
    retention_duration_seconds = 0
  }

  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      age = 14
    }
  }

  lifecycle_rule {
    action {
      type = "AbortIncompleteMultipartUpload"
    }
    condition {
      age = 2
    }
  }

  depends_on = [google_project_service.this]
}

# The template: small, and versioned, so that a bad deploy can be taken back.
resource "google_storage_bucket" "templates" {
  name                        = "${var.project}-${var.name}-templates"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  versioning {
    enabled = true
  }

  depends_on = [google_project_service.this]
}

locals {
  store_uri = "gs://${google_storage_bucket.store.name}/${var.store}"
}
