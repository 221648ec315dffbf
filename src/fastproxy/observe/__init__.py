"""What fastproxy tells about itself. Never raises into those who have something to tell."""
