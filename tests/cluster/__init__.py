"""The shape of production on one machine, without Kubernetes: ``make cluster``."""
