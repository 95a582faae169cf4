resource "google_artifact_registry_repository" "this" {
  location      = var.region
  repository_id = var.name
  format        = "DOCKER"
  description   = "The container of launcher and workers."

  docker_config {
    immutable_tags = true
  }

  depends_on = [google_project_service.this]
}
