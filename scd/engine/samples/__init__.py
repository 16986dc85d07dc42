"""What training sees of the samples: coordinates, columns of bytes or floats, copies by weight."""
