"""Production topology on one machine, without Kubernetes: ``make cluster``."""
