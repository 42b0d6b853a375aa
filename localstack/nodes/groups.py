"""The groups that SecurityGroupPolicies give a pod, as amazon-vpc-resource-controller-k8s decides it (`pkg/utils`, v1.7)."""

from .kube import Refused

POLICIES = "/apis/vpcresources.k8s.aws/v1beta1/namespaces/{}/securitygrouppolicies"


def of(cluster, pod):
    """All groups of the policies that match, in order and once each; none without the custom resource."""
    namespace = pod["metadata"]["namespace"]
    try:
        policies = cluster.call("GET", POLICIES.format(namespace))["items"]
    except Refused as refusal:
        if refusal.status == 404:
            return []
        raise
    account = None
    if any((policy.get("spec") or {}).get("serviceAccountSelector") is not None for policy in policies):
        name = pod["spec"].get("serviceAccountName") or "default"
        account = cluster.call("GET", f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}")
    matching = [policy["spec"] for policy in policies if matches(policy.get("spec") or {}, pod, account)]
    return list(dict.fromkeys(group for spec in matching for group in spec["securityGroups"]["groupIds"]))


def matches(spec, pod, account):
    """Both selectors, if both are there; a policy with neither, or without groups, is none."""
    selectors = [(spec.get("podSelector"), pod), (spec.get("serviceAccountSelector"), account)]
    asked = [(selector, thing) for selector, thing in selectors if selector is not None]
    groups = (spec.get("securityGroups") or {}).get("groupIds")
    return bool(asked and groups) and all(selects(selector, thing["metadata"].get("labels") or {}) for selector, thing in asked)


def selects(selector, labels):
    """A LabelSelector; one with an unknown operator selects nothing."""
    tests = {
        "In": lambda value, values: value is not None and value in values,
        "NotIn": lambda value, values: value is None or value not in values,
        "Exists": lambda value, _: value is not None,
        "DoesNotExist": lambda value, _: value is None,
    }
    exact = all(labels.get(key) == value for key, value in (selector.get("matchLabels") or {}).items())
    wanted = selector.get("matchExpressions") or []
    return exact and all(each["operator"] in tests and tests[each["operator"]](labels.get(each["key"]), each.get("values") or []) for each in wanted)
