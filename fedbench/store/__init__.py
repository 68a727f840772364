"""A result store on disk: its schema, its writer and its reader. Nothing here imports torch."""
