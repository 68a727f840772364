"""Forms of the report, one file each, found through `fedbench.registry.FORMATS`: whoever wants another adds a file."""
