"""The protocols, one file each, found through the registry, and what they share (`blocks`, `shots`, `pools`, ...)."""
