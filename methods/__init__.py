"""The zoo: one file a method. Installed as `fedbench.methods`."""
