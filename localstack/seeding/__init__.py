"""A VPC as EKS would leave it: nodes with trunks, pods with branch interfaces."""
