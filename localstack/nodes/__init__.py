"""What plays the kubelet and EKS's VPC resource controller, for a cluster that has neither: pods get addresses and run."""
