"""Filters and pages of the describe calls."""

import re

from localstack.aws import handlers

from ..wire import rewrite
from .action import refuse


def filtered(request, items, values, tags):
    """API, Filter: "If you specify multiple filters, the filters are joined with an AND, and the request returns only
    results that match all of the specified filters"; several values of one filter are joined with an OR.

    `values` maps each filter's name to what an item has for it; an unknown filter is refused.
    """
    wanted = {}
    for each in request.get("Filters") or request.get("Filter") or []:
        name = each.get("Name") or ""
        if name not in values and not name.startswith("tag:") and name not in ("tag-key", "tag-value"):
            refuse("InvalidParameterValue", f"The filter '{name}' is invalid")
        wanted[name] = [pattern(value) for value in each.get("Values") or []]
    return [item for item in items if all(meets(item, name, patterns, values, tags) for name, patterns in wanted.items())]


def meets(item, name, patterns, values, tags):
    if name.startswith("tag:"):
        own = tags(item)
        found = [own[name[4:]]] if name[4:] in own else []
    elif name == "tag-key":
        found = list(tags(item))
    elif name == "tag-value":
        found = list(tags(item).values())
    else:
        found = values[name](item)
        found = found if isinstance(found, (list, set, tuple)) else [found]
    return any(each.fullmatch(text(value)) for value in found if value is not None for each in patterns)


def text(value):
    return str(value).lower() if isinstance(value, bool) else str(value)


def pattern(value):
    """EC2, "List and filter using the CLI and API": "You can use wildcards with the filter values. An asterisk (*) matches zero
    or more characters, and a question mark (?) matches zero or one character"; "Filter values are case sensitive"; "Your search
    can include the literal values of the wildcard characters; you just need to escape them with a backslash"."""
    parts = []
    for each in re.findall(r"\\[*?\\]|.", str(value), re.DOTALL):
        parts.append({"*": ".*", "?": ".?"}.get(each) or re.escape(each[-1] if len(each) == 2 else each))
    return re.compile("".join(parts), re.DOTALL)


def page(request, key, items, lowest=5, with_ids=None):
    """API, DescribeSecurityGroups.MaxResults: "This value can be between 5 and 1000. If this parameter is not specified,
    then all items are returned"; NextToken: "This value is null when there are no more items to return"; EC2, error
    codes: InvalidPaginationToken."""
    limit, token = request.get("MaxResults"), request.get("NextToken")
    if limit is None and token is None:
        return {key: items}
    limit = 1000 if limit is None else int(limit)
    if not lowest <= limit <= 1000:
        refuse("InvalidParameterValue", f"Value ( {limit} ) for parameter maxResults is invalid. Expecting a value between {lowest} and 1000.")
    if with_ids and request.get(with_ids):
        refuse("InvalidParameterCombination", f"The parameter {with_ids} cannot be used with the parameter maxResults")
    if token is not None and not re.fullmatch(r"page-\d+", token):
        refuse("InvalidPaginationToken", f"The token '{token}' is invalid")
    start = int(token[5:]) if token else 0
    answer = {key: items[start : start + limit]}
    if start + limit < len(items):
        answer["NextToken"] = f"page-{start + limit}"
    return answer


PAGED = {
    "DescribeInstances": "Reservations",
    "DescribeManagedPrefixLists": "PrefixLists",
    "DescribeSubnets": "Subnets",
    "DescribeTags": "Tags",
    "DescribeVpcs": "Vpcs",
    "GetManagedPrefixListEntries": "Entries",
}


def other_pages(chain, context, response):
    """Pages for describe calls that the emulation answers whole whatever MaxResults says."""
    if not context.service or context.service.service_name != "ec2" or not context.operation or not context.service_response:
        return
    key, request = PAGED.get(context.operation.name), context.service_request or {}
    if key and ("MaxResults" in request or "NextToken" in request) and "NextToken" not in context.service_response:
        lowest = 1 if key in ("PrefixLists", "Entries") else 5
        rewrite(context, response, {**context.service_response, **page(request, key, context.service_response.get(key) or [], lowest)})


handlers.run_custom_response_handlers.append(other_pages)
