"""Page 16: sparse simplex frames, when they exist, and how classifier norms follow class sizes."""
