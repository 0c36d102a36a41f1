"""When a certificate is due, for those who have its date alone."""

from datetime import timedelta

SOON = timedelta(days=30)
"""Before its end it is time to renew it: enough to do so by hand, over a holiday."""
