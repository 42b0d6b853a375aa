"""Service Quotas."""

from .case import Case, session


class Quotas(Case):
    def test_they_are_the_accounts(self):
        client = session.create_client("service-quotas")
        self.faults(quotas={"rules_per_group": 100})
        get = lambda code: client.get_service_quota(ServiceCode="vpc", QuotaCode=code)["Quota"]["Value"]  # noqa: E731
        self.assertEqual([get(code) for code in ("L-0EA8095F", "L-2AFB9258", "L-E79EC296")], [100, 5, 2500])
        default = client.get_aws_default_service_quota(ServiceCode="vpc", QuotaCode="L-0EA8095F")["Quota"]["Value"]
        self.assertEqual((default, len(client.list_service_quotas(ServiceCode="vpc")["Quotas"])), (60, 4))
        with self.assertRaises(client.exceptions.NoSuchResourceException):
            get("L-00000000")
