"""Code that drivers of local hypervisors share; import its modules one by one."""
