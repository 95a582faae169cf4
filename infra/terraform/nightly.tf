# What `gcloud dataflow flex-template build` would write, from the metadata that `make template` makes of the code.
resource "google_storage_bucket_object" "template" {
  count = local.nights

  name         = "extract.json"
  bucket       = google_storage_bucket.templates.name
  content_type = "application/json"

  content = jsonencode({
    image    = var.image
    sdkInfo  = { language = "PYTHON" }
    metadata = jsondecode(file("${path.module}/../dataflow/extract-template.json"))
  })
}

locals {
  job_name = "${var.name}-nightly"

  # Without an image there is no night yet.
  nights = var.image == null ? 0 : 1

  # One process a machine, whatever its cores: the base is loaded once, and a GPU has one user.
  experiments = concat(
    ["no_use_multiple_sdk_containers"],
    var.gpu == null ? [] : ["worker_accelerator=type:${var.gpu};count:1;install-nvidia-driver"],
  )

  # auto looks at the machine of the launcher, which has no GPU.
  engine = var.gpu == null ? "openvino" : "keras"

  environment = {
    serviceAccountEmail   = google_service_account.worker.email
    tempLocation          = "gs://${google_storage_bucket.temp.name}/temp"
    stagingLocation       = "gs://${google_storage_bucket.temp.name}/staging"
    sdkContainerImage     = var.image
    machineType           = var.machine_type
    maxWorkers            = var.max_workers
    workerRegion          = var.region
    subnetwork            = local.subnetwork
    ipConfiguration       = "WORKER_IP_PRIVATE"
    additionalExperiments = local.experiments
  }
}

# Dataflow takes no second job of a name while the first one runs, so nights never overlap. What a night missed, the next
# one makes up: the job takes whatever the store does not know.
resource "google_cloud_scheduler_job" "nightly" {
  count = local.nights

  name             = local.job_name
  region           = var.region
  schedule         = var.schedule
  time_zone        = "Etc/UTC"
  attempt_deadline = "180s"

  retry_config {
    retry_count          = 3
    min_backoff_duration = "300s"
  }

  http_target {
    http_method = "POST"
    uri         = "https://dataflow.googleapis.com/v1b3/projects/${var.project}/locations/${var.region}/flexTemplates:launch"
    headers     = { "Content-Type" = "application/json" }

    body = base64encode(jsonencode({
      launchParameter = {
        jobName              = local.job_name
        containerSpecGcsPath = "gs://${google_storage_bucket.templates.name}/${google_storage_bucket_object.template[0].name}"
        environment          = { for name, value in local.environment : name => value if value != null }
        parameters = merge(
          {
            input  = "gs://${var.images_bucket}/${var.images_prefix}"
            output = local.store_uri
            engine = local.engine
          },
          var.parameters,
        )
      }
    }))

    # Google's own APIs want an access token; an OIDC token is for services of one's own.
    oauth_token {
      service_account_email = google_service_account.scheduler.email
      scope                 = "https://www.googleapis.com/auth/cloud-platform"
    }
  }

  depends_on = [
    google_artifact_registry_repository_iam_member.worker,
    google_project_iam_member.scheduler,
    google_project_iam_member.worker,
    google_project_service.this,
    google_service_account_iam_member.scheduler_as_worker,
    google_storage_bucket_iam_member.template_readers,
  ]
}
