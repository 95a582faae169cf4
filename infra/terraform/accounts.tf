# Who may what:
#
# | account     | pictures | store: read | create | delete                                         |
# | ----------- | -------- | ----------- | ------ | ---------------------------------------------- |
# | worker      | read     | yes         | yes    | log entries, receipts, the probe of a new store |
# | maintenance | –        | yes         | yes    | everything in the store                        |
# | scheduler   | –        | –           | –      | – (starts jobs as the worker)                  |
# | readers     | –        | yes         | –      | –                                              |
#
# Nobody has a key of an account. Dataflow runs as the worker; `maintainers` act as maintenance, for an hour at a time; pods in
# a cluster of GKE are either of the two by the name of their own account (`workload_identity_namespace`).
#
# What IAM cannot say:
# - The launcher of a Flex Template and the commit run as the worker: they publish the conv base, and commit from within
#   the pipeline. Whoever can create `_delta_log` entries can commit a removal of rows. Their bytes stay until a vacuum.
# - On Cloud Storage to overwrite is to delete and to create. A checkpoint overwrites `_last_checkpoint` and clears log
#   entries past their retention, so workers may delete under `_delta_log`. They cannot delete or overwrite a Parquet file
#   or a conv base. A launcher that dies while it publishes leaves files that only maintenance can remove.
# - A condition on object names does not hold for listing, which is a matter of the bucket: who may read the store may
#   list all of its bucket. The bucket holds nothing else.
# - roles/dataflow.worker reads and creates objects in every bucket of the project: keep other buckets elsewhere.

resource "google_service_account" "worker" {
  account_id   = "${var.name}-worker"
  display_name = "convbase: launcher and workers"

  depends_on = [google_project_service.this]
}

resource "google_service_account" "maintenance" {
  account_id   = "${var.name}-maintenance"
  display_name = "convbase: compact, vacuum, takedown, restore"

  depends_on = [google_project_service.this]
}

resource "google_service_account" "scheduler" {
  account_id   = "${var.name}-scheduler"
  display_name = "convbase: starts the nightly job"

  depends_on = [google_project_service.this]
}

locals {
  objects = "projects/_/buckets/${google_storage_bucket.store.name}/objects/${var.store}"

  worker_deletes = [
    "${local.objects}/features/_delta_log/",
    "${local.objects}/failures/_delta_log/",
    "${local.objects}/runs/_delta_log/",
    "${local.objects}/receipts/",
    "${local.objects}/.created-once-",
  ]
}

resource "google_project_iam_custom_role" "deleter" {
  role_id     = "${replace(var.name, "-", "_")}_object_deleter"
  title       = "convbase: delete objects"
  description = "Nothing but deleting, and so overwriting, objects; granted under a condition on their names."
  permissions = ["storage.objects.delete"]

  depends_on = [google_project_service.this]
}

resource "google_storage_bucket_iam_member" "worker_reads_images" {
  bucket = data.google_storage_bucket.images.name
  role   = "roles/storage.objectViewer"
  member = google_service_account.worker.member
}

resource "google_storage_bucket_iam_member" "store_readers" {
  for_each = merge(
    { for member in var.readers : member => member },
    {
      worker      = google_service_account.worker.member
      maintenance = google_service_account.maintenance.member
    },
  )

  bucket = google_storage_bucket.store.name
  role   = "roles/storage.objectViewer"
  member = each.value
}

resource "google_storage_bucket_iam_member" "store_creators" {
  for_each = {
    worker      = google_service_account.worker.member
    maintenance = google_service_account.maintenance.member
  }

  bucket = google_storage_bucket.store.name
  role   = "roles/storage.objectCreator"
  member = each.value

  condition {
    title      = "in the store"
    expression = "resource.name.startsWith(\"${local.objects}/\")"
  }
}

resource "google_storage_bucket_iam_member" "worker_deletes" {
  bucket = google_storage_bucket.store.name
  role   = google_project_iam_custom_role.deleter.name
  member = google_service_account.worker.member

  condition {
    title      = "log entries and receipts"
    expression = join(" || ", [for prefix in local.worker_deletes : "resource.name.startsWith(\"${prefix}\")"])
  }
}

resource "google_storage_bucket_iam_member" "maintenance_deletes" {
  bucket = google_storage_bucket.store.name
  role   = google_project_iam_custom_role.deleter.name
  member = google_service_account.maintenance.member

  condition {
    title      = "in the store"
    expression = "resource.name.startsWith(\"${local.objects}/\")"
  }
}

resource "google_storage_bucket_iam_member" "worker_temp" {
  bucket = google_storage_bucket.temp.name
  role   = "roles/storage.objectAdmin"
  member = google_service_account.worker.member
}

resource "google_project_iam_member" "worker" {
  project = var.project
  role    = "roles/dataflow.worker"
  member  = google_service_account.worker.member
}

resource "google_artifact_registry_repository_iam_member" "worker" {
  location   = google_artifact_registry_repository.this.location
  repository = google_artifact_registry_repository.this.name
  role       = "roles/artifactregistry.reader"
  member     = google_service_account.worker.member
}

resource "google_service_account_iam_member" "maintainers" {
  for_each = toset(var.maintainers)

  service_account_id = google_service_account.maintenance.name
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = each.key
}

# The accounts of kubernetes/base/service-accounts.yaml. The pool is there once the project has a cluster.
resource "google_service_account_iam_member" "pods" {
  for_each = var.workload_identity_namespace == null ? {} : {
    convbase             = google_service_account.worker.name
    convbase-maintenance = google_service_account.maintenance.name
  }

  service_account_id = each.value
  role               = "roles/iam.workloadIdentityUser"
  member             = "serviceAccount:${var.project}.svc.id.goog[${var.workload_identity_namespace}/${each.key}]"
}

resource "google_project_iam_member" "scheduler" {
  project = var.project
  role    = "roles/dataflow.developer"
  member  = google_service_account.scheduler.member
}

resource "google_service_account_iam_member" "scheduler_as_worker" {
  service_account_id = google_service_account.worker.name
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.scheduler.member
}

resource "google_storage_bucket_iam_member" "template_readers" {
  for_each = {
    scheduler = google_service_account.scheduler.member
    worker    = google_service_account.worker.member
  }

  bucket = google_storage_bucket.templates.name
  role   = "roles/storage.objectViewer"
  member = each.value
}
