# Workers have no addresses on the internet. They reach Google's APIs by Private Google Access, and each other; pictures
# on the web need a Cloud NAT as well, in a network of one's own.
resource "google_compute_network" "workers" {
  count = var.subnetwork == null ? 1 : 0

  name                    = "${var.name}-workers"
  auto_create_subnetworks = false

  depends_on = [google_project_service.this]
}

resource "google_compute_subnetwork" "workers" {
  count = var.subnetwork == null ? 1 : 0

  name                     = "${var.name}-workers"
  region                   = var.region
  network                  = google_compute_network.workers[0].id
  ip_cidr_range            = "10.0.0.0/22"
  private_ip_google_access = true
}

# The ports on which Dataflow's workers shuffle; the tag is Dataflow's own.
resource "google_compute_firewall" "workers" {
  count = var.subnetwork == null ? 1 : 0

  name        = "${var.name}-workers"
  network     = google_compute_network.workers[0].id
  source_tags = ["dataflow"]
  target_tags = ["dataflow"]

  allow {
    protocol = "tcp"
    ports    = ["12345-12346"]
  }
}

data "google_compute_subnetwork" "given" {
  count = var.subnetwork == null ? 0 : 1

  self_link = var.subnetwork

  lifecycle {
    postcondition {
      condition     = self.private_ip_google_access
      error_message = "The subnetwork has no Private Google Access: workers, which have no addresses on the internet, would not reach storage."
    }
  }
}

locals {
  subnetwork = one(concat(google_compute_subnetwork.workers[*].self_link, data.google_compute_subnetwork.given[*].self_link))
}
