"""Service Quotas, which LocalStack does not have: the quotas of `limits`, as the account's own."""

import json
import re

from localstack.aws import handlers
from localstack.aws.accounts import get_account_id_from_access_key_id

from .. import limits

TARGET = "ServiceQuotasV20190624."
CODES = {  # VPC, "Amazon VPC quotas": the codes stand in its links
    "L-E79EC296": ("groups", "VPC security groups per Region"),
    "L-0EA8095F": ("rules_per_group", "Inbound or outbound rules per security group"),
    "L-2AFB9258": ("groups_per_interface", "Security groups per network interface"),
    "L-2AEEBF1A": ("entries_per_acl", "Rules per network ACL"),
}


def serve(chain, context, response):
    """Service Quotas API reference: GetServiceQuota, ListServiceQuotas, GetAWSDefaultServiceQuota; NoSuchResourceException."""
    target = context.request.headers.get("X-Amz-Target", "")
    if not target.startswith(TARGET):
        return
    asked = json.loads(context.request.get_data() or b"{}")
    raised = limits.raised.get(account(context.request), {})
    vpc = asked.get("ServiceCode") == "vpc"
    if target == TARGET + "ListServiceQuotas" and vpc:
        status, answer = 200, {"Quotas": [row(code, raised) for code in CODES]}
    elif target == TARGET + "GetServiceQuota" and vpc and asked.get("QuotaCode") in CODES:
        status, answer = 200, {"Quota": row(asked["QuotaCode"], raised)}
    elif target == TARGET + "GetAWSDefaultServiceQuota" and vpc and asked.get("QuotaCode") in CODES:
        status, answer = 200, {"Quota": row(asked["QuotaCode"], {})}
    else:
        status, answer = 400, {"__type": "NoSuchResourceException", "Message": "The request failed because the specified quota does not exist."}
    response.status_code = status
    response.content_type = "application/x-amz-json-1.1"
    response.set_data(json.dumps(answer))
    chain.stop()


def row(code, raised):
    name, title = CODES[code]
    value = float(raised.get(name, limits.DEFAULTS[name]))
    return {"ServiceCode": "vpc", "ServiceName": "Amazon Virtual Private Cloud (Amazon VPC)", "QuotaCode": code, "QuotaName": title, "Value": value, "Unit": "None", "Adjustable": True, "GlobalQuota": False}


def account(request):
    found = re.search(r"Credential=([^/]+)/", request.headers.get("Authorization", ""))
    return get_account_id_from_access_key_id(found[1]) if found else None


handlers.preprocess_request.append(serve)
