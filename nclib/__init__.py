"""Neural collapse: exact statistics and metrics, closed-form theory, models, and the experiments of the book."""
