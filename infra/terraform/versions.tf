terraform {
  required_version = "~> 1.9"

  # The bucket is named when it is set up: terraform init -backend-config=bucket=NAME (see README.md).
  backend "gcs" {
    prefix = "convbase"
  }

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 8.7"
    }
  }
}

provider "google" {
  project = var.project
  region  = var.region
}
