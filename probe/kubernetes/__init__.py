"""The Kubernetes API, for what reads logs from it and for what asks it about the cluster."""
