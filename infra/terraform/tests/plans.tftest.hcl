# terraform test: plans with made answers in the cloud's place; nothing is applied and no credentials are needed.
mock_provider "google" {
  mock_data "google_compute_subnetwork" {
    defaults = {
      private_ip_google_access = false
    }
  }
}

variables {
  project        = "p"
  region         = "europe-west1"
  images_bucket  = "pictures"
  alert_channels = ["projects/p/notificationChannels/1"]
}

run "without_an_image_there_is_no_night" {
  command = plan

  assert {
    condition     = length(google_cloud_scheduler_job.nightly) == 0 && length(google_monitoring_alert_policy.coverage) == 0
    error_message = "A night is planned, or missed, that has nothing to run."
  }

  assert {
    condition     = google_artifact_registry_repository.this.repository_id == "convbase"
    error_message = "The image has no registry to go to."
  }
}

run "an_image_starts_the_nights" {
  command = plan

  variables {
    image = "europe-west1-docker.pkg.dev/p/convbase/convbase@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  }

  assert {
    condition     = length(google_cloud_scheduler_job.nightly) == 1 && length(google_monitoring_alert_policy.coverage) == 1
    error_message = "No night is planned."
  }
}

run "a_subnetwork_has_to_reach_storage" {
  command = plan

  variables {
    subnetwork = "https://www.googleapis.com/compute/v1/projects/p/regions/europe-west1/subnetworks/given"
  }

  expect_failures = [data.google_compute_subnetwork.given]
}

run "maintainers_and_pods_act_as_accounts" {
  command = plan

  variables {
    maintainers                 = ["group:upkeep@example.com"]
    workload_identity_namespace = "convbase"
  }

  assert {
    condition     = google_service_account_iam_member.maintainers["group:upkeep@example.com"].role == "roles/iam.serviceAccountTokenCreator"
    error_message = "Nobody can act as maintenance."
  }

  assert {
    condition     = google_service_account_iam_member.pods["convbase-maintenance"].member == "serviceAccount:p.svc.id.goog[convbase/convbase-maintenance]"
    error_message = "Pods of upkeep are nobody in the cloud."
  }
}
