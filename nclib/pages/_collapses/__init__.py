"""What the pages on other collapses share."""
