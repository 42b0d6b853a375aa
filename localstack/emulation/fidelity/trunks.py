"""Branch interfaces: what the VPC resource controller of EKS gives a pod. The emulation has no trunks at all."""

import uuid

from .action import answers, refuse


@answers
def associate_trunk_interface(ec2, request):
    """API, AssociateTrunkInterface: "Associates a branch network interface with a trunk network interface"; from then on the
    branch is of InterfaceType `branch`."""
    branch = ec2.get_network_interface(request["BranchInterfaceId"])
    trunk = ec2.get_network_interface(request["TrunkInterfaceId"])
    if trunk.interface_type != "trunk" or getattr(branch, "trunk", None):
        refuse("InvalidParameterValue", f"{trunk.id} is no trunk, or {branch.id} is associated already")
    branch.interface_type, branch.trunk, branch.vlan = "branch", trunk.id, request.get("VlanId")
    branch.trunk_association = f"trunk-assoc-{uuid.uuid4().hex[:17]}"
    return {"InterfaceAssociation": association(branch), "ClientToken": request.get("ClientToken")}


@answers
def describe_trunk_interface_associations(ec2, request):
    branches = [each for each in ec2.enis.values() if getattr(each, "trunk", None)]
    wanted = request.get("AssociationIds")
    return {"InterfaceAssociations": [association(each) for each in branches if not wanted or each.trunk_association in wanted]}


@answers
def disassociate_trunk_interface(ec2, request):
    for each in ec2.enis.values():
        if getattr(each, "trunk", None) and each.trunk_association == request["AssociationId"]:
            each.trunk = None
            return {"Return": True}
    return refuse("InvalidAssociationID.NotFound", f"The association '{request['AssociationId']}' does not exist")


def association(branch):
    return {
        "AssociationId": branch.trunk_association,
        "BranchInterfaceId": branch.id,
        "TrunkInterfaceId": branch.trunk,
        "InterfaceProtocol": "VLAN",
        "VlanId": branch.vlan,
    }
