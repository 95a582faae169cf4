# A night that fails says so in one of three logs: of the scheduler, if the job could not be started; of the launcher, if
# the command was wrong; of the job, where errors that were made good by a second try stand too.
resource "google_logging_metric" "failures" {
  name        = "${var.name}/failures"
  description = "Nightly jobs that could not be started, or failed."

  filter = <<-EOT
    severity >= ERROR AND (
      (resource.type = "cloud_scheduler_job" AND resource.labels.job_id = "${local.job_name}")
      OR (resource.type = "dataflow_step" AND resource.labels.job_name = "${local.job_name}" AND (
        log_id("dataflow.googleapis.com/launcher")
        OR (log_id("dataflow.googleapis.com/job-message") AND "Workflow failed")
      ))
    )
  EOT

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
  }

  depends_on = [google_project_service.this]
}

# The commit of a run ends with the line that this reads, whatever became of the run.
resource "google_logging_metric" "coverage" {
  name            = "${var.name}/coverage"
  description     = "Share of the pictures that the store knows after a run."
  filter          = "resource.type = \"dataflow_step\" AND resource.labels.job_name = \"${local.job_name}\" AND jsonPayload.message =~ \"Run .* is .*: coverage [0-9.]+ of\""
  value_extractor = "REGEXP_EXTRACT(jsonPayload.message, \": coverage ([0-9.]+) of\")"

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "DISTRIBUTION"
  }

  bucket_options {
    linear_buckets {
      num_finite_buckets = 101
      width              = 0.01
      offset             = 0
    }
  }

  depends_on = [google_project_service.this]
}

resource "google_monitoring_alert_policy" "failure" {
  count = local.nights

  display_name          = "convbase: a night failed"
  combiner              = "OR"
  notification_channels = var.alert_channels

  # A metric of logs of `dataflow_step` is one of the resource `dataflow_job`.
  dynamic "conditions" {
    for_each = toset(["cloud_scheduler_job", "dataflow_job"])

    content {
      display_name = "an error of a ${conditions.value}"
      condition_threshold {
        filter          = "metric.type = \"logging.googleapis.com/user/${google_logging_metric.failures.name}\" AND resource.type = \"${conditions.value}\""
        comparison      = "COMPARISON_GT"
        threshold_value = 0
        duration        = "0s"

        aggregations {
          alignment_period   = "300s"
          per_series_aligner = "ALIGN_DELTA"
        }
      }
    }
  }

  documentation {
    content = "See docs/operations/runbook.md, \"A night failed\"."
  }
}

resource "google_monitoring_alert_policy" "coverage" {
  count = local.nights

  display_name          = "convbase: a night left pictures out"
  combiner              = "OR"
  notification_channels = var.alert_channels

  conditions {
    display_name = "coverage of the best run in 25 hours"
    condition_threshold {
      filter          = "metric.type = \"logging.googleapis.com/user/${google_logging_metric.coverage.name}\" AND resource.type = \"dataflow_job\""
      comparison      = "COMPARISON_LT"
      threshold_value = var.least_coverage
      duration        = "300s"

      # A night without any run is the worst coverage of all.
      evaluation_missing_data = "EVALUATION_MISSING_DATA_ACTIVE"

      aggregations {
        alignment_period     = "90000s"
        per_series_aligner   = "ALIGN_PERCENTILE_99"
        cross_series_reducer = "REDUCE_MAX"
      }
    }
  }

  documentation {
    content = "See docs/operations/runbook.md, \"A night failed\"."
  }
}
