output "store" {
  description = "URI of the feature store, for --output and --features."
  value       = local.store_uri
}

output "registry" {
  description = "Where the container is pushed to."
  value       = "${var.region}-docker.pkg.dev/${var.project}/${google_artifact_registry_repository.this.repository_id}"
}

output "template" {
  description = "The Flex Template, once there is an image, for gcloud dataflow flex-template run --template-file-gcs-location."
  value       = one([for template in google_storage_bucket_object.template : "gs://${template.bucket}/${template.name}"])
}

output "worker" {
  description = "Account of launchers and workers."
  value       = google_service_account.worker.email
}

output "maintenance" {
  description = "Account of pipelines.maintain, the only one that deletes; gcloud's --impersonate-service-account takes it."
  value       = google_service_account.maintenance.email
}
