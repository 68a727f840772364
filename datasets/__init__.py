"""The datasets: one file each. Installed as `fedbench.datasets`."""
