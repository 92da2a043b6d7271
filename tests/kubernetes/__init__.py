"""A Kubernetes cluster as its API shows it: the state (cluster), the API on loopback (api), its access rules (rbac)."""
