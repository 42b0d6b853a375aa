"""Tags: limits of keys and values, and their place in answers."""

from moto.ec2.models import EC2Backend
from moto.ec2.models import core as core_models
from moto.ec2.models import tags as tag_models
from moto.ec2.utils import EC2_PREFIX_TO_RESOURCE, get_prefix

from .action import instead, refuse


@instead(tag_models.TagBackend, "create_tags")
def limited(former, self, resource_ids, tags):
    """EC2, "Tag restrictions": "Maximum key length – 128 Unicode characters in UTF-8", "Maximum value length – 256 Unicode characters
    in UTF-8", "The aws: prefix is reserved for AWS use"."""
    for key, value in tags.items():
        if not key or len(key) > 128:
            refuse("InvalidParameterValue", "Tag key exceeds the maximum length of 128 characters")
        if value is not None and len(value) > 256:
            refuse("InvalidParameterValue", "Tag value exceeds the maximum length of 256 characters")
        if key.lower().startswith("aws:"):
            refuse("InvalidParameterValue", "Tag keys starting with 'aws:' are reserved for internal use")
    return former(self, resource_ids, tags)


@instead(EC2Backend, "do_resources_exist")
def there(former, self, resource_ids):
    """EC2, error codes: InvalidNetworkInterfaceID.NotFound, InvalidSecurityGroupRuleId.NotFound, InvalidNetworkAclID.NotFound; the emulation tags what
    is not there. Unproven: nothing is tagged then."""
    rules = {rule.id for groups in self.groups.values() for group in groups.values() for rule in group.ingress_rules + group.egress_rules}
    for prefix, known, code in (
        ("eni-", self.enis, "InvalidNetworkInterfaceID.NotFound"),
        ("sgr-", rules, "InvalidSecurityGroupRuleId.NotFound"),
        ("acl-", self.network_acls, "InvalidNetworkAclID.NotFound"),
    ):
        for each in resource_ids:
            if each.startswith(prefix) and each not in known:
                refuse(code, f"The ID '{each}' does not exist")
    return former(self, resource_ids)


def own(self):
    """The tags of one resource, looked up by its id: the emulation searches every tag of the account for each resource,
    which makes the describe calls quadratic."""
    kind = EC2_PREFIX_TO_RESOURCE.get(get_prefix(self.id), "") if self.id else ""
    tags = dict(self.ec2_backend.tags.get(self.id) or {})
    return [{"resource_id": self.id, "key": key, "value": value, "resource_type": kind} for key, value in tags.items()]


core_models.TaggedEC2Resource.get_tags = own


def of(resource):
    return resource.ec2_backend.tags.get(resource.id) or {}


def rows(resource):
    return [{"Key": key, "Value": value} for key, value in of(resource).items()]


def requested(request, kind):
    """API, TagSpecification.ResourceType: "The type of resource to tag on creation"; another type than the action's is
    refused."""
    tags = {}
    for each in request.get("TagSpecifications") or request.get("TagSpecification") or []:
        if each.get("ResourceType") != kind:
            refuse("InvalidParameterValue", f"'{each.get('ResourceType')}' is not a valid taggable resource type for this operation.")
        if not each.get("Tags"):
            refuse("InvalidParameterValue", "Tag specification must have at least one tag")
        tags.update({tag.get("Key"): tag.get("Value") or "" for tag in each["Tags"]})
    return tags


def forget(backend, identifier):
    """EC2, "Tag your Amazon EC2 resources": "After you delete a resource, [its tags] will be gradually disassociated from the resource and be
    permanently deleted"; the emulation keeps them."""
    backend.tags.pop(identifier, None)
