//! Kubernetes objects in, the policy model and the inventory out.
