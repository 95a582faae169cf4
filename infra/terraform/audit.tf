# Who deleted what from the store. By themselves, Google's audit logs have no access to data; written are creations and
# deletions, which are few: a fragment has a thousand images.
resource "google_project_iam_audit_config" "storage" {
  project = var.project
  service = "storage.googleapis.com"

  audit_log_config {
    log_type = "DATA_WRITE"
  }

  depends_on = [google_project_service.this]
}

# The default bucket of logs keeps them for 30 days.
resource "google_logging_project_bucket_config" "deletions" {
  project        = var.project
  location       = var.region
  bucket_id      = "${var.name}-deletions"
  retention_days = var.deletions_kept_days

  depends_on = [google_project_service.this]
}

resource "google_logging_project_sink" "deletions" {
  name                   = "${var.name}-deletions"
  destination            = "logging.googleapis.com/${google_logging_project_bucket_config.deletions.id}"
  unique_writer_identity = true

  filter = <<-EOT
    log_id("cloudaudit.googleapis.com/data_access")
    AND protoPayload.methodName = "storage.objects.delete"
    AND resource.labels.bucket_name = "${google_storage_bucket.store.name}"
  EOT
}
