"""From the composed configuration to checked settings and built objects."""
