"""Services and code that hypervisors on one Linux host share."""
