"""The bench: the service beside the literal recipe, in one run, against one stub of Capillary (`make bench`)."""
