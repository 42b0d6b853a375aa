"""Makes the emulation of EC2 behave as AWS documents: importing this package puts every fix in place.

Each fix is one function whose text begins with the statement that it follows:

    API      the EC2 API reference, as in the model 2016-11-15 of botocore (operation or type, then field)
    VPC      the Amazon VPC User Guide
    EC2      the Amazon EC2 User Guide and its Developer Guide (errors, throttling)
    seen     an answer of AWS that somebody published (the place is named)
    unproven our reading where AWS says nothing; Moat must not depend on it
"""

from . import groups, interfaces, network_acls, prefix_lists, rules, service_quotas, subnets, tags, trunks  # noqa: F401
