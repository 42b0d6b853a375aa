"""Prefix lists, as far as rules need them."""

from moto.ec2.models import managed_prefixes as models

from .action import instead, refuse

LISTS = models.ManagedPrefixListBackend


def known(ec2, identifier):
    """EC2, error codes: InvalidPrefixListID.NotFound; the emulation leaves out or crashes on what it does not know."""
    return ec2.managed_prefix_lists.get(identifier) or refuse("InvalidPrefixListID.NotFound", f"The prefix list ID '{identifier}' does not exist")


@instead(LISTS, "describe_managed_prefix_lists")
def described(former, self, prefix_list_ids=None, filters=None):
    for identifier in prefix_list_ids or []:
        known(self, identifier)
    return former(self, prefix_list_ids, filters)


@instead(LISTS, "get_managed_prefix_list_entries")
def entries(former, self, prefix_list_id):
    return known(self, prefix_list_id)


@instead(LISTS, "modify_managed_prefix_list")
def modified(former, self, add_entry, remove_entry, prefix_list_id=None, current_version=None, prefix_list_name=None):
    """API, ModifyManagedPrefixList: "If you specify a current version number that does not match the true current version number, the request
    fails" (EC2, error codes: PrefixListVersionMismatch); the name stays unless another is given."""
    prefixes = known(self, prefix_list_id)
    if (add_entry or remove_entry) and int(current_version or 0) != prefixes.version:
        refuse("PrefixListVersionMismatch", f"The prefix list has the version {prefixes.version}")
    return former(self, add_entry, remove_entry, prefix_list_id, current_version, prefix_list_name or prefixes.prefix_list_name)


@instead(LISTS, "delete_managed_prefix_list")
def unused(former, self, prefix_list_id):
    """API, DeleteManagedPrefixList: "You must first remove all references to the prefix list in your resources". Unproven: the code."""
    prefixes = known(self, prefix_list_id)
    groups = [group for groups in self.groups.values() for group in groups.values()]
    if any(rule.prefix_list_id == prefix_list_id for group in groups for rule in group.ingress_rules + group.egress_rules):
        refuse("DependencyViolation", f"The prefix list '{prefix_list_id}' is in use")
    former(self, prefix_list_id)
    del self.managed_prefix_lists[prefix_list_id]
    return prefixes
